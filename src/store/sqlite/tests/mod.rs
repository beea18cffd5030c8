//! What only SQLite has to show.

mod file;
mod migration;
mod restart;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::config::section::Storage;
use crate::store::Store;
use crate::store::conformance::{ACCESS_TOKEN_LIFETIME, NOW};
use crate::store::sqlite::{OpenError, Sqlite};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp-bridge.db");
    (folder, path)
}

fn open(path: &Path) -> Arc<dyn Store> {
    try_open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn try_open(path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    Sqlite::open(&Storage::Sqlite { path: path.to_owned() }, NOW, ACCESS_TOKEN_LIFETIME)
}

fn patient(path: &Path, patience: Duration) -> Sqlite {
    let storage = Storage::Sqlite { path: path.to_owned() };
    Sqlite::open_patiently(&storage, NOW, ACCESS_TOKEN_LIFETIME, patience).unwrap_or_else(|error| panic!("{error}"))
}
