//! When which key signs: decided from the times that stand in the names of the keys and from nothing else, so that every
//! process that sees the same files decides the same.
//!
//! A key signs from its time on, until that of the next. Times are given in order, the earliest first.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::limit::Limit;

/// How long a key is published before it signs: as long as other servers keep a key set, an hour by default.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(3600);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("new signing key that is published before it is used", PUBLISHED_BEFORE, "it waits")];
/// How long the processes that share a folder take at most to notice a key in it, with some room.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(3);
/// For clocks that differ and requests under way.
const MARGIN: Duration = Duration::from_secs(60);

/// Which of the keys signs. Before the first has its time, as after the one before was taken away, the first does: better
/// early than nothing.
pub fn signing(times: &[Timestamp], now: Timestamp) -> Option<usize> {
    let reached = times.iter().rposition(|time| *time <= now);
    reached.or_else(|| (!times.is_empty()).then_some(0))
}

/// Whether a key waits for its time. One that lies further ahead than any would was made under a wrong clock.
pub fn pending(times: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    times.iter().copied().find(|time| *time > now && *time <= now + PUBLISHED_BEFORE + MARGIN)
}

/// From when on a key has to sign that must be made now. `None`: none is due. An `interval` of zero never ends.
pub fn due(times: &[Timestamp], now: Timestamp, interval: Duration) -> Option<Timestamp> {
    let Some(signing) = signing(times, now).and_then(|index| times.get(index)) else { return Some(now) };
    if pending(times, now).is_some() || interval.is_zero() {
        return None;
    }
    let is_from_the_future = *signing > now;
    let ends = if is_from_the_future { now } else { *signing + interval };
    let earliest = now + PUBLISHED_BEFORE;
    (ends <= earliest).then_some(earliest)
}

/// How many of the first keys nobody can have a valid token of: the next signs for longer than the longest token lives.
pub fn ended(times: &[Timestamp], now: Timestamp, longest_token: Duration) -> usize {
    let keep = longest_token.saturating_add(MARGIN);
    let signing = signing(times, now).unwrap_or(0);
    times.iter().skip(1).take(signing).take_while(|next| **next + keep <= now).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_key_signs_from_its_time_until_that_of_the_next() {
        let times = [at(100), at(200)];
        assert_eq!([99, 100, 199, 200, 300].map(|now| signing(&times, at(now))), [0, 0, 0, 1, 1].map(Some));
        assert_eq!(signing(&[], at(1)), None);
    }

    #[test]
    fn the_next_is_made_an_hour_before_its_time_and_only_once() {
        let born = at(1_000_000);
        let before = born + 30 * DAY - HOUR - Duration::from_secs(1);
        assert_eq!(due(&[born], before, 30 * DAY), None);
        let now = born + 30 * DAY - HOUR;
        assert_eq!(due(&[born], now, 30 * DAY), Some(born + 30 * DAY));
        assert_eq!(due(&[born, born + 30 * DAY], now, 30 * DAY), None, "it waits already");
        // Who was away for long publishes it first all the same.
        let late = born + 90 * DAY;
        assert_eq!(due(&[born], late, 30 * DAY), Some(late + HOUR));
        assert_eq!(due(&[born], late, Duration::ZERO), None);
        assert_eq!(due(&[], late, Duration::ZERO), Some(late), "without any key there is no waiting");
    }

    #[test]
    fn a_key_of_a_wrong_clock_stops_nothing() {
        let (now, future) = (at(1_000_000), at(9_000_000));
        assert_eq!(due(&[future], now, DAY), Some(now + HOUR));
        assert_eq!(due(&[now, future], now + DAY, DAY), Some(now + DAY + HOUR));
        // Clocks that differ a little are no reason.
        assert_eq!(due(&[now + Duration::from_secs(10)], now, DAY), None);
    }

    #[test]
    fn a_key_is_kept_until_its_last_token_has_ended() {
        let times = [at(0), at(1000), at(5000)];
        let until = 1000 + 3600 + 60;
        assert_eq!([until - 1, until, 10_000_000].map(|now| ended(&times, at(now), HOUR)), [0, 1, 2]);
        assert_eq!(ended(&times[..1], at(i64::MAX), HOUR), 0, "the one that signs stays");
    }
}
