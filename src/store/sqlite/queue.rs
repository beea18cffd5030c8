//! The hand-over from async callers to a thread that owns a connection. No runtime is needed on either side.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::limit::Limit;
use crate::store::StoreError;

/// How many jobs may wait; further callers wait for room.
const ROOM: usize = 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("writes waiting for the database", ROOM, "the others wait")];

/// Jobs on their way to one thread, which ends when this is dropped.
pub(super) struct Queue<Work> {
    // `None` only while dropping: closing the channel is what tells the thread to end.
    jobs: Option<Sender<Job<Work>>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// A piece of work that waits.
pub(super) struct Job<Work> {
    /// What to do.
    pub(super) work: Work,
    /// Since when it waits.
    pub(super) since: Instant,
    _room: OwnedSemaphorePermit,
}

impl<Work: Send + 'static> Queue<Work> {
    /// Starts the thread.
    pub(super) fn start(name: &str, run: impl FnOnce(Receiver<Job<Work>>) + Send + 'static) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || run(waiting))?;
        Ok(Self { jobs: Some(jobs), room: Arc::new(Semaphore::new(ROOM)), thread: Some(thread) })
    }

    /// Puts a job at the end, when there is room.
    pub(super) async fn put(&self, work: Work) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| ended())?;
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Job { work, since: Instant::now(), _room: room }).map_err(|_| ended())
    }
}

impl<Work> Drop for Queue<Work> {
    /// Waits for the thread, so that the file is closed when the store is gone and can be opened, moved or removed.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

/// The thread is gone, and with it the answer.
pub(super) fn ended() -> StoreError {
    StoreError::Broken("the thread that serves the database has ended".to_owned())
}
