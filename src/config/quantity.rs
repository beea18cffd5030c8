//! Durations as Go writes them (`1h30m`, `100ms`, and `14d`) and sizes (`10MiB`).

use std::time::Duration;

const NANOSECONDS: [(&str, u128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const BYTES: [(&str, usize); 11] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// No duration is longer than a hundred years, so that adding one to a time cannot overflow.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads `1h30m`, `1.5h`, `100ms`, `14d`; a bare whole number is seconds. `None`: not a duration, or above [`LONGEST`].
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into())).filter(|duration| *duration <= LONGEST);
    }
    let mut nanoseconds: u128 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, scale) = NANOSECONDS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds = nanoseconds.checked_add(scaled(number, *scale)?)?;
        rest = after;
    }
    let duration = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    (duration <= LONGEST).then_some(duration)
}

/// `number`, which may have a decimal point, times `scale`.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u128::from(whole).checked_mul(scale)?.checked_add(u128::from(part) * scale / divisor)
}

/// The shortest writing that [`parse_duration`] reads as the same: `1h30m`, `14d`, `500ms`, `0s`.
pub fn print_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = duration.as_nanos();
    for (unit, scale) in NANOSECONDS.iter().rev().filter(|(unit, _)| !unit.starts_with(['µ', 'μ'])) {
        if rest >= *scale {
            text.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    text
}

/// Reads `10MiB`, `5kB`, or a bare number of bytes.
pub fn parse_size(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, scale) = BYTES.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<usize>().ok()?.checked_mul(*scale)
}

/// The writing with the largest binary unit that loses nothing.
pub fn print_size(size: usize) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if size >= scale && size.is_multiple_of(scale) {
            return format!("{}{unit}", size / scale);
        }
    }
    size.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        for (text, milliseconds, printed) in [
            ("1h30m", 5_400_000, "1h30m"),
            ("100ms", 100, "100ms"),
            ("90", 90_000, "1m30s"),
            ("14d", 1_209_600_000, "14d"),
            ("24h", 86_400_000, "1d"),
            ("1.5h", 5_400_000, "1h30m"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let duration = parse_duration(text);
            assert_eq!(duration, Some(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(duration.map(print_duration).as_deref(), Some(printed), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "h", "1x", "-1s", "1h30", "1 h", "1..5h", ".5h", "99999999999999999999s", "101000d", "1e3s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_printed() {
        for (text, bytes, printed) in
            [("10MiB", 10 << 20, "10MiB"), ("5kB", 5_000, "5000"), ("1 KiB", 1024, "1KiB"), ("7", 7, "7")]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(parse_size(text).map(print_size).as_deref(), Some(printed), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "10 mib", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
