//! `storage`: where clients, grants, consents and users are kept.

use std::path::PathBuf;

/// `storage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// `type: sqlite`: one file, absolute here, made with mode 0600.
    Sqlite {
        /// `path`.
        path: PathBuf,
    },
    /// `type: memory`: lost at exit.
    Memory,
}
