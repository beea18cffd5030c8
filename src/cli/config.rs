//! `mcp-bridge config check|show|schema`

use std::path::Path;

use crate::app;
use crate::base::limit::Limit;
use crate::cli::arguments::ConfigCommand;
use crate::cli::{Failure, load, say};
use crate::config;
use crate::keys::Keys;
use crate::telemetry;

pub(super) fn run(path: &Path, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { strict } => check(path, *strict),
        ConfigCommand::Show { limits: false } => say(config::show(path)?.trim_end()),
        ConfigCommand::Show { limits: true } => show_limits(path),
        ConfigCommand::Schema => say(format!("{:#}", config::schema())),
    }
}

/// One line a bound, in columns.
fn show_limits(path: &Path) -> Result<(), Failure> {
    let mut limits = app::limits(&load(path)?);
    limits.extend(telemetry::LIMITS);
    let widest = |column: fn(&Limit) -> usize| limits.iter().map(column).max().unwrap_or(0);
    let (name, amount) = (widest(|limit| limit.name.len()), widest(|limit| limit.amount.to_string().len()));
    let breach = widest(|limit| limit.on_breach.len());
    for limit in &limits {
        let key = limit.key.as_deref().unwrap_or("-");
        let value = limit.amount.to_string();
        say(format!("{:name$}  {value:>amount$}  {:breach$}  {key}", limit.name, limit.on_breach))?;
    }
    Ok(())
}

fn check(path: &Path, strict: bool) -> Result<(), Failure> {
    let config = if strict { load(path)?.strict(path)? } else { load(path)? };
    for warning in &config.warnings {
        say(format!("warning: {warning}"))?;
    }
    // What a key file holds is known only when it is read as a key.
    let signing = config.oauth_server.as_ref().map(|section| &section.signing);
    let word = signing.map_or(Ok(None), Keys::check).map_err(|error| Failure { code: 78, text: error.to_string() })?;
    match word {
        Some(word) if strict => return Err(Failure { code: 78, text: word }),
        Some(word) => say(format!("warning: {word}"))?,
        None => {}
    }
    say(format!("{}: good", path.display()))
}
