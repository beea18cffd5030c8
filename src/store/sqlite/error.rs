//! What went wrong in SQLite, in the store's words.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Why the database could not be opened. The text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be made, read or protected.
    #[error("cannot open the database {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is a file, and it is not ours; it was left as it is.
    #[error("{} is not a database of mcp-bridge; it was left untouched: move it away, or write another path in storage.path", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The write-ahead log is there and the database is not; a new one would swallow the log.
    #[error("{0} is missing, yet {0}-wal is there: restore the database, or remove the -wal file to start afresh", path.display())]
    Orphaned {
        /// The database that is missing.
        path: PathBuf,
    },
    /// A later version of mcp-bridge has written it.
    #[error(
        "{} has schema version {found}, and this mcp-bridge knows versions up to {known}: run the newer mcp-bridge, or restore a backup made before it ran",
        path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The latest version known.
        known: i64,
    },
    /// SQLite's quick check found damage.
    #[error("{} is damaged ({finding}): restore a backup, or move it away to start afresh", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What the check found first.
        finding: String,
    },
    /// SQLite refused.
    #[error("cannot open the database {}: {source}", path.display())]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// What SQLite says about the file at `path`.
pub(super) fn at(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path: path.to_owned(), finding: source.to_string() },
        _ => OpenError::Sqlite { path: path.to_owned(), source },
    }
}
