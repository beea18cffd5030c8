//! A child's standard error: always read, so that the child never waits, wherever it then goes.
//!
//! MCP, Transports, stdio: a server may write anything there, and it need not mean an error. The keeper's last word comes
//! on the same pipe, which is why the child cannot simply be given another one.

mod copy;
mod log;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{timeout, timeout_at};

use self::copy::Copier;
use self::log::{Log, escaped};
use super::environment;
use super::report;

use crate::config::section::{Command, Stderr};

/// How long the end waits for what is still to be written elsewhere.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Where the lines of one child go.
#[derive(Debug)]
pub(super) enum Destination {
    Log(Log),
    Copier(Copier),
    Nowhere,
}

impl Destination {
    /// As the settings have it. Values of `env` that are secrets are blotted out everywhere.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread be started.
    pub(super) fn open(upstream: &str, command: &Command) -> io::Result<Self> {
        let mut secrets = environment::secrets(command);
        // The longest first: one may be the beginning of another, whose rest would stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Ok(match &command.stderr {
            Stderr::Log => Self::Log(Log::new(upstream, secrets)),
            Stderr::Null => Self::Nowhere,
            Stderr::Inherit => Self::Copier(Copier::to_own(upstream, secrets)?),
            Stderr::File(path) => Self::Copier(Copier::to_file(path, upstream, secrets)?),
        })
    }

    /// How much of a line must be kept.
    fn kept(&self) -> usize {
        match self {
            Self::Log(log) => log.kept(),
            Self::Copier(_) => copy::LONGEST_LINE,
            Self::Nowhere => log::LONGEST_LINE,
        }
    }

    fn line(&mut self, line: &Line) {
        match self {
            Self::Log(log) => log.line(line),
            Self::Copier(copy) => copy.line(line),
            Self::Nowhere => {}
        }
    }
}

/// Reads until the end and hands the lines on. Returns the keeper's report, if there was one.
pub(super) async fn drain(mut stderr: impl AsyncRead + Unpin, mut destination: Destination) -> Option<String> {
    let mut reported = None;
    let mut line = Line::default();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = match &mut destination {
            // The count of what was dropped must not wait for the child's next word.
            Destination::Log(log) if log.has_dropped() => {
                match timeout_at(log.window_end(), stderr.read(&mut chunk)).await {
                    Ok(read) => read,
                    Err(_) => {
                        log.turn();
                        continue;
                    }
                }
            }
            _ => stderr.read(&mut chunk).await,
        };
        let Ok(length @ 1..) = read else { break };
        for part in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
            line.append(part, destination.kept());
            if part.ends_with(b"\n") {
                finish(&mut line, &mut destination, &mut reported);
            }
        }
    }
    finish(&mut line, &mut destination, &mut reported);
    match destination {
        Destination::Log(mut log) => log.account(),
        // A target that hangs may not keep the report back.
        Destination::Copier(copy) => drop(timeout(LAST_LINES, copy.finish()).await),
        Destination::Nowhere => {}
    }
    reported
}

/// Hands a whole line on: to where lines go, or, when it is the keeper's, to the caller.
fn finish(line: &mut Line, destination: &mut Destination, reported: &mut Option<String>) {
    let line = std::mem::take(line);
    if let Some(words) = report::decode(&line.bytes) {
        *reported = Some(escaped(&words));
    } else if !line.bytes.is_empty() {
        destination.line(&line);
    }
}

/// The beginning of a line, and how much is not kept.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    beyond: usize,
}

impl Line {
    fn append(&mut self, part: &[u8], bound: usize) {
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        let part = part.strip_suffix(b"\r").unwrap_or(part);
        let kept = part.len().min(bound.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(&part[..kept]);
        self.beyond += part.len() - kept;
    }
}
