//! The thread that writes: everything that waits goes into one transaction, and is answered when that is on disk.
//!
//! One `fsync` serves all who wait together, so the store is quickest when it is busiest.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use crate::base::clock::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::queue::{self, Queue, ended};
use crate::store::sqlite::revocations::Revocations;

/// How many jobs share a transaction at most, so that the first does not wait for all.
const GROUP: usize = 256;

/// How long SQLite waits for another process before we look at who has waited long enough.
const BUSY_SLICE: Duration = Duration::from_millis(50);

type Work = Box<dyn FnOnce(Result<&Writing<'_>, StoreError>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = queue::Job<Work>;

/// The way to the thread that writes.
pub(super) struct Writer(Queue<Work>);

/// The transaction that a job is part of.
pub(super) struct Writing<'a> {
    connection: &'a Connection,
    revocations: &'a Revocations,
    revoked: Cell<bool>,
    /// Whether it is one of several jobs.
    is_shared: bool,
}

impl Writer {
    /// Starts the thread. A job waits for another process to end its transaction for `patience` at most.
    pub(super) fn start(
        connection: Connection,
        revocations: Arc<Revocations>,
        patience: Duration,
    ) -> Result<Self, StartError> {
        connection.busy_timeout(BUSY_SLICE.min(patience))?;
        let thread = WriterThread { connection, revocations, patience };
        Ok(Self(Queue::start("store-writer", move |jobs| thread.run(&jobs))?))
    }

    /// Runs `work` in a transaction, alone or with others. All of it happens or nothing, and when this returns it is on disk.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Writing<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work = move |writing: Result<&Writing<'_>, StoreError>| {
            let outcome = writing.and_then(|writing| in_savepoint(writing, work).map_err(StoreError::from));
            let reply = move |committed: Result<(), StoreError>| {
                // The caller may have gone; what was decided stands.
                let _ = answer.send(outcome.and_then(|value| committed.map(|()| value)));
            };
            Box::new(reply) as Reply
        };
        self.0.put(Box::new(work)).await?;
        answered.await.map_err(|_| ended())?
    }
}

/// The thread could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Thread(#[from] io::Error),
}

impl Writing<'_> {
    /// Has the lists of [`crate::store::Revoked`] loaded before anybody is answered.
    pub(super) fn note_revocation(&self) {
        self.revoked.set(true);
    }

    /// How long after its revocation a grant must stay in the database.
    pub(super) fn revocation_window(&self) -> Duration {
        self.revocations.window()
    }

    /// Access tokens live for so long from now on.
    pub(super) fn expect_lifetime(&self, now: Timestamp, lifetime: Duration) -> rusqlite::Result<()> {
        self.note_revocation();
        self.revocations.expect(self.connection, now, lifetime)
    }

    /// Tells the time to whoever asks between calls.
    pub(super) fn tell_time(&self, now: Timestamp) {
        self.revocations.tell(now);
    }

    /// Executes one statement; the number of rows changed.
    pub(super) fn change(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(values)
    }
}

impl Deref for Writing<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// An error takes back this job alone; the others of its transaction go on.
fn in_savepoint<T>(
    writing: &Writing<'_>,
    work: impl FnOnce(&Writing<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // A savepoint keeps a copy of every page that changes after it; for one job the transaction does the same without.
    if !writing.is_shared {
        return work(writing).inspect_err(|_| drop(writing.change("ROLLBACK", [])));
    }
    writing.change("SAVEPOINT job", [])?;
    let outcome = work(writing);
    // After some faults (a full disk) SQLite has rolled everything back already, and there is no savepoint left.
    if writing.is_autocommit() {
        return outcome;
    }
    let settled = match &outcome {
        Ok(_) => writing.change("RELEASE job", []),
        Err(_) => writing.change("ROLLBACK TO job", []).and_then(|_| writing.change("RELEASE job", [])),
    };
    if let Err(error) = settled {
        // What cannot be taken back alone is taken back with the others.
        let _ = writing.change("ROLLBACK", []);
        return outcome.and(Err(error));
    }
    outcome
}

struct WriterThread {
    connection: Connection,
    revocations: Arc<Revocations>,
    patience: Duration,
}

impl WriterThread {
    fn run(self, jobs: &Receiver<Job>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Ok(job) = jobs.recv() else { return };
                waiting.push_back(job);
            }
            waiting.extend(jobs.try_iter().take(GROUP.saturating_sub(waiting.len())));
            match self.execute("BEGIN IMMEDIATE") {
                Ok(()) => self.run_group(&mut waiting),
                Err(error) => self.refuse(&mut waiting, error),
            }
        }
    }

    fn run_group(&self, waiting: &mut VecDeque<Job>) {
        let (connection, revocations) = (&self.connection, &*self.revocations);
        let writing = Writing { connection, revocations, revoked: Cell::new(false), is_shared: waiting.len() > 1 };
        let mut replies = Vec::with_capacity(waiting.len());
        while let Some(job) = waiting.pop_front() {
            replies.push((job.work)(Ok(&writing)));
            if self.connection.is_autocommit() {
                break;
            }
        }
        let committed = self.commit();
        if committed.is_ok() && writing.revoked.get() {
            self.put_revocations_in_force();
        }
        for reply in replies {
            reply(committed.clone());
        }
    }

    fn commit(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            let cause = "another change of the same transaction failed and took this one back";
            return Err(StoreError::Unavailable(cause.to_owned()));
        }
        self.execute("COMMIT").map_err(|error| {
            if !self.connection.is_autocommit() {
                let _ = self.execute("ROLLBACK");
            }
            StoreError::from(error)
        })
    }

    /// A revocation is in force before anybody is told of it.
    fn put_revocations_in_force(&self) {
        if let Err(error) = self.revocations.load(&self.connection) {
            // It is on disk, so the answer stays yes; the reading thread sees the change and tries again.
            tracing::error!(%error, "a revocation was stored, but could not be read back; it takes effect late");
        }
    }

    /// While another process writes, whoever has waited long enough is told; after any other fault, everybody.
    fn refuse(&self, waiting: &mut VecDeque<Job>, error: rusqlite::Error) {
        let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        let (patient, refused): (VecDeque<_>, VecDeque<_>) =
            waiting.drain(..).partition(|job| is_busy && job.since.elapsed() < self.patience);
        *waiting = patient;
        let cause = StoreError::from(error);
        for job in refused {
            (job.work)(Err(cause.clone()))(Ok(()));
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}
