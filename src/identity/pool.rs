//! A bounded pool for password hashing: it cannot take more than two cores, and says so when it is busy.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::limit::Limit;

/// How many run at one time: password checks must leave a core to everything else.
const MOST_CORES: usize = 2;
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

/// Runs long computations on blocking threads, a few at a time and in order.
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
        let done = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn login_18_surplus_work_is_refused_at_once() {
        let pool = Pool::with_bounds(1, 2, Duration::from_secs(60));
        let (release, released) = mpsc::channel::<()>();
        let slow = pool.run(move || released.recv().is_ok());
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
        assert_eq!(slow, Ok(true));
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
