//! `mcp-bridge key list|rotate`

use std::path::Path;

use crate::base::clock::{Clock, Timestamp};
use crate::cli::arguments::KeyCommand;
use crate::cli::{Failure, load, say};
use crate::config::section::Signing;
use crate::keys::{Begin, KeyRole, Keys, ListedKey, Rotated};

pub(super) fn run(path: &Path, command: &KeyCommand) -> Result<(), Failure> {
    let config = load(path)?;
    let Some(section) = &config.oauth_server else {
        return Err(Failure::usage("server.oauth_server is not enabled, so there are no keys"));
    };
    let now = Clock::system().now();
    match command {
        KeyCommand::List => Keys::list(&section.signing, now).map_err(failed)?.iter().try_for_each(row),
        KeyCommand::Rotate { now: at_once } => {
            let begin = if *at_once { Begin::AtOnce } else { Begin::Published };
            rotate(&section.signing, begin, now)
        }
    }
}

/// The columns: `kid`, algorithm, what it is for, since or from when, and the file.
fn row(key: &ListedKey) -> Result<(), Failure> {
    let (role, time) = match key.role {
        KeyRole::Next(time) => ("next", Some(time)),
        KeyRole::Signs(time) => ("signs", Some(time)),
        KeyRole::Before(time) => ("before", Some(time)),
        KeyRole::Additional => ("additional", None),
    };
    // A key of a file that is the operator's has signed for ever.
    let time = time.filter(|time| time.unix() > 0).map(utc).unwrap_or_default();
    let path = key.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    say([key.key_id.as_str(), key.algorithm, role, &time, &path].join("\t"))
}

fn rotate(signing: &Signing, begin: Begin, now: Timestamp) -> Result<(), Failure> {
    if let Some(key_file) = &signing.key_file {
        let path = key_file.display();
        return Err(Failure::usage(format!(
            "{path} is yours to replace: make a key with `mcp-bridge keygen --out FILE`, name it in additional_keys for an hour, then in key_file, with the one before in additional_keys"
        )));
    }
    if signing.ephemeral {
        return Err(Failure::usage("signing.ephemeral keeps the keys in memory; a restart makes new ones"));
    }
    match Keys::rotate(signing, begin, now).map_err(failed)? {
        Rotated::Added(key) => {
            let (KeyRole::Next(from) | KeyRole::Signs(from) | KeyRole::Before(from)) = key.role else { return Ok(()) };
            say(format!("{} signs from {}", key.key_id, utc(from)))
        }
        Rotated::Waiting(from) => {
            say(format!("a key is published already, and signs from {}; --now does not wait", utc(from)))
        }
    }
}

fn failed(error: crate::keys::KeyError) -> Failure {
    Failure::from(crate::app::StartError::from(error))
}

/// RFC 3339, in UTC. Days are counted from 1 March of the year 0, so that the leap day comes last.
fn utc(time: Timestamp) -> String {
    let (days, second) = (time.unix().div_euclid(86_400) + 719_468, time.unix().rem_euclid(86_400));
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(Timestamp::from_unix(seconds)), text);
        }
    }
}
