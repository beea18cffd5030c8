//! Bounds of how often something may happen.

use std::time::Duration;

use crate::config::reader::Reader;

/// So many in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// `limit`; 0: no bound.
    pub limit: u32,
    /// `interval`.
    pub interval: Duration,
}

impl RateLimit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            limit: reader.count("limit", 20, "So many in one interval. 0: no bound."),
            interval: reader.duration("interval", "1m", "The interval."),
        }
    }
}
