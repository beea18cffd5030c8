//! Slows down guessing and flooding. In memory, on monotonic time; forgotten at a restart.

mod address;
mod lockout;
mod table;

use std::time::Duration;

use crate::base::limit::Limit;

pub use address::{AddressKey, AddressLimit};
pub use lockout::{LoginThrottle, Reservation};

/// How many addresses, or accounts, each table remembers: some 100 bytes each.
const CAPACITY: usize = 20_000;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::count("addresses or accounts that each throttle remembers", CAPACITY, "the oldest is forgotten")];

/// No interval is longer: far beyond any use, and points in time can be added to without overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// The value of `Retry-After` (RFC 9110 §10.2.3): whole seconds, not too few, at least one.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0)).max(1)
    }
}
