//! How long to wait before an upstream is tried again.

use std::time::Duration;

use crate::base::random;
use crate::config::section::RestartPolicy;

/// A life of this length starts the count anew.
const SETTLED: Duration = Duration::from_secs(60);

/// Waits that grow twofold, up to a bound.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: RestartPolicy,
    restarts: u32,
}

impl Backoff {
    /// As a child's settings have it.
    #[must_use]
    pub const fn new(policy: RestartPolicy) -> Self {
        Self { policy, restarts: 0 }
    }

    /// For a server that somebody else runs: from half a second to half a minute, for ever.
    #[must_use]
    pub const fn of_remote() -> Self {
        let delay = Duration::from_millis(500);
        Self::new(RestartPolicy { enabled: true, max_restarts: None, delay, max_delay: Duration::from_secs(30) })
    }

    /// The wait before the next try after a life of `lived`; `None` when there is to be none.
    pub fn next(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= SETTLED {
            self.restarts = 0;
        }
        if !self.policy.enabled || self.policy.max_restarts.is_some_and(|most| self.restarts >= most) {
            return None;
        }
        let factor = 2_u32.saturating_pow(self.restarts.min(20));
        self.restarts += 1;
        let wait = self.policy.delay.saturating_mul(factor).min(self.policy.max_delay);
        // Up to a tenth more, so that what failed together does not come back together.
        let [jitter] = random::bytes::<1>();
        Some(wait + wait.mul_f64(f64::from(jitter) / 2560.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_5_waits_grow_to_a_bound_and_a_settled_life_starts_anew() {
        let mut backoff = Backoff::of_remote();
        let waits: Vec<u128> =
            (0..10).filter_map(|_| backoff.next(Duration::ZERO)).map(|wait| wait.as_millis()).collect();
        for (wait, least) in waits.iter().zip([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]) {
            assert!((least..=least + least / 10).contains(wait), "{waits:?}");
        }
        assert!(backoff.next(SETTLED).unwrap() < Duration::from_millis(551));
    }

    #[test]
    fn restarts_in_a_row_are_counted() {
        let policy = RestartPolicy { max_restarts: Some(2), ..Backoff::of_remote().policy };
        let mut backoff = Backoff::new(policy);
        assert!(backoff.next(Duration::ZERO).is_some() && backoff.next(Duration::ZERO).is_some());
        assert!(backoff.next(Duration::ZERO).is_none());
        assert!(Backoff::new(RestartPolicy { enabled: false, ..policy }).next(SETTLED).is_none());
    }
}
