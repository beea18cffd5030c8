//! `mcp-bridge key list|rotate`

use std::path::Path;

use crate::audit::{Audit, Event, KeyChange};
use crate::base::clock::{Clock, Timestamp};
use crate::cli::arguments::KeyCommand;
use crate::cli::{Failure, load, recorded, say};
use crate::config::section::Signing;
use crate::keys::{Begin, KeyRole, Keys, ListedKey, Rotated};

pub(super) fn run(path: &Path, command: &KeyCommand) -> Result<(), Failure> {
    let config = load(path)?;
    let Some(section) = &config.oauth_server else {
        return Err(Failure::usage("server.oauth_server is not enabled, so there are no keys"));
    };
    match command {
        KeyCommand::List => {
            Keys::list(&section.signing, Clock::system().now()).map_err(failed)?.iter().try_for_each(row)
        }
        KeyCommand::Rotate { now: at_once } => {
            let begin = if *at_once { Begin::AtOnce } else { Begin::Published };
            recorded(&config, async |audit, _| rotate(&section.signing, begin, audit).await)
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
    let time = time.filter(|time| time.unix() > 0).map(Timestamp::rfc3339).unwrap_or_default();
    let path = key.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    say([key.key_id.as_str(), key.algorithm, role, &time, &path].join("\t"))
}

async fn rotate(signing: &Signing, begin: Begin, audit: &Audit) -> Result<(), Failure> {
    if let Some(key_file) = &signing.key_file {
        let path = key_file.display();
        return Err(Failure::usage(format!(
            "{path} is yours to replace: make a key with `mcp-bridge keygen --out FILE`, name it in additional_keys for an hour, then in key_file, with the one before in additional_keys"
        )));
    }
    if signing.ephemeral {
        return Err(Failure::usage("signing.ephemeral keeps the keys in memory; a restart makes new ones"));
    }
    audit.check().await?;
    match Keys::rotate(signing, begin, &Clock::system()).map_err(failed)? {
        Rotated::Added(key) => {
            let (KeyRole::Next(from) | KeyRole::Signs(from) | KeyRole::Before(from)) = key.role else { return Ok(()) };
            audit.record(Event::KeyChanged { key_id: &key.key_id, change: KeyChange::Made }).await?;
            say(format!("{} signs from {}", key.key_id, from.rfc3339()))
        }
        Rotated::Waiting(from) => {
            say(format!("a key is published already, and signs from {}; --now does not wait", from.rfc3339()))
        }
    }
}

fn failed(error: crate::keys::KeyError) -> Failure {
    Failure::from(crate::app::StartError::from(error))
}
