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
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::section::{Log, LogFormat, LogOutput};
use crate::telemetry::line::{MakeLine, Output};

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

/// The log of this process.
pub struct Logging {
    log: Log,
    /// A target that is heard only by who names it in `log.level`.
    quiet: &'static str,
    output: Arc<ArcSwap<Output>>,
    /// What is written in which form; one of the two hears nothing.
    text: Filter,
    json: Filter,
}

type Filter = reload::Handle<Targets, Registry>;

/// Another form of the log, that is not yet in force. Nothing of it can fail any more.
pub struct Ready {
    log: Log,
    targets: Targets,
    output: Output,
}

/// Sends everything logged from now on where the configuration says. The target `quiet` is heard only by who names it in
/// `log.level`.
///
/// # Errors
/// A file that cannot be opened, or a second call.
pub fn start(log: &Log, quiet: &'static str) -> Result<Logging, StartError> {
    let output = Arc::new(ArcSwap::from_pointee(open(&log.output)?));
    let targets = targets(&log.level, quiet)?;
    let of = |format| if log.format == format { targets.clone() } else { nothing() };
    // Both forms are there from the start, for one that came later would not be asked about what was logged before.
    let (for_text, text) = reload::Layer::new(of(LogFormat::Text));
    let (for_json, json) = reload::Layer::new(of(LogFormat::Json));
    let layers = vec![
        layer(LogFormat::Text, Arc::clone(&output)).with_filter(for_text).boxed(),
        layer(LogFormat::Json, Arc::clone(&output)).with_filter(for_json).boxed(),
    ];
    tracing_subscriber::registry().with(layers).try_init()?;
    Ok(Logging { log: log.clone(), quiet, output, text, json })
}

impl Logging {
    /// Opens the file anew, where it is one: it may have been moved away.
    ///
    /// # Errors
    /// It cannot be opened. What is logged goes where it went.
    pub fn reopen(&self) -> Result<(), StartError> {
        self.output.store(Arc::new(open(&self.log.output)?));
        Ok(())
    }

    /// Makes ready to log in another way.
    ///
    /// # Errors
    /// As [`start`].
    pub fn prepare(&self, log: &Log) -> Result<Ready, StartError> {
        Ok(Ready { log: log.clone(), targets: targets(&log.level, self.quiet)?, output: open(&log.output)? })
    }

    /// Logs in another way from now on.
    pub fn change(&mut self, ready: Ready) {
        self.output.store(Arc::new(ready.output));
        for (filter, format) in [(&self.text, LogFormat::Text), (&self.json, LogFormat::Json)] {
            let targets = if ready.log.format == format { ready.targets.clone() } else { nothing() };
            if let Err(error) = filter.reload(targets) {
                tracing::error!(%error, "the level of the log could not be changed");
            }
        }
        self.log = ready.log;
    }
}

/// What is logged: of `quiet` only what is asked for by name.
fn targets(level: &str, quiet: &str) -> Result<Targets, ParseError> {
    let targets = Targets::from_str(level)?;
    Ok(if level.contains(quiet) { targets } else { targets.with_target(quiet, LevelFilter::OFF) })
}

fn nothing() -> Targets {
    Targets::new().with_default(LevelFilter::OFF)
}

/// Formats events and passes each as one finished line to `output`.
fn layer(format: LogFormat, output: Arc<ArcSwap<Output>>) -> Box<dyn Layer<Registry> + Send + Sync> {
    // The formatter writes no colour: escape characters in a line are then always somebody else's.
    match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(MakeLine::new(true, output)).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(MakeLine::new(false, output)).boxed(),
    }
}

fn open(output: &LogOutput) -> Result<Output, StartError> {
    Ok(match output {
        LogOutput::Stderr => Output { is_terminal: io::stderr().is_terminal(), writer: BoxMakeWriter::new(io::stderr) },
        LogOutput::Stdout => Output { is_terminal: io::stdout().is_terminal(), writer: BoxMakeWriter::new(io::stdout) },
        LogOutput::File(path) => {
            let file = open_file(path).map_err(|source| StartError::Output { path: path.clone(), source })?;
            Output { is_terminal: false, writer: BoxMakeWriter::new(file) }
        }
    })
}

fn open_file(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
