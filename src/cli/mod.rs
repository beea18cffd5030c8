//! The command line. [`main`] is all there is to the program.
//!
//! Exit codes: 0 ok, 1 runtime, 64 usage, 69 an upstream is unavailable at start, 74 input or output, 78 configuration.

mod arguments;
mod config;
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

use clap::Parser as _;

use crate::app::StartError;
use crate::cli::arguments::{Arguments, Command};
use crate::config::{Config, Faults};
use crate::store::StoreError;

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
        Command::HashPassword => password::hash(),
        Command::Keygen(options) => keygen::run(&options),
        Command::Key(command) => key::run(path, &command),
        Command::User(command) => user::run(path, command),
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

fn load(path: &Path) -> Result<Config, Failure> {
    Ok(Config::load(path)?)
}

/// Writes a line to standard output.
fn say(line: impl AsRef<str>) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{}", line.as_ref())
        .map_err(|error| Failure { code: 74, text: format!("standard output: {error}") })
}
