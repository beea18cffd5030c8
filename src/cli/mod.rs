//! The command line. [`main`] is all there is to the program.
//!
//! Exit codes: 0 ok, 1 runtime, 64 usage, 69 an upstream is unavailable at start, 74 input or output, 78 configuration.

mod arguments;
mod audit;
mod client;
mod config;
mod grant;
mod health;
mod key;
mod keygen;
mod password;
mod reload;
mod serve;
mod user;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::app::{self, StartError};
use crate::audit::origin;
use crate::audit::{Audit, OpenError};
use crate::base::clock::{Clock, Timestamp};
use crate::base::username::is_invisible;
use crate::cli::arguments::{Arguments, AuditCommand, Command};
use crate::config::section::Storage;
use crate::config::{Config, Faults};
use crate::store::{Store, StoreError};

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; everything else is a mistake in the call.
            let failed = error.use_stderr();
            let _ = error.print();
            return ExitCode::from(if failed { 64 } else { 0 });
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let path = arguments.config.as_path();
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(path),
        Command::Config(command) => config::run(path, &command),
        Command::HashPassword(options) => password::hash(options),
        Command::Keygen(options) => keygen::run(&options),
        Command::Key(command) => key::run(path, &command),
        Command::User(command) => user::run(path, command),
        Command::Client(command) => client::run(path, command),
        Command::Grant(command) => grant::run(path, command),
        Command::Audit(AuditCommand::Tail(options)) => audit::tail(path, &options),
        Command::Audit(AuditCommand::Verify(options)) => audit::verify(path, &options),
        Command::Healthcheck => health::run(path),
    }
}

/// Why the program ends, with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn runtime(text: impl ToString) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    fn usage(text: impl ToString) -> Self {
        Self { code: 64, text: text.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { code: 74, text: error.to_string() }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self { code: 78, text: faults.to_string() }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match error {
            StartError::Configuration(_) => 78,
            StartError::Io(_) => 74,
            StartError::Unavailable(_) => 69,
            StartError::Failed(_) => 1,
        };
        Self { code, text: error.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { code: 74, text: error.to_string() }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        StartError::from(error).into()
    }
}

/// What a command works with that changes the store beside a running bridge.
struct Beside {
    store: Arc<dyn Store>,
    audit: Audit,
    now: Timestamp,
}

/// Runs such a command. What it does stands in the trail under the name of who typed it.
fn beside(config: &Config, work: impl AsyncFnOnce(&Beside) -> Result<(), Failure>) -> Result<(), Failure> {
    if config.storage == Storage::Memory {
        let text = "storage.type is memory, which no other process can reach; write users and clients into the configuration, or use sqlite";
        return Err(Failure { code: 78, text: text.to_owned() });
    }
    recorded(config, async |audit, now| {
        work(&Beside { store: app::open_store(config, now)?, audit: audit.clone(), now }).await
    })
}

/// Runs a command that needs the trail alone.
fn recorded(config: &Config, work: impl AsyncFnOnce(&Audit, Timestamp) -> Result<(), Failure>) -> Result<(), Failure> {
    let clock = Clock::system();
    let now = clock.now();
    let audit = Audit::open_beside(config.audit.as_ref(), clock)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(origin::as_operator(work(&audit, now)))
}

fn load(path: &Path) -> Result<Config, Failure> {
    Ok(Config::load(path)?)
}

/// Writes a line to standard output.
fn say(line: impl AsRef<str>) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{}", line.as_ref())
        .map_err(|error| Failure { code: 74, text: format!("standard output: {error}") })
}

/// Writes columns in one line, whatever clients and providers put into them: neither line breaks nor what else a terminal acts
/// upon are shown as they are.
fn row<const N: usize>(columns: [&str; N]) -> Result<(), Failure> {
    say(columns.map(harmless).join("\t"))
}

fn harmless(text: &str) -> String {
    let shown = |c: char| if is_invisible(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
