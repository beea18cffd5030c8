//! `mcp-bridge config check|show|schema`

use std::path::Path;

use crate::cli::arguments::ConfigCommand;
use crate::cli::{Failure, load, say};
use crate::config;
use crate::keys::Keys;

pub(super) fn run(path: &Path, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { strict } => check(path, *strict),
        ConfigCommand::Show => say(config::show(path)?.trim_end()),
        ConfigCommand::Schema => say(format!("{:#}", config::schema())),
    }
}

fn check(path: &Path, strict: bool) -> Result<(), Failure> {
    let config = if strict { load(path)?.strict(path)? } else { load(path)? };
    for warning in &config.warnings {
        say(format!("warning: {warning}"))?;
    }
    // What a key file holds is known only when it is read as a key.
    let signing = config.oauth_server.as_ref().map(|section| &section.signing);
    signing.map_or(Ok(()), Keys::check).map_err(|error| Failure { code: 78, text: error.to_string() })?;
    say(format!("{}: good", path.display()))
}
