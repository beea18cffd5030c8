//! The place of one fetched thing: the last good copy, until when it will do, and whose turn it is to fetch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::MutexGuard as TurnGuard;
use url::Url;

use crate::base::clock::Timestamp;
use crate::base::limit::Limit;

/// A copy is not asked for more often than this, whatever its server says.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// Before a copy that could not be renewed is asked for again.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is shown of them.
pub const LIMITS: [Limit; 2] = [
    Limit::time("use of a client's document or keys, at least", SHORTEST, "they are fetched anew no sooner"),
    Limit::time("before those that could not be renewed are asked for again", PATIENCE, "the last good copy counts"),
];

/// How long a copy will do whose server says `said`.
pub(super) fn lifetime(said: Option<Duration>, longest: Duration) -> Duration {
    said.unwrap_or(longest).clamp(SHORTEST.min(longest), longest)
}

/// The place of what is at `url`.
pub(super) fn slot<T>(slots: &Cache<Url, Arc<Slot<T>>>, url: &Url) -> Arc<Slot<T>> {
    let made: Result<_, std::convert::Infallible> = slots.get_or_insert_with(url, || Ok(Arc::default()));
    match made {
        Ok(slot) => slot,
    }
}

/// A copy, and until when nobody asks for another.
pub(super) struct Copy<T> {
    pub value: Arc<T>,
    pub until: Timestamp,
}

/// The place of a copy.
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    turn: tokio::sync::Mutex<()>,
}

struct State<T> {
    copy: Option<Copy<T>>,
    renewed_at: Option<Timestamp>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { copy: None, renewed_at: None }), turn: tokio::sync::Mutex::default() }
    }
}

impl<T> Slot<T> {
    /// The copy, if it will do.
    pub fn fresh(&self, now: Timestamp) -> Option<Arc<T>> {
        self.state().copy.as_ref().filter(|copy| now < copy.until).map(|copy| Arc::clone(&copy.value))
    }

    /// The copy, however old.
    pub fn last(&self) -> Option<Arc<T>> {
        self.state().copy.as_ref().map(|copy| Arc::clone(&copy.value))
    }

    /// Keeps a copy.
    pub fn put(&self, copy: Copy<T>) {
        self.state().copy = Some(copy);
    }

    /// Forgets the copy.
    pub fn forget(&self) {
        self.state().copy = None;
    }

    /// Waits for the turn to fetch.
    pub async fn turn(&self) -> TurnGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whether somebody who found the copy wanting may have another fetched; not more often than every `interval`.
    pub fn may_renew(&self, now: Timestamp, interval: Duration) -> bool {
        self.state().renewed_at.is_none_or(|at| now.since(at) >= interval)
    }

    /// Remembers that somebody has.
    pub fn renewed(&self, now: Timestamp) {
        self.state().renewed_at = Some(now);
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
