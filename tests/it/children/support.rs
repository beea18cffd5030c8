//! Commands to start, and a look at `/proc` for what is left of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io};

use mcp_bridge::bridge::upstream::child::{Child, Exit, SpawnError};
use mcp_bridge::config::section::{ChildStderr, Command, InheritEnv, RestartPolicy};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

/// What security.md allows from the bridge's end to the last process's.
pub const AT_MOST: Duration = Duration::from_secs(5);

/// For what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);

/// The program under test.
pub fn keeper() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mcp-bridge"))
}

/// A file of `tests/fixtures/children`.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/children/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter itself: `python3` may be a launcher that adds to the environment.
pub fn python() -> &'static str {
    static PYTHON: LazyLock<String> = LazyLock::new(|| {
        let mut asked = std::process::Command::new("python3");
        let output = asked.args(["-c", "import sys; print(sys.executable, end='')"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    &PYTHON
}

/// A word that stands in the arguments of one test's processes and nowhere else.
pub fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("marker-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A command with short times; `grace` in milliseconds.
pub fn command<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>, grace: u64) -> Command {
    Command {
        command: program.to_owned(),
        args: arguments.into_iter().map(str::to_owned).collect(),
        env: BTreeMap::new(),
        inherit_env: InheritEnv::Only(vec!["PATH".to_owned(), "HOME".to_owned()]),
        dir: None,
        startup_timeout: SOON,
        graceful_shutdown_timeout: Duration::from_millis(grace),
        restart: RestartPolicy {
            enabled: false,
            max_restarts: None,
            delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(1),
        },
        stderr: ChildStderr::Log,
    }
}

/// `nasty.py` in a mode.
pub fn nasty(mode: &str, marker: &str, grace: u64) -> Command {
    command(python(), [fixture("nasty.py").as_str(), mode, marker], grace)
}

/// The fake server with options.
pub fn server(options: &[&str], grace: u64) -> Command {
    let file = fixture("fake_mcp_server.py");
    command(python(), std::iter::once(file.as_str()).chain(options.iter().copied()), grace)
}

/// A running child and its lines.
pub struct Running {
    pub stdin: ChildStdin,
    pub stdout: Lines<BufReader<ChildStdout>>,
    pub exit: Exit,
}

/// Starts it or says why not.
pub fn try_start(command: &Command) -> Result<Running, SpawnError> {
    let (Child { stdin, stdout }, exit) = Child::spawn("test", command, keeper())?;
    Ok(Running { stdin, stdout: BufReader::new(stdout).lines(), exit })
}

/// Starts it.
pub fn start(command: &Command) -> Running {
    try_start(command).unwrap()
}

impl Running {
    /// The next line of its standard output.
    pub async fn line(&mut self) -> String {
        let line = tokio::time::timeout(SOON, self.stdout.next_line()).await.expect("a line in time").unwrap();
        line.expect("a line before the end")
    }

    /// The `structuredContent` of a tool's result.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.send(tool, arguments).await.unwrap();
        let answer: Value = serde_json::from_str(&self.line().await).unwrap();
        answer["result"]["structuredContent"].clone()
    }

    /// Writes a call without waiting for anything.
    pub async fn send(&mut self, tool: &str, arguments: Value) -> io::Result<()> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                             "params": {"name": tool, "arguments": arguments}});
        self.stdin.write_all(format!("{request}\n").as_bytes()).await
    }

    /// Closes its standard input and waits for the end; how it ended and how long that took.
    pub async fn stop(mut self) -> (String, Duration) {
        let begin = Instant::now();
        drop(self.stdin);
        (ended(&mut self.exit).await, begin.elapsed())
    }
}

/// How it ended.
pub async fn ended(exit: &mut Exit) -> String {
    tokio::time::timeout(SOON, exit.wait()).await.expect("an end in time")
}

/// Every living process with `marker` in its arguments. Zombies have none.
pub fn processes(marker: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|pid| arguments(*pid).contains(marker)).filter_map(Pid::from_raw).collect()
}

fn arguments(pid: i32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).into_owned()
}

/// Waits until exactly `count` processes have `marker`. A process has no arguments yet in the last steps of its start.
pub fn all_there(marker: &str, count: usize) {
    let end = Instant::now() + SOON;
    while processes(marker).len() != count {
        assert!(Instant::now() < end, "not {count}: {:?}", described(marker));
        // Not a busy loop: it would take the processor from the very processes it waits for.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until no process with `marker` is left; fails when `limit` is over before.
pub fn none_left(marker: &str, limit: Duration) {
    let end = Instant::now() + limit;
    while let Some(pid) = processes(marker).first() {
        let rest = end.saturating_duration_since(Instant::now());
        assert!(!rest.is_zero(), "still there: {:?}", described(marker));
        // Gone between the look and now: look again.
        let Ok(process) = pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        // A signal for another test's child interrupts the wait; then the loop looks again.
        let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&Timespec::try_from(rest).unwrap()));
    }
}

fn described(marker: &str) -> Vec<String> {
    processes(marker).iter().map(|pid| arguments(pid.as_raw_nonzero().get()).replace('\0', " ")).collect()
}

/// An empty folder of a test's own.
pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}
