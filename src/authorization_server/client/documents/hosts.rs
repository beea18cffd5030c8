//! Who is asked for documents and key sets: how often one host, so that nobody can have us knock at somebody's door without
//! end, and how many requests to it at once, so that one that hangs does not hold up the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use url::{Position, Url};

use crate::authorization_server::client::documents::DocumentRefusal;
use crate::base::clock::Timestamp;
use crate::base::limit::Limit;
use crate::fetch::{Document, FetchError, PublicClient, PublicFault};

/// How many requests to one host there are in an interval.
const MOST: u32 = 30;
/// The interval.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many requests to one host are under way at once.
const AT_ONCE: usize = 4;
/// How many hosts are remembered; when there are more, the intervals of all begin anew.
const MANY: usize = 10_000;

/// What is shown of them.
pub const LIMITS: [Limit; 3] = [
    Limit::count("fetches from one host in a minute", MOST as usize, "a page, or 503"),
    Limit::count("fetches from one host at once", AT_ONCE, "they wait, as long as a fetch may take"),
    Limit::count("hosts whose fetches are counted", MANY, "counting begins anew"),
];

/// The hosts, and what was asked of each lately.
pub(super) struct Hosts {
    fetcher: PublicClient,
    timeout: Duration,
    asked: Asked,
}

#[derive(Default)]
struct Asked(Mutex<HashMap<String, Host>>);

struct Host {
    began: Timestamp,
    count: u32,
    places: Arc<Semaphore>,
}

impl Hosts {
    /// Hosts that nobody was asked of yet. A fetch takes at most `timeout`, waiting included.
    pub fn new(fetcher: PublicClient, timeout: Duration) -> Self {
        Self { fetcher, timeout, asked: Asked::default() }
    }

    /// Whether such an address is fetched from at all.
    pub fn check(&self, url: &Url) -> Result<(), PublicFault> {
        self.fetcher.check(url)
    }

    /// Fetches a JSON document of at most `limit` bytes.
    pub async fn fetch(&self, url: &Url, limit: usize, now: Timestamp) -> Result<Document, DocumentRefusal> {
        let places =
            self.asked.count(&url[Position::BeforeHost..Position::AfterPort], now).ok_or(DocumentRefusal::TooOften)?;
        let whole = async {
            // The place at the host comes first: who waits for a host that hangs holds up nobody else.
            let _place = places.acquire().await.map_err(|_| PublicFault::Busy)?;
            self.fetcher.json(url, limit).await
        };
        let fetched = tokio::time::timeout(self.timeout, whole).await;
        Ok(fetched.unwrap_or(Err(PublicFault::Fetch(FetchError::TimedOut)))?)
    }
}

impl Asked {
    /// Counts a request, and gives the places there are. `None`: this host was asked too often.
    fn count(&self, host: &str, now: Timestamp) -> Option<Arc<Semaphore>> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MANY {
            hosts.retain(|_, host| now.since(host.began) < INTERVAL);
        }
        if hosts.len() >= MANY {
            hosts.clear();
        }
        let new = || Host { began: now, count: 0, places: Arc::new(Semaphore::new(AT_ONCE)) };
        let host = hosts.entry(host.to_owned()).or_insert_with(new);
        if now.since(host.began) >= INTERVAL {
            (host.began, host.count) = (now, 0);
        }
        host.count += 1;
        (host.count <= MOST).then(|| Arc::clone(&host.places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cimd_11_a_host_is_asked_so_often_a_minute_and_no_more() {
        let (hosts, start) = (Asked::default(), Timestamp::from_unix(1_800_000_000));
        let asked = |now| (0..1000).filter(|_| hosts.count("victim.example", now).is_some()).count();
        assert_eq!(asked(start), 30);
        assert!(hosts.count("other.example", start).is_some());
        assert_eq!((asked(start + INTERVAL - Duration::from_secs(1)), asked(start + INTERVAL)), (0, 30));
    }
}
