//! A moment in the past, in words that are the same in every time zone: a page without JavaScript knows of none.

use std::fmt;

use actix_web::cookie::time::OffsetDateTime;

use crate::base::clock::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long ago something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    at: Timestamp,
    now: Timestamp,
}

impl When {
    /// `at`, told at `now`.
    #[must_use]
    pub const fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }

    /// As HTML's `datetime` has it, in UTC; empty for what no calendar has.
    #[must_use]
    pub fn exact(&self) -> String {
        let Ok(time) = OffsetDateTime::from_unix_timestamp(self.at.unix()) else { return String::new() };
        let (month, day) = (u8::from(time.month()), time.day());
        format!("{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time.year(), time.hour(), time.minute(), time.second())
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ago = |count: u64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
        match self.now.since(self.at).as_secs() {
            0..MINUTE => f.write_str("just now"),
            seconds @ MINUTE..HOUR => f.write_str(&ago(seconds / MINUTE, "minute")),
            seconds @ HOUR..DAY => f.write_str(&ago(seconds / HOUR, "hour")),
            seconds if seconds < 30 * DAY => f.write_str(&ago(seconds / DAY, "day")),
            _ => match OffsetDateTime::from_unix_timestamp(self.at.unix()) {
                Ok(time) => write!(f, "on {} {} {}", time.day(), time.month(), time.year()),
                Err(_) => f.write_str("long ago"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_is_told_from_now() {
        let now = Timestamp::from_unix(1_800_000_000);
        for (seconds, words) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (7200, "2 hours ago"),
            (86_400, "1 day ago"),
            (29 * 86_400, "29 days ago"),
            (30 * 86_400, "on 16 December 2026"),
        ] {
            let at = Timestamp::from_unix(1_800_000_000 - seconds);
            assert_eq!(When::new(at, now).to_string(), words);
        }
        assert_eq!(When::new(Timestamp::from_unix(1_800_000_100), now).to_string(), "just now", "of another clock");
        assert_eq!(When::new(now, now).exact(), "2027-01-15T08:00:00Z");
        assert_eq!(When::new(Timestamp::from_unix(i64::MAX), now).exact(), "");
    }
}
