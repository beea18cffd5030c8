//! Where the lines go.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::audit::file::TrailFile;
use crate::base::clock::Timestamp;
use crate::config::section::{Audit, AuditOutput};

/// Why there is no trail.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `audit.path` cannot be written to.
    #[error("the audit trail {} cannot be opened: {source}; change audit.path, or let this user write there", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No thread to write on.
    #[error("no thread for the audit trail: {0}")]
    Thread(io::Error),
}

/// Where the lines go.
pub(super) enum Sink {
    /// A file of its own.
    File(TrailFile),
    /// Whatever reads it keeps it.
    Stream(Box<dyn Write + Send>),
}

impl Sink {
    pub(super) fn open(section: &Audit) -> Result<Self, OpenError> {
        Self::with(section, || Box::new(io::stdout()))
    }

    pub(super) fn open_beside(section: &Audit) -> Result<Self, OpenError> {
        Self::with(section, || Box::new(io::stderr()))
    }

    fn with(section: &Audit, stream: fn() -> Box<dyn Write + Send>) -> Result<Self, OpenError> {
        match &section.output {
            AuditOutput::Stdout => Ok(Self::Stream(stream())),
            AuditOutput::File(path) => TrailFile::open(section, path)
                .map(Self::File)
                .map_err(|source| OpenError::File { path: path.clone(), source }),
        }
    }

    /// Writes whole lines. When this returns they are where a crash does not reach them; or none of them is there.
    pub(super) fn append(&mut self, lines: &str, now: Timestamp) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(lines, now),
            Self::Stream(stream) => {
                stream.write_all(lines.as_bytes())?;
                stream.flush()
            }
        }
    }
}
