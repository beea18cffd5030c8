//! Secrets that stand elsewhere: in an environment variable (`*_env`) or in a file (`*_file`).

use std::io;
use std::path::Path;

use crate::base::secret::Secret;
use crate::config::fault::Wrong;
use crate::config::file;
use crate::config::reader::{Reader, canonical, kind};

impl Reader<'_> {
    /// A secret written in the file.
    pub fn optional_secret(&mut self, names: &'static str, doc: &str) -> Option<Secret> {
        self.optional(names, &kind::SECRET, doc)
    }

    /// The value of the variable that the key names.
    pub fn secret_from_environment(&mut self, names: &'static str, doc: &str) -> Option<Secret> {
        let variable = self.optional(names, &kind::NONEMPTY, doc)?;
        match self.shared.environment.find(&variable) {
            Some(value) if !value.is_empty() => Some(Secret::from(value)),
            Some(_) => {
                let problem = format!("the environment variable {variable} is empty");
                self.fault(names, Wrong::new(problem, "give it a value"));
                None
            }
            None => {
                let problem = format!("the environment variable {variable} is not set");
                self.fault(names, Wrong::new(problem, "set it before the start"));
                None
            }
        }
    }

    /// The content of the file that the key names, without one line end at its end.
    pub fn secret_from_file(&mut self, names: &'static str, doc: &str) -> Option<Secret> {
        let path = self.optional_path(names, doc)?;
        let content = match self.read_text(&path) {
            Ok(content) => content,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", path.display());
                self.fault(names, Wrong::new(problem, "name a text file that this user may read"));
                return None;
            }
        };
        let content = content.strip_suffix('\n').unwrap_or(&content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        if content.is_empty() {
            self.fault(names, Wrong::new(format!("{} is empty", path.display()), "write the secret into it"));
            return None;
        }
        Some(Secret::new(content))
    }

    /// The content of a file that the configuration names.
    ///
    /// # Errors
    /// As `file::read`.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        file::read(path, self.shared.occasion)
    }

    /// The same of a text.
    ///
    /// # Errors
    /// As `file::read`, or it is no text.
    pub fn read_text(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.read_file(path)?).map_err(|_| io::Error::other("it is not UTF-8"))
    }

    /// Faults unless exactly one of the keys is written.
    pub fn exactly_one(&self, names: &[&'static str]) {
        if !names.iter().any(|name| self.is_written(name)) {
            self.fault("", Wrong::new(format!("has none of {}", names.join(", ")), "write one of them"));
        }
        self.at_most_one(names);
    }

    /// Faults when more than one of the keys is written.
    pub fn at_most_one(&self, names: &[&'static str]) {
        let written: Vec<&str> =
            names.iter().filter(|name| self.is_written(name)).map(|name| canonical(name)).collect();
        if written.len() > 1 {
            self.fault("", Wrong::new(format!("has {} at once", written.join(" and ")), "keep one of them"));
        }
    }

    fn is_written(&self, names: &'static str) -> bool {
        names.split('|').any(|name| self.is_set(name))
    }
}
