//! So many requests from one address in an interval.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::section::RateLimit;
use crate::identity::throttle::table::Table;
use crate::identity::throttle::{CAPACITY, LONGEST, RetryAfter};

/// Whose bucket an address is counted in: an IPv4 address, however it is written, or the /64 that one IPv6 customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressKey(IpAddr);

impl AddressKey {
    /// The bucket of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A limit for each client address, with the whole limit as burst.
pub struct AddressLimit {
    limit: RateLimit,
    /// For each address when its bucket will be full again (the theoretical arrival time of GCRA, ITU-T I.371).
    full_at: Mutex<Table<AddressKey, Instant>>,
}

impl AddressLimit {
    /// A limit that nobody has used yet. A limit of 0 is none.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        let limit = RateLimit { interval: limit.interval.min(LONGEST), ..limit };
        Self { limit, full_at: Mutex::new(Table::new(CAPACITY)) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// It is one too many; it was not counted.
    pub fn check(&self, address: IpAddr) -> Result<(), RetryAfter> {
        self.check_at(address, Instant::now())
    }

    /// A request that was counted turned out to be none of those that are bounded.
    pub fn give_back(&self, address: IpAddr) {
        if self.limit.limit == 0 {
            return;
        }
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = table.get_mut(&AddressKey::of(address)) {
            let share = self.limit.interval / self.limit.limit;
            *full_at = full_at.checked_sub(share).unwrap_or(*full_at);
        }
    }

    /// [`AddressLimit::check`] at a time of the caller's choice.
    ///
    /// # Errors
    /// As there.
    pub fn check_at(&self, address: IpAddr, now: Instant) -> Result<(), RetryAfter> {
        if self.limit.limit == 0 {
            return Ok(());
        }
        let share = self.limit.interval / self.limit.limit;
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = table.get_or_add(AddressKey::of(address), now, |full_at| *full_at <= now);
        let after = (*full_at).max(now) + share;
        match after.saturating_duration_since(now + self.limit.interval) {
            wait if wait.is_zero() => {
                *full_at = after;
                Ok(())
            }
            wait => Err(RetryAfter(wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limit(limit: u32) -> AddressLimit {
        AddressLimit::new(RateLimit { limit, interval: Duration::from_secs(60) })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_limit_is_a_burst_and_then_a_pace() {
        let (limit, now) = (limit(20), Instant::now());
        let here = address("192.0.2.1");
        for _ in 0..20 {
            assert_eq!(limit.check_at(here, now), Ok(()));
        }
        assert_eq!(limit.check_at(here, now), Err(RetryAfter(Duration::from_secs(3))));
        assert_eq!(limit.check_at(address("192.0.2.2"), now), Ok(()));
        let later = now + Duration::from_secs(3);
        assert_eq!(limit.check_at(here, later), Ok(()));
        assert_eq!(limit.check_at(here, later).map_err(|retry| retry.seconds()), Err(3));
        assert_eq!((0..30).filter(|_| limit.check_at(here, now + Duration::from_secs(3600)).is_ok()).count(), 20);
    }

    #[test]
    fn what_is_given_back_was_never_asked() {
        let (limit, now) = (limit(2), Instant::now());
        let here = address("192.0.2.1");
        for _ in 0..100 {
            assert_eq!(limit.check_at(here, now), Ok(()));
            limit.give_back(here);
        }
        let answers = [(); 3].map(|()| limit.check_at(here, now).is_ok());
        assert_eq!(answers, [true, true, false]);
    }

    #[test]
    fn absurd_intervals_do_no_harm() {
        for interval in [Duration::MAX, Duration::ZERO] {
            let limit = AddressLimit::new(RateLimit { limit: 1, interval });
            let answers = [(); 2].map(|()| limit.check(address("192.0.2.1")).is_ok());
            assert_eq!(answers, [true, interval.is_zero()]);
        }
    }

    #[test]
    fn a_limit_of_nought_is_none() {
        let limit = limit(0);
        assert!((0..1000).all(|_| limit.check(address("192.0.2.1")).is_ok()));
    }

    #[test]
    fn login_16_spellings_of_an_address_share_a_bucket() {
        let same = [
            ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201"],
            ["2001:db8:1:2::1", "2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:0db8:0001:0002:0:0:0:9"],
        ];
        for spellings in same {
            let (limit, now) = (limit(2), Instant::now());
            let answers = spellings.map(|spelling| limit.check_at(address(spelling), now).is_ok());
            assert_eq!(answers, [true, true, false], "{spellings:?}");
        }
        assert_ne!(AddressKey::of(address("2001:db8:1:2::1")), AddressKey::of(address("2001:db8:1:3::1")));
        assert_ne!(AddressKey::of(address("192.0.2.1")), AddressKey::of(address("192.0.2.2")));
    }
}
