//! The thread that writes: all lines that wait go into one write, and their requests go on when it is on disk.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::audit::bound::Bound;
use crate::audit::line::{self, Kind};
use crate::audit::sink::Sink;
use crate::base::clock::Clock;
use crate::base::limit::Limit;
use crate::store::StoreError;

/// How many lines may wait.
const QUEUE: usize = 1024;
/// How long a request waits for its line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many lines share a write, so that the first does not wait for all.
const GROUP: usize = 256;
/// How often the thread looks whether something was withheld.
const LOOKOUT: Duration = Duration::from_secs(10);
/// How long the end of the program waits for the last lines, when nobody takes them.
const FAREWELL: Duration = Duration::from_secs(2);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::count("lines that wait for the audit trail", QUEUE, "503 to what would hand something out"),
    Limit::time("wait of a request for its line of the audit trail", PATIENCE, "503 to what would hand something out"),
];

struct Job {
    /// Empty when somebody only asks whether it could be written.
    line: String,
    done: Option<oneshot::Sender<Result<(), String>>>,
}

/// The way to the thread. Dropping it waits a little for the lines under way.
pub(super) struct Writer {
    jobs: Option<SyncSender<Job>>,
    behind: Arc<AtomicBool>,
    ended: Mutex<Receiver<()>>,
    patience: Duration,
}

struct WriterThread {
    sink: Sink,
    bound: Arc<Bound>,
    clock: Clock,
    /// Whether the last write failed, or somebody gave up waiting for one.
    behind: Arc<AtomicBool>,
    /// How many lines could not be written since the last that could.
    lost: u64,
}

impl Writer {
    pub(super) fn start(sink: Sink, bound: Arc<Bound>, clock: Clock) -> io::Result<Self> {
        Self::start_patiently(sink, bound, clock, PATIENCE)
    }

    /// As [`Writer::start`], with another patience.
    pub(super) fn start_patiently(sink: Sink, bound: Arc<Bound>, clock: Clock, patience: Duration) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let (ending, ended) = sync_channel::<()>(0);
        let behind = Arc::new(AtomicBool::new(false));
        let thread = WriterThread { sink, bound, clock, behind: Arc::clone(&behind), lost: 0 };
        std::thread::Builder::new().name("audit-writer".to_owned()).spawn(move || {
            thread.run(&queue);
            drop(ending);
        })?;
        Ok(Self { jobs: Some(jobs), behind, ended: Mutex::new(ended), patience })
    }

    /// Has a line written and waits until it is on disk. Where nothing depends on it and the trail is behind, nobody waits.
    pub(super) async fn write(&self, line: String, is_required: bool) -> Result<(), StoreError> {
        if !is_required && self.behind.load(Ordering::Relaxed) {
            return self.put(Job { line, done: None });
        }
        self.wait(line).await
    }

    /// Whether a line could be written: known at once while all is well, tried when it was not.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        if self.behind.load(Ordering::Relaxed) { self.wait(String::new()).await } else { Ok(()) }
    }

    async fn wait(&self, line: String) -> Result<(), StoreError> {
        let (done, answered) = oneshot::channel();
        self.put(Job { line, done: Some(done) })?;
        match tokio::time::timeout(self.patience, answered).await {
            Ok(Ok(written)) => written.map_err(unavailable),
            Ok(Err(_)) => Err(unavailable("its thread has ended")),
            Err(_) => {
                if !self.behind.swap(true, Ordering::Relaxed) {
                    tracing::error!("nobody takes the audit trail; nothing is handed out until somebody does");
                }
                Err(unavailable("nobody takes it"))
            }
        }
    }

    fn put(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(|| unavailable("it is closed"))?;
        jobs.try_send(job).map_err(|_| unavailable("too many lines wait for it"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Whoever takes nothing any more must not keep the program from ending.
        let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(FAREWELL);
    }
}

fn unavailable(why: impl AsRef<str>) -> StoreError {
    StoreError::Unavailable(format!("the audit trail: {}", why.as_ref()))
}

impl WriterThread {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut looked = Instant::now();
        loop {
            match queue.recv_timeout(LOOKOUT) {
                Ok(first) => {
                    let mut group = vec![first];
                    group.extend(queue.try_iter().take(GROUP - 1));
                    self.write(group);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.tell_withheld(self.bound.take_all()),
            }
            // Also while there is always something to write.
            if looked.elapsed() >= LOOKOUT {
                looked = Instant::now();
                self.tell_withheld(self.bound.take_withheld(self.clock.now()));
            }
        }
    }

    fn write(&mut self, group: Vec<Job>) {
        let now = self.clock.now();
        let mut lines = if self.lost > 0 { line::of_lost(self.lost, now) } else { String::new() };
        lines.extend(group.iter().map(|job| job.line.as_str()));
        let written = if lines.is_empty() { Ok(()) } else { self.sink.append(&lines, now) };
        match &written {
            Ok(()) => self.caught_up(),
            Err(error) => self.fall_behind(error, group.iter().filter(|job| !job.line.is_empty()).count()),
        }
        let outcome = written.map_err(|error| error.to_string());
        for done in group.into_iter().filter_map(|job| job.done) {
            // Who gave up waiting was refused; the line tells what happened all the same.
            let _ = done.send(outcome.clone());
        }
    }

    fn tell_withheld(&mut self, counts: Vec<(Kind, u64)>) {
        if counts.is_empty() {
            return;
        }
        let now = self.clock.now();
        let line = |(kind, count)| Job { line: line::of_withheld(kind, count, now), done: None };
        self.write(counts.into_iter().map(line).collect());
    }

    fn caught_up(&mut self) {
        if self.behind.swap(false, Ordering::Relaxed) {
            tracing::warn!(lost = self.lost, "the audit trail is written again");
        }
        self.lost = 0;
    }

    fn fall_behind(&mut self, error: &io::Error, lines: usize) {
        self.lost = self.lost.saturating_add(lines as u64);
        if !self.behind.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the audit trail cannot be written; nothing is handed out until it can");
        }
    }
}
