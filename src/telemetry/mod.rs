//! Where log lines go and what they look like. Everybody else writes through `tracing`.
//!
//! Whatever is logged comes out as one line without control characters, so that nobody can forge a line or repaint a
//! terminal with a user name (CWE-117; security.md LOG-2).

mod line;

pub use line::LIMITS;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::section::{Log, LogFormat, LogOutput};
use crate::telemetry::line::Style;

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `log.output` cannot be written to.
    #[error("the log file {} cannot be opened: {source}; change log.output, or let this user write there", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// `log.level` is not understood; the configuration's own check is stricter.
    #[error("log.level is not understood")]
    Level(#[from] ParseError),
    /// Called twice.
    #[error("logging was started already")]
    Started(#[from] TryInitError),
}

/// Sends everything logged from now on where the configuration says. The target `quiet` is heard only by who names it in
/// `log.level`.
///
/// # Errors
/// A file that cannot be opened, or a second call.
pub fn start(log: &Log, quiet: &str) -> Result<(), StartError> {
    let (output, terminal) = open(&log.output)?;
    let style = match log.format {
        LogFormat::Json => Style::Json,
        LogFormat::Text if terminal => Style::ColoredText,
        LogFormat::Text => Style::Text,
    };
    let targets = targets(&log.level, quiet)?;
    tracing_subscriber::registry().with(layer(style, output).with_filter(targets)).try_init()?;
    Ok(())
}

/// What is logged: of `quiet` only what is asked for by name.
fn targets(level: &str, quiet: &str) -> Result<Targets, ParseError> {
    let targets = Targets::from_str(level)?;
    Ok(if level.contains(quiet) { targets } else { targets.with_target(quiet, LevelFilter::OFF) })
}

/// Formats events and passes each as one finished line to `output`.
fn layer(style: Style, output: BoxMakeWriter) -> Box<dyn Layer<Registry> + Send + Sync> {
    // The formatter writes no colour: escape characters in a line are then always somebody else's.
    let writer = line::MakeLine::new(style, output);
    match style {
        Style::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        Style::Text | Style::ColoredText => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
    }
}

/// The writer, and whether a person watches it.
fn open(output: &LogOutput) -> Result<(BoxMakeWriter, bool), StartError> {
    Ok(match output {
        LogOutput::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        LogOutput::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        LogOutput::File(path) => {
            let file = open_file(path).map_err(|source| StartError::Output { path: path.clone(), source })?;
            (BoxMakeWriter::new(file), false)
        }
    })
}

fn open_file(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
