//! How much may be under way at one time: calls, and streams that stay open. Who has too much is told to wait; nobody else
//! notices.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::id::{ClientId, UserId};
use crate::base::limit::Limit;
use crate::bridge::Refusal;
use crate::bridge::post::RETRY_AFTER;
use crate::model::principal::Principal;

/// How many calls of one person one upstream may have under way, whatever apps they use. Apps send a few dozen at once, a
/// script perhaps hundreds; an upstream takes four times as many, so one person cannot use up what all share.
pub const MAX_CALLS_OF_ONE: usize = 1024;
/// How many calls all upstreams together may have under way.
pub const MAX_CALLS: usize = 8192;
/// How many bytes of large answers, that were taken from an upstream as a whole, may wait for one person's apps to read them. A child
/// process has one pipe for all, so that it cannot wait for who does not read.
const MAX_UNREAD_OF_ONE: usize = 64 * 1024 * 1024;
/// The same for all together.
const MAX_UNREAD: usize = 256 * 1024 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 4] = [
    Limit::bytes("large answers that wait to be read, of one person", MAX_UNREAD_OF_ONE, "a JSON-RPC error instead"),
    Limit::bytes("large answers that wait to be read, in all", MAX_UNREAD, "a JSON-RPC error instead"),
    Limit::count("calls under way, of one person at one upstream", MAX_CALLS_OF_ONE, "429, Retry-After"),
    Limit::count("calls under way, in all", MAX_CALLS, "503, Retry-After"),
];

/// What is under way.
#[derive(Debug)]
pub struct Load {
    calls: Arc<Gauge<(usize, UserId)>>,
    streams: Arc<Gauge<UserId>>,
}

/// A place in what is under way, given back when this is dropped.
#[derive(Debug)]
pub enum Place {
    /// A call's.
    Call(Taken<(usize, UserId)>),
    /// A stream's.
    Stream(Taken<UserId>),
}

impl Load {
    /// Other bounds for streams. What is open stays.
    pub fn bound_streams(&self, of_one: usize, all: usize) {
        self.streams.most_of_one.store(of_one, Ordering::Relaxed);
        self.streams.most.store(all, Ordering::Relaxed);
    }

    /// Nothing is under way. A person may have so many streams open, and all together so many; 0: no bound.
    #[must_use]
    pub fn new(streams_of_one: usize, streams: usize) -> Self {
        Self {
            calls: Arc::new(Gauge::new(MAX_CALLS_OF_ONE, MAX_CALLS)),
            streams: Arc::new(Gauge::new(streams_of_one, streams)),
        }
    }

    /// A place for a call to the upstream of this index.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] when it is this person's own that are too many, [`Refusal::Busy`] when all together are.
    pub fn call(&self, principal: &Principal, upstream: usize) -> Result<Place, Refusal> {
        // Where nobody logs in there is nobody to tell from the others.
        Gauge::take(&self.calls, principal.user.clone().map(|user| (upstream, user)), 1).map(Place::Call)
    }

    /// A place for a stream that stays open.
    ///
    /// # Errors
    /// As [`Load::call`].
    pub fn stream(&self, principal: &Principal) -> Result<Place, Refusal> {
        Gauge::take(&self.streams, principal.user.clone(), 1).map(Place::Stream)
    }
}

/// Large answers that wait to be read.
#[derive(Debug)]
pub struct Unread(Arc<Gauge<Reads>>);

/// So many bytes wait, until this is dropped.
pub type Waiting = Taken<Reads>;

/// Who has to read: a person, or a client that acts for itself.
type Reads = (Option<UserId>, Option<ClientId>);

impl Default for Unread {
    fn default() -> Self {
        Self(Arc::new(Gauge::new(MAX_UNREAD_OF_ONE, MAX_UNREAD)))
    }
}

impl Unread {
    /// Counts an answer of so many bytes for whom it is; `None` when there would be too many.
    #[must_use]
    pub fn add(&self, principal: &Principal, bytes: usize) -> Option<Waiting> {
        let reads = match &principal.user {
            Some(user) => (Some(user.clone()), None),
            None => (None, principal.client_id.clone()),
        };
        Gauge::take(&self.0, Some(reads).filter(|reads| *reads != (None, None)), bytes).ok()
    }
}

/// How many there are of each, and in all.
#[derive(Debug)]
struct Gauge<K> {
    most_of_one: AtomicUsize,
    most: AtomicUsize,
    counts: Mutex<Counts<K>>,
}

#[derive(Debug)]
struct Counts<K> {
    of_one: HashMap<K, usize>,
    all: usize,
}

/// One that is counted, or several.
#[derive(Debug)]
pub struct Taken<K: Eq + Hash> {
    gauge: Arc<Gauge<K>>,
    key: Option<K>,
    count: usize,
}

impl<K: Eq + Hash + Clone> Gauge<K> {
    fn new(most_of_one: usize, most: usize) -> Self {
        let (most_of_one, most) = (AtomicUsize::new(most_of_one), AtomicUsize::new(most));
        Self { most_of_one, most, counts: Mutex::new(Counts { of_one: HashMap::new(), all: 0 }) }
    }

    fn take(this: &Arc<Self>, key: Option<K>, count: usize) -> Result<Taken<K>, Refusal> {
        let mut counts = this.lock();
        let of_one = key.as_ref().and_then(|key| counts.of_one.get(key)).copied().unwrap_or(0);
        let (most_of_one, most) = (this.most_of_one.load(Ordering::Relaxed), this.most.load(Ordering::Relaxed));
        if key.is_some() && most_of_one > 0 && of_one.saturating_add(count) > most_of_one {
            return Err(Refusal::TooMany { retry_after: RETRY_AFTER });
        }
        if most > 0 && counts.all.saturating_add(count) > most {
            return Err(Refusal::Busy { retry_after: RETRY_AFTER });
        }
        counts.all += count;
        if let Some(key) = &key {
            counts.of_one.insert(key.clone(), of_one + count);
        }
        drop(counts);
        Ok(Taken { gauge: Arc::clone(this), key, count })
    }
}

impl<K> Gauge<K> {
    fn lock(&self) -> MutexGuard<'_, Counts<K>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Taken<K> {
    fn drop(&mut self) {
        let mut counts = self.gauge.lock();
        counts.all -= self.count;
        let Some(key) = &self.key else { return };
        // Who has none is forgotten, so that the table is never larger than what is under way.
        match counts.of_one.get_mut(key) {
            Some(count) if *count > self.count => *count -= self.count,
            _ => drop(counts.of_one.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Principal {
        Principal { user: Some(UserId::new(name)), ..Principal::anonymous() }
    }

    #[test]
    fn each_has_so_many_streams_and_all_together_so_many() {
        let load = Load::new(2, 3);
        let places = [load.stream(&person("a")).unwrap(), load.stream(&person("a")).unwrap()];
        assert!(matches!(load.stream(&person("a")), Err(Refusal::TooMany { .. })));
        let other = load.stream(&person("b")).unwrap();
        assert!(matches!(load.stream(&person("b")), Err(Refusal::Busy { .. })));
        drop(places);
        assert!(load.stream(&person("a")).is_ok());
        drop(other);
        assert!(load.streams.lock().of_one.is_empty());
        assert_eq!(load.streams.lock().all, 0);
    }

    #[test]
    fn calls_are_counted_for_each_person_and_upstream() {
        let load = Load::new(0, 0);
        let places: Vec<_> = (0..MAX_CALLS_OF_ONE).map(|_| load.call(&person("a"), 0).unwrap()).collect();
        assert!(matches!(load.call(&person("a"), 0), Err(Refusal::TooMany { .. })));
        assert!(load.call(&person("a"), 1).is_ok() && load.call(&person("b"), 0).is_ok());
        drop(places);
        let all: Vec<_> = (0..MAX_CALLS).map(|_| load.call(&Principal::anonymous(), 0).unwrap()).collect();
        assert!(matches!(load.call(&person("b"), 0), Err(Refusal::Busy { .. })));
        drop(all);
        assert_eq!(load.calls.lock().all, 0);
    }

    #[test]
    fn answers_that_wait_to_be_read_are_counted_in_bytes() {
        let unread = Unread::default();
        let half = unread.add(&person("a"), MAX_UNREAD_OF_ONE / 2).unwrap();
        let other_half = unread.add(&person("a"), MAX_UNREAD_OF_ONE / 2).unwrap();
        assert!(unread.add(&person("a"), 1).is_none() && unread.add(&person("b"), 1).is_some());
        drop(half);
        assert!(unread.add(&person("a"), 1).is_some());
        let all = unread.add(&Principal::anonymous(), MAX_UNREAD - MAX_UNREAD_OF_ONE / 2).unwrap();
        assert!(unread.add(&person("b"), 1).is_none());
        drop((all, other_half));
        assert_eq!(unread.0.lock().all, 0);
        assert!(unread.0.lock().of_one.is_empty());
    }
}
