//! How often one host is asked, so that nobody can have us knock at somebody's door without end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Timestamp;

/// How many requests to one host there are in an interval.
const MOST: u32 = 30;
/// The interval.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many hosts are remembered; when there are more, the intervals of all begin anew.
const MANY: usize = 10_000;

/// What was asked of which host lately.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<String, (Timestamp, u32)>>);

impl Hosts {
    /// Counts a request. An error: this host was asked too often.
    pub fn ask(&self, host: &str, now: Timestamp) -> Result<(), ()> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MANY {
            hosts.retain(|_, (began, _)| now.since(*began) < INTERVAL);
        }
        if hosts.len() >= MANY {
            hosts.clear();
        }
        let (began, count) = hosts.entry(host.to_owned()).or_insert((now, 0));
        if now.since(*began) >= INTERVAL {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        if *count <= MOST { Ok(()) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cimd_11_a_host_is_asked_so_often_a_minute_and_no_more() {
        let (hosts, start) = (Hosts::default(), Timestamp::from_unix(1_800_000_000));
        let asked = |now| (0..1000).filter(|_| hosts.ask("victim.example", now).is_ok()).count();
        assert_eq!(asked(start), 30);
        assert!(hosts.ask("other.example", start).is_ok());
        assert_eq!((asked(start + INTERVAL - Duration::from_secs(1)), asked(start + INTERVAL)), (0, 30));
    }
}
