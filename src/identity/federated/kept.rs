//! Something a provider publishes, fetched when it is needed and kept: its metadata, its keys.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::identity::federated::Failure;

/// How long a copy is used without asking again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long an aged copy is used on before the provider, which did not answer, is asked another time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody who finds the copy wanting may have it fetched anew.
const RENEWAL: Duration = Duration::from_secs(60);

/// One published thing. At most one request for it is under way, and all who wait share its outcome.
///
/// A failure is not kept: who comes after it asks again, so that "Try again" means that.
pub struct Kept<T> {
    state: Mutex<State<T>>,
    turn: tokio::sync::Mutex<()>,
}

struct State<T> {
    copy: Option<Arc<T>>,
    fetched_at: Timestamp,
    asked_at: Timestamp,
    renewed_at: Option<Timestamp>,
    /// How many requests have ended.
    ended: u64,
    /// What the last of them ended in, if it failed.
    failure: Option<Failure>,
}

impl<T> Kept<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        let never = Timestamp::from_unix(0);
        let state = State { copy: None, fetched_at: never, asked_at: never, renewed_at: None, ended: 0, failure: None };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::new(()) }
    }

    /// The copy, however old.
    pub fn current(&self) -> Option<Arc<T>> {
        self.state().copy.clone()
    }

    /// The copy, fetched if there is none or it has aged. While the provider does not answer, the old one is used on.
    pub async fn get(
        &self,
        now: Timestamp,
        fetch: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let (old, ended) = {
            let state = self.state();
            if let Some(copy) = state.copy.as_ref().filter(|_| state.will_do(now)) {
                return Ok(Arc::clone(copy));
            }
            (state.copy.clone(), state.ended)
        };
        let _turn = match (self.turn.try_lock(), &old) {
            (Ok(turn), _) => turn,
            (Err(_), Some(old)) => return Ok(Arc::clone(old)),
            (Err(_), None) => self.turn.lock().await,
        };
        if let Some(outcome) = self.ended_since(ended) {
            return outcome;
        }
        match (self.fetch(now, fetch).await, old) {
            (Err(failure), Some(old)) => {
                tracing::warn!(%failure, "an identity provider does not answer; what it last said counts on");
                Ok(old)
            }
            (outcome, _) => outcome,
        }
    }

    /// A copy newer than `used`, which was found wanting. `None`: there is none, and it is too early to ask again.
    ///
    /// Whoever can make us find a copy wanting must not be able to make us send request after request.
    pub async fn renew(
        &self,
        used: &Arc<T>,
        now: Timestamp,
        fetch: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<Arc<T>>, Failure> {
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if let Some(copy) = state.copy.as_ref().filter(|copy| !Arc::ptr_eq(copy, used)) {
                return Ok(Some(Arc::clone(copy)));
            }
            if state.renewed_at.is_some_and(|renewed_at| now.since(renewed_at) < RENEWAL) {
                return Ok(None);
            }
        }
        let outcome = self.fetch(now, fetch).await;
        // Not before: whoever went away meanwhile, closing the browser, would keep the new keys from everybody else.
        self.state().renewed_at = Some(now);
        outcome.map(Some)
    }

    /// What those who waited for their turn share: the outcome of a request that ended meanwhile.
    fn ended_since(&self, ended: u64) -> Option<Result<Arc<T>, Failure>> {
        let state = self.state();
        if state.ended == ended {
            return None;
        }
        match (&state.copy, &state.failure) {
            (Some(copy), _) => Some(Ok(Arc::clone(copy))),
            (None, failure) => failure.clone().map(Err),
        }
    }

    async fn fetch(&self, now: Timestamp, fetch: impl Future<Output = Result<T, Failure>>) -> Result<Arc<T>, Failure> {
        self.state().asked_at = now;
        let outcome = fetch.await.map(Arc::new);
        let mut state = self.state();
        state.ended += 1;
        state.failure = outcome.as_ref().err().cloned();
        if let Ok(copy) = &outcome {
            state.copy = Some(Arc::clone(copy));
            state.fetched_at = now;
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn will_do(&self, now: Timestamp) -> bool {
        now.since(self.fetched_at) < FRESH || now.since(self.asked_at) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::identity::federated::Reason;

    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    /// A provider that counts what it is asked, and answers with the count when it is up.
    #[derive(Default)]
    struct Source {
        asked: AtomicU32,
        down: bool,
    }

    impl Source {
        async fn fetch(&self) -> Result<u32, Failure> {
            let count = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::task::yield_now().await;
            if self.down { Err(Failure::new(Reason::Unreachable, count.to_string())) } else { Ok(count) }
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn fed_8_a_thousand_unknown_keys_fetch_the_set_once_a_minute() {
        let (kept, source) = (Kept::new(), Source::default());
        let used = kept.get(START, source.fetch()).await.unwrap();
        assert_eq!(*kept.renew(&used, START, source.fetch()).await.unwrap().unwrap(), 2);
        for second in 0..1000 {
            let used = kept.get(after(second % 60), source.fetch()).await.unwrap();
            assert!(kept.renew(&used, after(second % 60), source.fetch()).await.unwrap().is_none());
        }
        // Who still held the first set is given the second, without a request.
        assert_eq!(*kept.renew(&used, START, source.fetch()).await.unwrap().unwrap(), 2);
        assert_eq!(source.asked(), 2);
        let used = kept.current().unwrap();
        let together = join_all((0..100).map(|_| kept.renew(&used, after(60), source.fetch()))).await;
        assert!(together.iter().all(|set| **set.as_ref().unwrap().as_ref().unwrap() == 3));
        assert_eq!(source.asked(), 3);
    }

    #[tokio::test]
    async fn fed_8_a_provider_that_is_down_is_not_asked_more_often() {
        let (kept, source) = (Kept::new(), Source { down: true, ..Source::default() });
        let used = kept.get(START, async { Ok(0) }).await.unwrap();
        assert!(kept.renew(&used, START, source.fetch()).await.is_err());
        for _ in 0..100 {
            assert!(kept.renew(&used, after(59), source.fetch()).await.unwrap().is_none());
        }
        assert_eq!(source.asked(), 1);
    }

    #[tokio::test]
    async fn fed_8_who_goes_away_meanwhile_keeps_the_new_keys_from_nobody() {
        let (kept, source) = (Kept::new(), Source::default());
        let used = kept.get(START, source.fetch()).await.unwrap();
        let gone = kept.renew(&used, START, std::future::pending());
        assert!(tokio::time::timeout(Duration::ZERO, gone).await.is_err());
        assert_eq!(*kept.renew(&used, START, source.fetch()).await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_copy_ages_and_is_used_on_while_the_provider_is_down() {
        let (kept, source) = (Kept::new(), Source::default());
        for second in [0, 3599] {
            assert_eq!(*kept.get(after(second), source.fetch()).await.unwrap(), 1);
        }
        assert_eq!(*kept.get(after(3600), source.fetch()).await.unwrap(), 2);
        let down = Source { down: true, ..Source::default() };
        for second in [7200, 7200, 7259, 7260] {
            assert_eq!(*kept.get(after(second), down.fetch()).await.unwrap(), 2);
        }
        assert_eq!(down.asked(), 2);
    }

    #[tokio::test]
    async fn who_waits_shares_a_failure_and_who_comes_later_asks_again() {
        let (kept, source) = (Kept::new(), Source { down: true, ..Source::default() });
        let together = join_all((0..50).map(|_| kept.get(START, source.fetch()))).await;
        assert!(together.iter().all(|outcome| outcome.as_ref().is_err_and(|failure| failure.cause == "1")));
        assert_eq!(kept.get(START, source.fetch()).await.unwrap_err().cause, "2");
        assert_eq!(*kept.get(START, async { Ok(7) }).await.unwrap(), 7);
    }
}
