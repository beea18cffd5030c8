//! What the readers of all sections of one file share.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::config::environment::Environment;
use crate::config::fault::{Fault, Wrong};
use crate::config::file::Occasion;
use crate::config::lines::Lines;

/// What all readers of one file share.
#[derive(Debug)]
pub struct Shared {
    /// Where everything stands.
    pub lines: Lines,
    /// Against which relative paths are read.
    pub folder: PathBuf,
    /// Where `*_env` keys are looked up.
    pub environment: Environment,
    /// Which files may be read.
    pub occasion: Occasion,
    /// No file is read: the keys are only asked for, to know them.
    pub describing: bool,
    /// What is wrong so far.
    pub faults: RefCell<Vec<Fault>>,
    /// What is unwise so far.
    pub warnings: RefCell<Vec<Fault>>,
    /// The canonical path of every key that was asked for, `*` for the names and numbers of elements.
    pub places: RefCell<Vec<String>>,
}

impl Shared {
    /// Nothing asked yet, of a file in `folder` whose lines are not known yet.
    pub fn new(folder: PathBuf, environment: Environment, occasion: Occasion) -> Self {
        Self {
            lines: Lines::default(),
            folder,
            environment,
            occasion,
            describing: false,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// For a run that reads no file.
    pub fn describing() -> Self {
        Self { describing: true, ..Self::new(PathBuf::from("/"), Environment::table(&[]), Occasion::Start) }
    }

    /// Adds a fault at an absolute path.
    pub fn fault(&self, path: &str, wrong: Wrong) {
        self.faults.borrow_mut().push(wrong.at(path, self.lines.find(path)));
    }
}
