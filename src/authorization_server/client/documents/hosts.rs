//! Who is asked for documents and key sets, and on whose behalf: how often and how many requests at once, so that nobody can
//! have us knock at somebody's door without end, and what hangs holds up nobody else.
//!
//! What was let in before is fetched for all who use it, out of a share of its own: what strangers name can be anything, and
//! each of them has a small part of what there is for strangers, so that no one of them uses it up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use crate::authorization_server::client::documents::DocumentRefusal;
use crate::base::clock::Timestamp;
use crate::base::limit::Limit;
use crate::fetch::{Document, PublicClient, PublicFault};
use crate::identity::throttle::AddressKey;

/// How many requests to one host there are in an interval, in each of the two shares.
const MOST: u32 = 60;
/// How many of them one address may cause, to all hosts together.
const MOST_OF_ONE: u32 = 10;
/// The interval.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many requests to one host are under way at once, in each of the two shares.
const AT_ONCE: usize = 8;
/// How many one address may have under way to one host.
const AT_ONCE_OF_ONE: usize = 2;
/// How many one address may have under way to all hosts together.
const EVERYWHERE_OF_ONE: usize = 8;
/// How many are under way at once, whoever asks, in each of the two shares.
const AT_ONCE_OF_ALL: usize = 64;
/// How many hosts, and how many addresses, are remembered; when there are more, the intervals of all begin anew.
const MANY: usize = 10_000;

/// What is shown of them.
pub const LIMITS: [Limit; 7] = [
    Limit::count("fetches from one host in a minute, known and unknown each", MOST as usize, "a page, or 503"),
    Limit::count("fetches of unknown documents for one address in a minute", MOST_OF_ONE as usize, "a page, or 503"),
    Limit::count(
        "fetches from one host at once, known and unknown each",
        AT_ONCE,
        "they wait, as long as one may take",
    ),
    Limit::count("fetches for one address from one host at once", AT_ONCE_OF_ONE, "they wait, as long as one may take"),
    Limit::count("fetches for one address at once", EVERYWHERE_OF_ONE, "they wait, as long as one may take"),
    Limit::count("fetches of documents and keys at once, known and unknown each", AT_ONCE_OF_ALL, "they wait"),
    Limit::count("hosts and addresses whose fetches are counted", MANY, "counting begins anew"),
];

/// The hosts, and what was asked of each lately.
pub(super) struct Hosts {
    fetcher: PublicClient,
    timeout: Duration,
    hosts: Counts<(String, Share)>,
    askers: Counts<AddressKey>,
    askers_at_hosts: Counts<(AddressKey, String)>,
    known: Semaphore,
    unknown: Semaphore,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Share {
    Known,
    Unknown,
}

/// A fetch that somebody is about to cause, and until when it waits for its turn.
pub(super) struct Errand {
    until: Instant,
    /// Whose it is, and the places of this one that it takes, at the host and of all; `None`: everybody's.
    asker: Option<(AddressKey, [OwnedSemaphorePermit; 2])>,
}

impl Errand {
    /// Waits for something. The wait is bounded as a fetch is, however often it waits; a fetch that has its places has its whole
    /// time all the same.
    pub async fn wait<T>(&self, something: impl Future<Output = T>) -> Result<T, DocumentRefusal> {
        timeout_at(self.until, something).await.map_err(|_| DocumentRefusal::Busy)
    }
}

impl Hosts {
    /// Hosts that nobody was asked of yet. `timeout` is that of `fetcher`.
    pub fn new(fetcher: PublicClient, timeout: Duration) -> Self {
        Self {
            fetcher,
            timeout,
            hosts: Counts::new(MOST, AT_ONCE),
            askers: Counts::new(MOST_OF_ONE, EVERYWHERE_OF_ONE),
            askers_at_hosts: Counts::new(MOST_OF_ONE, AT_ONCE_OF_ONE),
            known: Semaphore::new(AT_ONCE_OF_ALL),
            unknown: Semaphore::new(AT_ONCE_OF_ALL),
        }
    }

    /// Whether such an address is fetched from at all.
    pub fn check(&self, url: &Url) -> Result<(), PublicFault> {
        self.fetcher.check(url)
    }

    /// For something that was let in before.
    pub fn for_known(&self) -> Errand {
        Errand { until: Instant::now() + self.timeout, asker: None }
    }

    /// For something at `url` that somebody at `asker` names. This comes before the turn of the document: who waits for the own
    /// places keeps nobody else from it.
    pub async fn for_stranger(&self, asker: AddressKey, url: &Url, now: Timestamp) -> Result<Errand, DocumentRefusal> {
        let mut errand = self.for_known();
        let at_host = self.askers_at_hosts.places((asker, host(url)), now);
        let everywhere = self.askers.places(asker, now);
        // The one at the host first: many people may be behind one address, and a host that hangs is to hold up only those who
        // want something of it.
        let places =
            async { Ok::<_, AcquireError>([at_host.acquire_owned().await?, everywhere.acquire_owned().await?]) };
        // The semaphores are never closed.
        let places = errand.wait(places).await?.map_err(|_| DocumentRefusal::Busy)?;
        errand.asker = Some((asker, places));
        Ok(errand)
    }

    /// Fetches a JSON document of at most `limit` bytes.
    pub async fn fetch(
        &self,
        url: &Url,
        limit: usize,
        errand: &Errand,
        now: Timestamp,
    ) -> Result<Document, DocumentRefusal> {
        let (share, everywhere) = match errand.asker {
            Some(_) => (Share::Unknown, &self.unknown),
            None => (Share::Known, &self.known),
        };
        let host = (host(url), share);
        // The asker is counted first: who has used up the own part takes nothing of what there is for all.
        let is_within = errand.asker.as_ref().is_none_or(|(asker, _)| self.askers.count(*asker, now))
            && self.hosts.count(host.clone(), now);
        if !is_within {
            return Err(DocumentRefusal::TooOften);
        }
        let at_host = self.hosts.places(host, now);
        // The place at the host comes first: who waits for a host that hangs holds up nobody else.
        let places = async { (at_host.acquire().await, everywhere.acquire().await) };
        let _places = errand.wait(places).await?;
        Ok(self.fetcher.json(url, limit).await?)
    }
}

fn host(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}

/// How often in an interval, and how many at once, for each of many.
struct Counts<K> {
    most: u32,
    at_once: usize,
    all: Mutex<HashMap<K, Count>>,
}

struct Count {
    began: Timestamp,
    count: u32,
    places: Arc<Semaphore>,
}

impl<K: Eq + Hash> Counts<K> {
    fn new(most: u32, at_once: usize) -> Self {
        Self { most, at_once, all: Mutex::default() }
    }

    /// The places of this one.
    fn places(&self, key: K, now: Timestamp) -> Arc<Semaphore> {
        self.with(key, now, |count| Arc::clone(&count.places))
    }

    /// Counts one more. `false`: there were too many.
    fn count(&self, key: K, now: Timestamp) -> bool {
        self.with(key, now, |count| {
            let is_within = count.count < self.most;
            count.count += u32::from(is_within);
            is_within
        })
    }

    fn with<T>(&self, key: K, now: Timestamp, act: impl FnOnce(&mut Count) -> T) -> T {
        // Nothing in here can be left half done.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MANY && !all.contains_key(&key) {
            all.retain(|_, one| now.since(one.began) < INTERVAL || one.places.available_permits() < self.at_once);
            if all.len() >= MANY {
                all.clear();
            }
        }
        let new = || Count { began: now, count: 0, places: Arc::new(Semaphore::new(self.at_once)) };
        let one = all.entry(key).or_insert_with(new);
        if now.since(one.began) >= INTERVAL {
            (one.began, one.count) = (now, 0);
        }
        act(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    #[test]
    fn cimd_11_a_host_is_asked_so_often_a_minute_and_no_more() {
        let hosts = Counts::new(MOST, AT_ONCE);
        let asked = |now| (0..1000).filter(|_| hosts.count("victim.example", now)).count();
        assert_eq!(asked(START), 60);
        assert!(hosts.count("other.example", START));
        assert_eq!((asked(START + INTERVAL - Duration::from_secs(1)), asked(START + INTERVAL)), (0, 60));
    }

    #[test]
    fn however_many_ask_what_is_remembered_is_bounded() {
        let askers = Counts::new(MOST_OF_ONE, AT_ONCE_OF_ONE);
        for number in 0..3 * MANY {
            assert!(askers.count(number, START));
            assert!(askers.all.lock().unwrap().len() <= MANY);
        }
    }
}
