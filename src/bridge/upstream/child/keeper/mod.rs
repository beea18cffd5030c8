//! The process between the bridge and a command, which outlives the bridge by a few seconds to clear up after it
//! (MCP, Transports, stdio, Shutdown).
//!
//! It is this program's own binary under a hidden first argument, without tokio, threads or configuration. It inherits the
//! three pipes, starts the command on them, and is child subreaper: whatever loses its parent becomes its child, however it
//! double-forked or left group and session. It ends when it has no child left. What makes it stop the command:
//!
//! | cause | end of input → SIGTERM | SIGTERM → SIGKILL |
//! |---|---|---|
//! | the bridge closed standard input | `graceful_shutdown_timeout` | `graceful_shutdown_timeout` |
//! | the bridge is gone | the same, at most 2 s | the same, at most 2 s |
//! | the command ended, others of it live on | – | the same, at most 2 s |
//! | the keeper got SIGTERM, SIGINT, SIGHUP or SIGQUIT | – | the same, at most 2 s |
//!
//! The bridge's end is seen twice: the pipe hangs up, and the bridge's pidfd becomes readable. The pipe alone would do for a
//! good child, but a nasty one can open `/proc/self/fd/0` for writing and so hold up its own lifeline.
//!
//! Out of reach: processes of another user (`sudo`), which are named at the end; what a daemon starts on request (containers);
//! and what left the session, when somebody kills the keeper itself with SIGKILL.

mod descendants;
mod plan;
mod watch;

pub use plan::LIMITS;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::{Pid, Signal, WaitStatus, getpid, set_child_subreaper, setsid};

use self::plan::{Plan, Stage};
use self::watch::Watch;
use super::report;
use crate::config::section;

/// The hidden first argument.
const WORD: &str = "__keeper";

/// How long after SIGKILL the keeper still waits for a process (of another user, or stuck in the kernel).
const GIVE_UP: Duration = Duration::from_secs(5);

/// How often descendants are killed once that has begun; each round reaches one generation further down.
const ROUND: Duration = Duration::from_millis(5);

/// The exit code for wrong arguments. Otherwise it is 0, and [`report`] tells how the command ended.
const USAGE: u8 = 64;

/// Runs a keeper when the first argument asks for one. To be called first in `main`.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    (arguments.next()? == WORD).then(|| run(arguments))
}

/// Runs the keeper until nothing of the command is left. `arguments` are those after the hidden word.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(order) = Order::parse(arguments) else {
        let _ = writeln!(io::stderr(), "usage: {WORD} <grace in milliseconds> -- <command> [<argument> …]");
        return ExitCode::from(USAGE);
    };
    let words = keep(&order).unwrap_or_else(|error| format!("could not be kept: {error}"));
    // A closed pipe: the bridge is gone, nobody is left to tell.
    let _ = io::stderr().write_all(report::encode(&words).as_bytes());
    ExitCode::SUCCESS
}

/// The arguments by which a keeper is started for `command`.
pub(super) fn arguments(command: &section::Command) -> Vec<OsString> {
    let grace = command.graceful_shutdown_timeout.as_millis().to_string();
    let fixed = [WORD, &grace, "--", &command.command];
    fixed.into_iter().chain(command.args.iter().map(String::as_str)).map(OsString::from).collect()
}

/// What a keeper is to do.
struct Order {
    grace: Duration,
    command: OsString,
    arguments: Vec<OsString>,
}

impl Order {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let grace = Duration::from_millis(arguments.next()?.to_str()?.parse().ok()?);
        if arguments.next()? != OsStr::new("--") {
            return None;
        }
        Some(Self { grace, command: arguments.next()?, arguments: arguments.collect() })
    }

    /// Starts the command on the keeper's own three pipes, in a group of its own.
    fn start(&self) -> Result<Pid, String> {
        let mut command = Command::new(&self.command);
        let started = command.args(&self.arguments).process_group(0).spawn();
        let child = started.map_err(|error| report::not_started(&self.command.to_string_lossy(), &error))?;
        Ok(Pid::from_raw(child.id().cast_signed()).expect("a process has a positive number"))
    }
}

/// From the first preparation to the last descendant's end. Returns how the command ended, in words.
fn keep(order: &Order) -> io::Result<String> {
    isolate();
    set_child_subreaper(Some(getpid()))?;
    let mut watch = Watch::new()?;
    if watch.hung_up() {
        return Ok("not started: its input was closed before".to_owned());
    }
    let command = match order.start() {
        Ok(command) => command,
        Err(words) => return Ok(words),
    };
    // Held open here, the pipe would hide that the command closed its standard output.
    if let Ok(null) = fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null);
    }
    let mut keeping = Keeping { command, ended: None, plan: Plan::new(order.grace), told: Stage::Running };
    while keeping.step(&mut watch) {}
    Ok(keeping.words())
}

/// Cuts what ties a keeper, and with it the command, to whoever started the bridge. Every part is best effort: a failure
/// makes the child less separate, not less mortal.
fn isolate() {
    // A session of its own rather than just a group: no terminal, and no descendant can join a group of the bridge's.
    let _ = setsid();
    let _ = fs::write("/proc/self/comm", "mcp-keeper");
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    // Nothing in this process has opened anything yet, so these are leaks of whoever started the bridge.
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        let _ = nix::unistd::close(descriptor);
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// A started command and what has become of it.
struct Keeping {
    command: Pid,
    /// How the command ended, and how far the plan had come by then.
    ended: Option<(WaitStatus, Stage)>,
    plan: Plan,
    /// The stage whose signal was sent last.
    told: Stage,
}

impl Keeping {
    /// One turn: collects the dead, does what is due, sleeps until the next event. `false` when all is over.
    fn step(&mut self, watch: &mut Watch) -> bool {
        let now = Instant::now();
        let (command, stage) = (self.command, self.told);
        let ended = &mut self.ended;
        let any_left = descendants::reap(|pid, status| {
            // The number may be used again after this; hence only the first time.
            if pid == command && ended.is_none() {
                *ended = Some((status, stage));
            }
        });
        if !any_left {
            return false;
        }
        if self.plan.update(watch.causes(self.ended.is_some()), now) {
            // Who became ours by the end of the command has not been asked to stop.
            self.told = self.told.min(Stage::InputClosed);
        }
        let due = self.plan.stage(now);
        if due == Stage::Killed {
            descendants::signal_all(&[Signal::KILL]);
        } else if due > self.told && due == Stage::Terminated {
            // A stopped process hears nothing until it is continued.
            descendants::signal_all(&[Signal::TERM, Signal::CONT]);
        }
        self.told = due;
        if self.plan.killed_for(now).is_some_and(|since| since > GIVE_UP) {
            return false;
        }
        watch.sleep(if due == Stage::Killed { Some(ROUND) } else { self.plan.next(now) });
        true
    }

    fn words(&self) -> String {
        let mut words = match &self.ended {
            Some((status, Stage::Killed)) if status.signaled() => {
                format!("{}: it did not end when asked to", report::ended(*status))
            }
            Some((status, _)) => report::ended(*status),
            None => "could not be killed".to_owned(),
        };
        let survivors = descendants::children();
        if !survivors.is_empty() {
            let numbers: Vec<_> = survivors.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
            words.push_str(&format!("; these processes could not be killed: {}", numbers.join(", ")));
        }
        words
    }
}
