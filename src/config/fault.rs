//! A fault in the configuration: where it stands, what is wrong, and what to write instead.

use std::fmt;

/// What is wrong with a value, before it is known where the value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub problem: String,
    /// What to write instead; may be empty.
    pub fix: String,
}

impl Wrong {
    /// Both halves of the message.
    pub fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), fix: fix.into() }
    }

    /// Puts it at a place of the file.
    pub(super) fn at(self, path: impl Into<String>, line: Option<usize>) -> Fault {
        Fault { path: path.into(), line, problem: self.problem, fix: self.fix }
    }
}

/// One thing that is wrong, or (in `Config::warnings`) legal but unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path in the file, as written there: `server.oauth_server.builtin.users[0].scopes`. Empty: the whole file.
    pub path: String,
    /// The line, counted from 1. `None` when nothing of the path is in the file.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to write instead; may be empty.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// Every fault of one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    file: String,
    faults: Vec<Fault>,
}

impl Faults {
    /// Sorts the faults of `file` by line; those without a line come last.
    pub(super) fn new(file: impl Into<String>, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        Self { file: file.into(), faults }
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

impl fmt::Display for Faults {
    /// `config.yaml:12: server.listen: what is wrong; what to write`, each on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match fault.line {
                Some(line) => write!(f, "{}:{line}: {fault}", self.file)?,
                None => write!(f, "{}: {fault}", self.file)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
