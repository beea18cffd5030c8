//! The thread that reads, and looks out for what other processes have changed.

use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::sqlite::queue::{Job, Queue, ended};
use crate::store::sqlite::revocations::Revocations;

/// How often the file is asked whether another connection has changed it.
const LOOKOUT: Duration = Duration::from_millis(300);

/// How many reads share a transaction at most.
const GROUP: usize = 64;

type Work = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the thread that reads.
pub(super) struct Reader(Queue<Work>);

impl Reader {
    /// Starts the thread on its own connection.
    pub(super) fn start(connection: Connection, revocations: Arc<Revocations>) -> io::Result<Self> {
        Queue::start("store-reader", move |jobs| Lookout { connection, revocations, seen: None }.run(&jobs)).map(Self)
    }

    /// Reads. Sees every write that was answered before.
    pub(super) async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work = move |connection: &Connection| {
            // The caller may have gone; a read has no other effect.
            let _ = answer.send(work(connection).map_err(StoreError::from));
        };
        self.0.put(Box::new(work)).await?;
        answered.await.map_err(|_| ended())?
    }
}

struct Lookout {
    connection: Connection,
    revocations: Arc<Revocations>,
    /// The `data_version` at which the revocations were last loaded.
    seen: Option<i64>,
}

impl Lookout {
    fn run(mut self, jobs: &Receiver<Job<Work>>) {
        let mut last = Instant::now();
        loop {
            match jobs.recv_timeout(LOOKOUT.saturating_sub(last.elapsed())) {
                Ok(job) => self.read_together(job, jobs),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if last.elapsed() >= LOOKOUT {
                if let Err(error) = self.look() {
                    tracing::warn!(%error, "revocations made by other processes could not be read; trying again");
                }
                last = Instant::now();
            }
        }
    }

    /// Reads that wait together are one transaction: they share its locks, and the look at what was written since the last.
    fn read_together(&self, first: Job<Work>, jobs: &Receiver<Job<Work>>) {
        // All of them came before the transaction begins, so each sees every write that was answered before it was asked.
        let group: Vec<Job<Work>> = iter::once(first).chain(jobs.try_iter().take(GROUP - 1)).collect();
        // Where it cannot begin, each read is alone and says itself what is wrong.
        let is_shared = group.len() > 1 && self.execute("BEGIN").is_ok();
        for job in group {
            (job.work)(&self.connection);
        }
        // A fault may have ended it. One that stayed open would show later reads what was then, and keep the log from being emptied.
        if is_shared && !self.connection.is_autocommit() && self.execute("COMMIT").is_err() {
            let _ = self.execute("ROLLBACK");
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute([])
    }

    /// Our own writer's commits change the number too; loading again then is cheaper than telling them apart.
    fn look(&mut self) -> rusqlite::Result<()> {
        let version = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.seen != Some(version) {
            self.revocations.load(&self.connection)?;
            self.seen = Some(version);
        }
        Ok(())
    }
}
