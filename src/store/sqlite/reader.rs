//! The thread that reads, and looks out for what other processes have changed.

use std::io;
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
                Ok(job) => (job.work)(&self.connection),
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
