//! A stdio child: started without a shell, kept by a process of its own, gone with everything it started
//! (MCP, Transports, stdio, Shutdown).
//!
//! The bridge does not start the command itself but a [`keeper`], its own binary under a hidden first argument, and the
//! keeper starts the command. Rejected: a parent-death signal (it follows the *thread* that spawned and does not reach
//! grandchildren), process groups alone (`setsid` leaves them), cgroups (need rights that a container does not give).
//!
//! This module owns processes, their environment and their standard error. It knows nothing of JSON-RPC and does not
//! decide about restarts.

pub mod keeper;
mod environment;
mod orphans;
mod process_table;
mod raw;
mod report;
mod stderr;

pub use stderr::LIMITS;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::section::{ChildStderr, Command};

/// How long standard error may stay open after the keeper's end; only a process that nobody could kill holds it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The two pipes of a running command. Dropping `stdin` stops it: end of input, `graceful_shutdown_timeout`, SIGTERM,
/// `graceful_shutdown_timeout`, SIGKILL to whatever is left of it and its descendants. Dropped within the first milliseconds
/// the command may not be started at all.
#[derive(Debug)]
pub struct Child {
    /// To the command's standard input. The only writing end there is, which makes it the lifeline.
    pub stdin: ChildStdin,
    /// From the command's standard output. Ends when the last process that could write to it is gone.
    pub stdout: ChildStdout,
}

/// How the command will have ended. Dropping it changes nothing for the command.
#[derive(Debug)]
pub struct Exit {
    words: watch::Receiver<Option<String>>,
    keeper: Option<OwnedFd>,
}

/// Why a command could not be started. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such program in `PATH`.
    #[error("command not found: {command}; is it in PATH ({path})?")]
    NotInPath {
        /// As configured.
        command: String,
        /// The child's `PATH`.
        path: String,
    },
    /// No such file.
    #[error("command not found: {}", .0.display())]
    NotFound(PathBuf),
    /// A file, but not one to execute.
    #[error("command is not an executable file: {}", .0.display())]
    NotExecutable(PathBuf),
    /// `dir` cannot be entered.
    #[error("cannot enter the working directory {}: {source}", .dir.display())]
    Directory {
        /// As configured.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// `stderr: {file: …}` cannot be opened.
    #[error("cannot open {} for its standard error: {source}", .path.display())]
    Stderr {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no process, no descriptor or no memory, or the arguments are too long.
    #[error("cannot start a process: {0}")]
    System(#[from] io::Error),
}

impl Child {
    /// Starts `command`. `keeper` is this program's own binary, `/proc/self/exe` outside tests. `name` is the upstream's, for
    /// the log. Needs a tokio runtime.
    ///
    /// # Errors
    /// What can be seen before the command itself is started; the rest (a missing interpreter, a wrong format) is told by
    /// [`Exit::wait`] within milliseconds.
    pub fn spawn(name: &str, command: &Command, keeper: &Path) -> Result<(Self, Exit), SpawnError> {
        let variables = environment::variables(command);
        environment::check(command, &variables)?;
        let sink = sink(name, command)?;
        let mut process = tokio::process::Command::new(keeper);
        // Neither `pkill mcp-bridge` nor `killall -9 mcp-bridge` may hit the one who is to clean up afterwards.
        process.arg0("mcp-keeper").args(keeper::arguments(command)).env_clear().envs(variables);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(dir) = &command.dir {
            process.current_dir(dir);
        }
        let mut running = process.spawn()?;
        let stdin = running.stdin.take().expect("stdin is piped");
        let stdout = running.stdout.take().expect("stdout is piped");
        let stderr = running.stderr.take().expect("stderr is piped");
        let last_words = match sink {
            Some(sink) => tokio::spawn(raw::copy(stderr, sink)),
            None => tokio::spawn(stderr::drain(stderr, stderr::Log::new(name, environment::secrets(command)))),
        };
        let pid = running.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // Not yet reaped, so the number still means this process.
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let (sender, words) = watch::channel(None);
        tokio::spawn(supervise(running, pid, last_words, sender));
        Ok((Self { stdin, stdout }, Exit { words, keeper: pidfd }))
    }
}

impl Exit {
    /// Waits until the command and everything it started are gone; says how the command ended. May be cancelled and asked
    /// again.
    pub async fn wait(&mut self) -> String {
        match self.words.wait_for(Option::is_some).await {
            Ok(words) => words.clone().unwrap_or_default(),
            Err(_) => "no longer watched: the bridge is shutting down".to_owned(),
        }
    }

    /// Stops the command without the wait for its end on end of input: SIGTERM at once, SIGKILL two seconds later. For a
    /// child that misbehaves; the polite way is to drop [`Child::stdin`].
    pub fn terminate(&self) {
        if let Some(keeper) = &self.keeper {
            // Failure means that it is gone, which is what was wanted.
            let _ = pidfd_send_signal(keeper, Signal::TERM);
        }
    }
}

/// Where standard error goes as it is. `None`: into the log.
fn sink(name: &str, command: &Command) -> Result<Option<raw::Sink>, SpawnError> {
    Ok(match &command.stderr {
        ChildStderr::Log => None,
        ChildStderr::Discard => Some(raw::Sink::nowhere(name)),
        ChildStderr::Inherit => Some(raw::Sink::inherited(name)?),
        ChildStderr::File(path) => {
            let sink = raw::Sink::file(name, path);
            Some(sink.map_err(|source| SpawnError::Stderr { path: path.clone(), source })?)
        }
    })
}

/// Waits for the keeper and the rest of standard error, and publishes how the command ended.
async fn supervise(
    mut keeper: tokio::process::Child,
    pid: Option<Pid>,
    last_words: JoinHandle<Option<String>>,
    sender: watch::Sender<Option<String>>,
) {
    let status = keeper.wait().await;
    if let (Ok(status), Some(pid)) = (&status, pid)
        && status.signal().is_some()
    {
        // A keeper does not end by a signal unless somebody kills it (the out-of-memory killer, an operator's -9).
        let _ = tokio::task::spawn_blocking(move || orphans::kill_session(pid)).await;
    }
    let reported = tokio::time::timeout(LAST_WORDS, last_words).await.ok().and_then(Result::ok).flatten();
    sender.send_replace(Some(reported.unwrap_or_else(|| unreported(status))));
}

/// The words when the keeper ended without a report.
fn unreported(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("its keeper ended unexpectedly: {status}"),
        Err(error) => format!("its keeper cannot be waited for: {error}"),
    }
}
