//! The store in SQLite, in a file or in memory. [How SQLite keeps promises](https://www.sqlite.org/wal.html)
//!
//! This module owns the file, its schema, and the two threads that hold its connections: one writes, one reads. What is
//! decided is in one file per trait; each method is one job for one of the threads. Other processes may use the same file.

mod absent;
mod accounts;
mod assertions;
mod browser_sessions;
mod clean_up;
mod client_documents;
mod clients;
mod configured;
mod connections;
mod consents;
mod error;
mod file;
mod flows;
mod grants;
mod oversight;
mod queue;
mod reader;
mod revocations;
mod rotation;
mod schema;
mod tokens;
mod users;
mod value;
mod writer;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::base::clock::Timestamp;
use crate::base::limit::Limit;
use crate::config::section::Storage;
use crate::store::sqlite::reader::Reader;
use crate::store::sqlite::revocations::Revocations;
use crate::store::sqlite::writer::{StartError, Writer, Writing};
use crate::store::{Calls, Revoked, Store, StoreError};

pub use error::OpenError;

// CRASH-9: versions before 3.51.3 could corrupt a database whose write-ahead log was reset by two processes at once.
const _: () = assert!(rusqlite::ffi::SQLITE_VERSION_NUMBER >= 3_051_003, "SQLite 3.51.3 or later is needed");

/// The bounds of the database, for the operator.
#[must_use]
pub fn limits() -> Vec<Limit> {
    [&LIMITS[..], &file::LIMITS, &queue::LIMITS, &flows::LIMITS].concat()
}

/// How long a write waits for another process to end its own.
const PATIENCE: Duration = Duration::from_secs(5);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::time("write to the database that waits for another process", PATIENCE, "503")];

/// A store in one SQLite database. Dropping it waits for the writes under way and closes the file.
pub struct Sqlite {
    // Fields are dropped in this order: the writer closes last, so that it can empty the write-ahead log into the file.
    // `None` in memory: such a database belongs to one connection, so reads queue with the writes.
    reader: Option<Reader>,
    writer: Writer,
    revoked: Revoked,
    revocations: Arc<Revocations>,
    calls: Calls,
}

impl Sqlite {
    /// Opens the database, making or migrating it where needed, with the revocations in force of all access tokens that
    /// may live, when they live for `access_token_lifetime`.
    ///
    /// # Errors
    /// See [`OpenError`]. A file that is not ours, is damaged, or comes from a later version is left as it is.
    pub fn open(
        storage: &Storage,
        clock_now: Timestamp,
        access_token_lifetime: Duration,
    ) -> Result<Arc<dyn Store>, OpenError> {
        let store = Self::open_patiently(storage, clock_now, access_token_lifetime, PATIENCE)?;
        Ok(Arc::new(store))
    }

    /// As [`Sqlite::open`], with another patience.
    fn open_patiently(
        storage: &Storage,
        clock_now: Timestamp,
        access_token_lifetime: Duration,
        patience: Duration,
    ) -> Result<Self, OpenError> {
        let revoked = Revoked::default();
        let (path, connections) = match storage {
            Storage::Memory => (Path::new(":memory:"), file::open_memory()),
            Storage::Sqlite { path } => (path.as_path(), file::open(path)),
        };
        let (writing, reading) = connections?;
        let start = || -> Result<Self, StartError> {
            let revocations = Revocations::new(&writing, revoked.clone(), clock_now, access_token_lifetime)?;
            let revocations = Arc::new(revocations);
            let writer = Writer::start(writing, Arc::clone(&revocations), patience)?;
            let reader = reading.map(|connection| Reader::start(connection, Arc::clone(&revocations))).transpose()?;
            Ok(Self { reader, writer, revoked, revocations, calls: Calls::default() })
        };
        start().map_err(|error| match error {
            StartError::Sqlite(source) => OpenError::Sqlite { path: path.to_owned(), source },
            StartError::Thread(source) => OpenError::File { path: path.to_owned(), source },
        })
    }

    async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match &self.reader {
            Some(reader) => reader.read(work).await,
            None => self.writer.write(move |writing| work(writing)).await,
        }
    }

    async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Writing<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// A write that knows the time, which is passed on to the revocations.
    async fn write_at<T, W>(&self, now: Timestamp, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Writing<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let work = move |writing: &Writing<'_>| {
            writing.tell_time(now);
            work(writing)
        };
        self.writer.write(work).await
    }
}

impl Store for Sqlite {
    fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn longest_access_token(&self) -> Duration {
        self.revocations.window()
    }
}
