//! A bounded pool for password hashing: it cannot take more than two cores, and says so when it is busy.

use std::sync::Arc;
use std::thread;
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::process::nice;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::base::limit::Limit;

/// How many run at one time: password checks must leave a core to everything else.
const MOST_CORES: usize = 2;
/// How far they step back where there are not cores enough: requests get three quarters of one, and a person who logs in waits
/// a little. Further back, logins would hardly come to an end on a machine where others work too.
const NICENESS: i32 = 5;
/// How many may wait.
const QUEUE: usize = 64;
/// How long each may wait.
const PATIENCE: Duration = Duration::from_secs(2);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::count("password checks at one time", MOST_CORES, "the others wait"),
    Limit::count("password checks waiting", QUEUE, "503, Retry-After"),
    Limit::time("wait for a password check", PATIENCE, "503, Retry-After"),
];

/// Runs long computations on threads of their own, a few at a time and in order, behind everything else.
pub struct Pool {
    running: Arc<Semaphore>,
    places: Semaphore,
    patience: Duration,
}

/// Too many are waiting, or the wait was too long. Nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Pool {
    /// On [`MOST_CORES`] at most.
    pub fn new() -> Self {
        Self::with_bounds(available_parallelism().map_or(1, |cores| cores.get().min(MOST_CORES)), QUEUE, PATIENCE)
    }

    /// `threads` at a time, `queue` more that wait, each for `patience`.
    fn with_bounds(threads: usize, queue: usize, patience: Duration) -> Self {
        Self { running: Arc::new(Semaphore::new(threads)), places: Semaphore::new(threads + queue), patience }
    }

    /// Runs `work`. When the caller goes away while it waits, its place is free again and nothing is computed.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let running = Arc::clone(&self.running).acquire_owned();
        let permit = timeout(self.patience, running).await.map_err(|_| Busy)?.map_err(|_| Busy)?;
        // The permit goes along: work whose caller has gone away still takes its thread.
        let (answer, answered) = oneshot::channel();
        // Not one of tokio's: a thread that has stepped back may not come forward again (getpriority(2)), and those serve others.
        let started = thread::Builder::new().name("password".to_owned()).spawn(move || {
            // Linux: of this thread alone. Where it is not allowed, hashing is only less polite.
            let _ = nice(NICENESS);
            let result = work();
            drop(permit);
            // The caller may have gone away.
            let _ = answer.send(result);
        });
        started.map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join_all;
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn hashing_steps_back_behind_requests() {
        let here = || getpriority_process(None).unwrap();
        let pool = Pool::with_bounds(1, 1, Duration::from_secs(60));
        let before = here();
        let there = pool.run(here).await.unwrap();
        assert_eq!((there, here()), ((before + NICENESS).min(19), before));
    }

    #[tokio::test]
    async fn login_18_surplus_work_is_refused_at_once() {
        let pool = Pool::with_bounds(1, 2, Duration::from_secs(60));
        let (release, released) = mpsc::channel::<()>();
        // The receiver comes back: one is refused after another, and the later ones may find the work done.
        let slow = pool.run(move || (released.recv().is_ok(), released));
        let others = join_all((0..9).map(|number| {
            let release = release.clone();
            let pool = &pool;
            async move {
                let result = pool.run(move || number).await;
                if result.is_err() {
                    release.send(()).unwrap();
                }
                result
            }
        }));
        let (slow, others) = futures_util::future::join(slow, others).await;
        assert!(slow.unwrap().0);
        let expected: Vec<_> = (0..9).map(|number| if number < 2 { Ok(number) } else { Err(Busy) }).collect();
        assert_eq!(others, expected);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_so_and_leaves_the_queue() {
        let pool = Pool::with_bounds(1, 1, Duration::ZERO);
        let permit = Arc::clone(&pool.running).acquire_owned().await.unwrap();
        for _ in 0..5 {
            assert_eq!(pool.run(|| ()).await, Err(Busy));
        }
        drop(permit);
        assert_eq!(pool.run(|| 1).await, Ok(1));
        assert_eq!(pool.places.available_permits(), 2);
    }
}
