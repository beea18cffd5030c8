//! What the readers of all sections of one file share.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::config::environment::Environment;
use crate::config::fault::{Fault, Wrong};
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
    /// Nothing asked yet, of a file in `folder`.
    pub fn new(lines: Lines, folder: PathBuf, environment: Environment) -> Self {
        Self {
            lines,
            folder,
            environment,
            describing: false,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// For a run that reads no file.
    pub fn describing() -> Self {
        Self { describing: true, ..Self::new(Lines::default(), PathBuf::from("/"), Environment::table(&[])) }
    }

    /// Adds a fault at an absolute path.
    pub fn fault(&self, path: &str, wrong: Wrong) {
        self.faults.borrow_mut().push(wrong.at(path, self.lines.find(path)));
    }
}
