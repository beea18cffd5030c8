//! The end of patience, where waits begin by the thousand in a second and hardly one lasts to its end.
//!
//! A thread looks at the clock every [`TICK`] for all of its waits, while there are any; to begin one is to write down when it
//! ends. A thread has one runtime at a time, and a wait stays in the runtime where it began.
//!
//! Rejected: a timer of tokio's for each. One that would be the next to go off wakes the thread that begins it, a system call
//! and an event for every tenth call. And pingora-timeout, whose clock ticks while nobody waits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a thread looks whether waits have ended, in which it may be a millisecond or two late.
pub const TICK: Duration = Duration::from_millis(50);

thread_local! {
    static WAITS: Arc<Waits> = Arc::default();
}

/// What comes of `what`; `None` when it does not come within `limit`, which is noticed with the next [`TICK`].
pub async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    let mut wait = Wait { limit, noted: None };
    poll_fn(|context| match what.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => wait.poll(context).map(|()| None),
    })
    .await
}

/// One wait. It begins when it is first polled.
#[derive(Debug)]
struct Wait {
    limit: Duration,
    noted: Option<(Arc<Waits>, usize)>,
}

impl Wait {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        match &self.noted {
            None => {
                let waits = WAITS.with(Arc::clone);
                let key = waits.begin(self.limit, context.waker());
                self.noted = Some((waits, key));
                Poll::Pending
            }
            Some((waits, key)) => waits.poll(*key, context.waker()),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((waits, key)) = self.noted.take() {
            waits.end(key);
        }
    }
}

/// The waits that began on one thread. No waker is dropped under the lock: what it is the last to hold may have waits itself.
#[derive(Debug, Default)]
struct Waits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    noted: Slab<Noted>,
    /// It is finished, too, once its runtime has ended.
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Noted {
    /// `None` for one that lasts longer than time can tell.
    until: Option<Instant>,
    is_over: bool,
    waker: Waker,
}

impl Waits {
    fn begin(self: &Arc<Self>, limit: Duration, waker: &Waker) -> usize {
        let until = Instant::now().checked_add(limit);
        let mut state = self.lock();
        if state.ticker.as_ref().is_none_or(JoinHandle::is_finished) {
            state.ticker = Some(tokio::spawn(Arc::clone(self).look()));
        }
        state.noted.insert(Noted { until, is_over: false, waker: waker.clone() })
    }

    fn poll(&self, key: usize, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        let Some(wait) = state.noted.get_mut(key).filter(|wait| !wait.is_over) else {
            return Poll::Ready(());
        };
        if !wait.waker.will_wake(waker) {
            let before = std::mem::replace(&mut wait.waker, waker.clone());
            drop(state);
            drop(before);
        }
        Poll::Pending
    }

    fn end(&self, key: usize) {
        let ended = self.lock().noted.try_remove(key);
        drop(ended);
    }

    /// Looks for as long as somebody waits.
    async fn look(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            if !self.tick(Instant::now()) {
                return;
            }
        }
    }

    /// Wakes those whose time is over. False when nobody waits any more.
    fn tick(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let (mut over, mut goes_on) = (Vec::new(), false);
        for (_, wait) in state.noted.iter_mut().filter(|(_, wait)| !wait.is_over) {
            if wait.until.is_some_and(|until| until <= now) {
                wait.is_over = true;
                over.push(wait.waker.clone());
            } else {
                goes_on = true;
            }
        }
        if !goes_on {
            // Under the lock: who begins a wait from now on finds none, and has one begin anew.
            state.ticker = None;
        }
        drop(state);
        over.into_iter().for_each(Waker::wake);
        goes_on
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);

    fn waits() -> Arc<Waits> {
        WAITS.with(Arc::clone)
    }

    fn is_looking() -> bool {
        waits().lock().ticker.is_some()
    }

    /// How long a wait lasts that nothing ends.
    async fn lasted() -> Duration {
        let begun = Instant::now();
        assert_eq!(within(LIMIT, pending::<()>()).await, None);
        begun.elapsed()
    }

    #[tokio::test]
    async fn it_never_ends_early_wherever_between_two_ticks_it_began() {
        let later = (0..60).map(|later| async move {
            sleep(Duration::from_millis(later)).await;
            lasted().await
        });
        for lasted in futures_util::future::join_all(later).await {
            assert!(lasted >= LIMIT, "{lasted:?}");
        }
    }

    #[tokio::test]
    async fn what_a_thread_missed_when_it_was_held_up_is_taken_from_no_wait() {
        let other = tokio::spawn(lasted());
        tokio::task::yield_now().await;
        assert!(is_looking());
        std::thread::sleep(4 * LIMIT);
        assert!(lasted().await >= LIMIT, "the time before it began is not its own");
        assert!(other.await.unwrap() >= LIMIT);
    }

    #[tokio::test]
    async fn it_ends_with_the_first_tick_after_its_limit() {
        let waits = Arc::new(Waits::default());
        let begun = Instant::now();
        let keys = [Duration::ZERO, LIMIT, 2 * LIMIT].map(|limit| waits.begin(limit, Waker::noop()));
        let now = Instant::now();
        let over = || keys.map(|key| waits.poll(key, Waker::noop()).is_ready());
        assert!(waits.tick(begun + LIMIT - Duration::from_nanos(1)));
        assert_eq!(over(), [true, false, false]);
        assert!(waits.tick(now + LIMIT));
        assert_eq!(over(), [true, true, false]);
        assert!(waits.tick(begun + 2 * LIMIT - Duration::from_nanos(1)));
        assert!(!waits.tick(now + 2 * LIMIT), "nobody waits any more");
        assert_eq!(over(), [true; 3]);
    }

    #[tokio::test]
    async fn a_limit_beyond_all_time_has_no_end() {
        let waits = Arc::new(Waits::default());
        let key = waits.begin(Duration::MAX, Waker::noop());
        assert!(waits.tick(Instant::now() + Duration::from_secs(1 << 32)));
        assert!(waits.poll(key, Waker::noop()).is_pending());
    }

    #[tokio::test]
    async fn what_comes_in_time_is_given_and_leaves_nothing_behind() {
        let what = async {
            sleep(TICK).await;
            7
        };
        assert_eq!(within(100 * LIMIT, what).await, Some(7));
        assert!(waits().lock().noted.is_empty());
    }

    #[tokio::test]
    async fn what_is_there_is_given_without_a_wait() {
        assert_eq!(within(Duration::ZERO, async { 7 }).await, Some(7));
        assert!(!is_looking());
    }

    #[tokio::test]
    async fn it_looks_while_somebody_waits_and_then_no_more() {
        let long = tokio::spawn(within(4 * LIMIT, pending::<()>()));
        lasted().await;
        assert!(is_looking(), "one still waits");
        assert_eq!(long.await.unwrap(), None);
        assert!(!is_looking());
        lasted().await;
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_is_looked_at_no_more() {
        let given_up = tokio::spawn(within(1000 * LIMIT, pending::<()>()));
        tokio::task::yield_now().await;
        assert!(is_looking());
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert!(waits().lock().noted.is_empty());
        let ticker = waits().lock().ticker.take().expect("it ends with its next tick");
        ticker.await.unwrap();
    }

    #[tokio::test]
    async fn who_polled_it_last_is_woken() {
        let mut wait = Box::pin(within(LIMIT, pending::<()>()));
        assert_eq!(futures_util::poll!(&mut wait), Poll::Pending);
        // On another task, and so with another waker.
        assert_eq!(tokio::spawn(wait).await.unwrap(), None);
    }

    #[test]
    fn it_outlives_the_runtime_that_looked() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let before = runtime();
        before.block_on(async {
            let mut wait = Box::pin(within(LIMIT, pending::<()>()));
            assert_eq!(futures_util::poll!(&mut wait), Poll::Pending);
        });
        drop(before);
        runtime().block_on(lasted());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_that_move_between_threads_all_end() {
        let limits = (1..500).map(|number| Duration::from_millis(number % 100));
        let waits: Vec<_> = limits.map(|limit| tokio::spawn(within(limit, pending::<()>()))).collect();
        for wait in waits {
            assert_eq!(wait.await.unwrap(), None);
        }
    }
}
