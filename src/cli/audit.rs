//! `mcp-bridge audit tail` and `verify`

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::audit::trail;
use crate::audit::verify::{self, Finding};
use crate::cli::arguments::{TailOptions, VerifyOptions};
use crate::cli::{Failure, grant, harmless, load, say};
use crate::config::Config;
use crate::config::section::AuditOutput;

/// How often the file is looked at for new lines.
const LOOKOUT: Duration = Duration::from_millis(250);

/// The columns, and how wide each is at least.
const COLUMNS: [(&str, usize); 8] = [
    ("ts", 20),
    ("event", 13),
    ("outcome", 9),
    ("reason", 18),
    ("subject", 12),
    ("oauth_client_id", 22),
    ("address", 15),
    ("request_id", 22),
];

pub(super) fn tail(path: &Path, options: &TailOptions) -> Result<(), Failure> {
    let config = load(path)?;
    let file = file_of(&config)?;
    let wanted = Wanted::of(options)?;
    let unreadable = |error: io::Error| Failure { code: 74, text: format!("{}: {error}", file.display()) };
    let (lines, mut follower) = trail::last(file, options.lines, &mut |line| wanted.has(line)).map_err(unreadable)?;
    if !options.json {
        say(COLUMNS.map(|(name, width)| format!("{name:width$}")).join("  ").trim_end())?;
    }
    lines.iter().try_for_each(|line| show(line, options.json))?;
    if !options.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(LOOKOUT);
        let mut shown = Ok(());
        let mut take = |line: &str| {
            if shown.is_ok() && wanted.has(line) {
                shown = show(line, options.json);
            }
        };
        follower.read(&mut take).map_err(unreadable)?;
        shown?;
    }
}

pub(super) fn verify(path: &Path, options: &VerifyOptions) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure { code: 74, text: format!("the trail cannot be read: {error}") };
    let parts = match options.files.as_slice() {
        [] => verify::parts(file_of(&load(path)?)?),
        files => verify::copies(files),
    };
    let parts = parts.map_err(unreadable)?;
    let (files, mut shown) = (parts.len(), Ok(()));
    let mut tell = |finding: Finding| {
        if shown.is_ok() {
            shown = say(harmless(&finding.to_string()));
        }
    };
    let found = verify::verify(parts, options.contains.as_deref(), &mut tell).map_err(unreadable)?;
    shown?;
    say(format!("lines {}, files {files}, faults {}", found.lines, found.faults))?;
    say(format!("chain {}", harmless(found.last.as_deref().unwrap_or("-"))))?;
    match &options.contains {
        _ if found.faults > 0 => fail("the trail is not as it was written"),
        Some(wanted) if !found.is_found => fail(&format!(
            "no line has the chain {wanted}: lines were taken away, written anew, or put aside too long ago"
        )),
        _ => Ok(()),
    }
}

fn fail(text: &str) -> Result<(), Failure> {
    Err(Failure { code: 1, text: text.to_owned() })
}

fn file_of(config: &Config) -> Result<&Path, Failure> {
    match config.audit.as_ref().map(|section| &section.output) {
        Some(AuditOutput::File(path)) => Ok(path),
        Some(AuditOutput::Stdout) => {
            let text = "audit.path is stdout: whatever reads the standard output of the bridge keeps the trail";
            Err(Failure { code: 78, text: text.to_owned() })
        }
        None => {
            let text = "nothing is recorded; write `audit: {enabled: true}` into the configuration";
            Err(Failure { code: 78, text: text.to_owned() })
        }
    }
}

/// Which lines are asked for.
struct Wanted<'a> {
    events: &'a [String],
    user: Option<String>,
    client: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(options: &'a TailOptions) -> Result<Self, Failure> {
        let user = options.user.as_deref().map(grant::whose).transpose()?;
        Ok(Self {
            events: &options.event,
            user: user.map(|user| user.as_str().to_owned()),
            client: options.client.as_deref(),
        })
    }

    fn has(&self, line: &str) -> bool {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |member: &str| line[member].as_str();
        (self.events.is_empty() || self.events.iter().any(|event| text("event") == Some(event)))
            && self.user.as_deref().is_none_or(|user| text("subject") == Some(user))
            && self.client.is_none_or(|client| text("oauth_client_id") == Some(client))
    }
}

fn show(line: &str, json: bool) -> Result<(), Failure> {
    // The bridge writes none of it; somebody else's line may have it.
    let line = harmless(line);
    if json {
        return say(line);
    }
    let value: Value = serde_json::from_str(&line).unwrap_or_default();
    if !value.is_object() {
        return say(line);
    }
    let columns = COLUMNS.map(|(name, width)| format!("{:width$}", harmless(value[name].as_str().unwrap_or("-"))));
    say(columns.join("  ").trim_end())
}
