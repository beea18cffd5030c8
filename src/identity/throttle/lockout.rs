//! Guessing at an account is slowed, for each address apart, so that nobody can lock another person out.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::base::digest::Digest;
use crate::base::id::UserId;
use crate::config::section::Lockout;
use crate::identity::throttle::address::AddressKey;
use crate::identity::throttle::table::Table;
use crate::identity::throttle::{CAPACITY, LONGEST, RetryAfter};

/// From so many times `max_failures` on, counted over all addresses, an account is taken to be under attack.
const ATTACK: u32 = 10;
/// What is then left to each address: enough for its owner to mistype, not much for a guesser with many addresses.
/// Never nothing, since that would let anybody lock anybody out.
const ALLOWANCE_UNDER_ATTACK: u32 = 3;

/// Failed logins of each account, lately.
pub struct LoginThrottle {
    lockout: Lockout,
    tables: Mutex<Tables>,
}

struct Tables {
    from_address: Table<PairKey, Failures>,
    of_account: Table<Digest, Failures>,
}

type PairKey = (Digest, AddressKey);

/// Attempts that failed or have not ended yet, in a window that began with the first.
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: Instant,
}

/// Leave to try one password. It counts as a failure from the start, so that parallel guesses cannot all be "the last one",
/// and stays one unless it is given back.
#[must_use]
pub struct Reservation<'a> {
    throttle: &'a LoginThrottle,
    key: PairKey,
}

fn bounded(lockout: Lockout) -> Lockout {
    Lockout { max_failures: lockout.max_failures.max(1), window: lockout.window.min(LONGEST) }
}

impl LoginThrottle {
    /// One that has seen nobody yet. At least one failure is allowed.
    pub fn new(lockout: Lockout) -> Self {
        let tables = Tables { from_address: Table::new(CAPACITY), of_account: Table::new(CAPACITY) };
        Self { lockout: bounded(lockout), tables: Mutex::new(tables) }
    }

    /// Whether it counts as this section says.
    pub fn is_of(&self, lockout: Lockout) -> bool {
        self.lockout == bounded(lockout)
    }

    /// Asks for leave to try a password. `None` stands for all names that cannot be anybody's.
    ///
    /// # Errors
    /// Too many have failed for this account from this address.
    pub fn reserve(
        &self,
        account: Option<&UserId>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Reservation<'_>, RetryAfter> {
        let account = Digest::of_bytes(account.map_or("", UserId::as_str).as_bytes());
        let key = (account, AddressKey::of(address));
        let Tables { from_address, of_account } = &mut *self.lock();
        let fresh = Failures { count: 0, until: now + self.lockout.window };
        let all = of_account.get_or_add(account, fresh, |failures| failures.until <= now).current(fresh, now);
        let here = from_address.get_or_add(key, fresh, |failures| failures.until <= now).current(fresh, now);
        if here.count >= self.allowance(all.count) {
            return Err(RetryAfter(here.until.saturating_duration_since(now)));
        }
        here.count += 1;
        all.count = all.count.saturating_add(1);
        Ok(Reservation { throttle: self, key })
    }

    fn allowance(&self, failures_of_account: u32) -> u32 {
        let max = self.lockout.max_failures;
        if failures_of_account < max.saturating_mul(ATTACK) { max } else { max.min(ALLOWANCE_UNDER_ATTACK) }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// It was the password: this address starts anew.
    pub fn succeeded(self) {
        let Tables { from_address, of_account } = &mut *self.throttle.lock();
        let forgiven = from_address.remove(&self.key).map_or(0, |failures| failures.count);
        if let Some(all) = of_account.get_mut(&self.key.0) {
            all.count = all.count.saturating_sub(forgiven);
        }
    }

    /// The password was not looked at.
    pub fn give_back(self) {
        let Tables { from_address, of_account } = &mut *self.throttle.lock();
        for failures in from_address.get_mut(&self.key).into_iter().chain(of_account.get_mut(&self.key.0)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

impl Failures {
    /// These, or a new window if theirs is over.
    fn current(&mut self, fresh: Self, now: Instant) -> &mut Self {
        if self.until <= now {
            *self = fresh;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(900);

    fn throttle() -> LoginThrottle {
        LoginThrottle::new(Lockout { max_failures: 10, window: WINDOW })
    }

    fn attempts(throttle: &LoginThrottle, address: IpAddr, now: Instant) -> usize {
        let alice = UserId::new("alice");
        (0..100).take_while(|_| throttle.reserve(Some(&alice), address, now).is_ok()).count()
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn failures_are_forgotten_when_the_window_is_over_and_not_before() {
        let (throttle, now) = (throttle(), Instant::now());
        assert_eq!(attempts(&throttle, address(1), now), 10);
        let almost = now + WINDOW - Duration::from_secs(1);
        assert_eq!(attempts(&throttle, address(1), almost), 0);
        let refused = throttle.reserve(Some(&UserId::new("alice")), address(1), almost).map(|_| ());
        assert_eq!(refused, Err(RetryAfter(Duration::from_secs(1))));
        assert_eq!(attempts(&throttle, address(1), now + WINDOW), 10);
    }

    #[test]
    fn what_is_given_back_does_not_count_and_success_starts_anew() {
        let (throttle, now, alice) = (throttle(), Instant::now(), UserId::new("alice"));
        for _ in 0..100 {
            throttle.reserve(Some(&alice), address(1), now).map(Reservation::give_back).unwrap();
        }
        for _ in 0..9 {
            let _failed = throttle.reserve(Some(&alice), address(1), now).unwrap();
        }
        throttle.reserve(Some(&alice), address(1), now).map(Reservation::succeeded).unwrap();
        assert_eq!(attempts(&throttle, address(1), now), 10);
    }

    #[test]
    fn login_15_whoever_attacks_a_name_does_not_lock_its_owner_out() {
        let (throttle, now) = (throttle(), Instant::now());
        for attacker in 1..=10 {
            assert_eq!(attempts(&throttle, address(attacker), now), 10);
        }
        // Guessing is slowed from here on, for every further address; the owner is at a thousandth one.
        for attacker in 11..1000 {
            assert_eq!(attempts(&throttle, address(attacker), now), 3);
        }
        assert_eq!(attempts(&throttle, address(1000), now), 3);
        assert!(throttle.reserve(Some(&UserId::new("bob")), address(1), now).is_ok());
    }

    #[test]
    fn login_14_leave_is_given_to_so_many_threads_and_no_more() {
        let (throttle, now) = (throttle(), Instant::now());
        let given: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| attempts(&throttle, address(1), now))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(given, 10);
    }

    #[test]
    fn a_throttle_set_to_nought_still_lets_people_in() {
        let throttle = LoginThrottle::new(Lockout { max_failures: 0, window: WINDOW });
        assert_eq!(attempts(&throttle, address(1), Instant::now()), 1);
    }
}
