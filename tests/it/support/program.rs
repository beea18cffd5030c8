//! The bridge as the program that an operator starts: its own process, its own log, the clock of the machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running program. It is killed when this is dropped.
pub struct Program {
    /// Where it listens, as `http://address`.
    pub url: String,
    /// Its folder, with `config.yaml`, and its log in `log`.
    pub folder: TempDir,
    child: Child,
}

impl Program {
    /// Starts it in this folder, with these environment variables. The configuration has `log.output: log` and lets the
    /// system choose the port.
    pub fn start(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        Self::start_as(command(folder.path(), &[]), folder, environment)
    }

    /// The same, with so many open files at most.
    pub fn start_within(open_files: u32, folder: TempDir) -> Self {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {open_files}; exec \"$0\""), env!("CARGO_BIN_EXE_mcp-bridge")]);
        limited.current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
        Self::start_as(limited, folder, &[])
    }

    /// The same with another of the folder's files for a configuration, and with a log of its own: beside another program.
    pub fn start_beside(folder: &Path, configuration: &str, log: &str) -> Self {
        let beside = TempDir::new().unwrap();
        std::os::unix::fs::symlink(folder.join(log), beside.path().join("log")).unwrap();
        Self::start_as(command(folder, &["-c", configuration]), beside, &[])
    }

    fn start_as(mut start: Command, folder: TempDir, environment: &[(&str, &str)]) -> Self {
        let mut child = start.envs(environment.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let greeting = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let is_ready = greeting.skip_while(|line| !line.starts_with("  data")).any(|line| line.is_empty());
        assert!(is_ready, "it starts: {:?}", std::fs::read_to_string(folder.path().join("log")));
        let url = format!("http://{}", listens(&folder.path().join("log")));
        Self { url, folder, child }
    }

    /// Runs another of the program's commands beside it.
    pub fn beside(&self, arguments: &[&str], input: &str) {
        let mut other = command(self.folder.path(), arguments).stdin(Stdio::piped()).spawn().unwrap();
        other.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(other.wait().unwrap().success(), "{arguments:?}");
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to stop.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Tells it to look at its configuration again.
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Puts another configuration in place of the one it has, as a whole; nothing is told of it yet.
    pub fn configure(&self, yaml: &str) {
        let draft = self.folder.path().join("config.yaml.new");
        std::fs::write(&draft, yaml).unwrap();
        std::fs::rename(draft, self.folder.path().join("config.yaml")).unwrap();
    }

    /// Tells it, and waits for its word: true when the configuration came into force.
    pub fn reload(&self) -> bool {
        let outcomes = |log: &str| log.matches("the configuration was ").count();
        let before = outcomes(&self.log());
        self.hang_up();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            let log = self.log();
            if outcomes(&log) > before {
                return log.rsplit("the configuration was ").next().is_some_and(|rest| rest.starts_with("reloaded"));
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        panic!("nothing came of it: {}", self.log());
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits for its end, and gives its exit code; `None` when it was killed.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Stops it, and gives back everything it logged.
    pub fn stop(mut self) -> String {
        self.terminate();
        self.child.wait().unwrap();
        self.log()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the log says that it listens, which it does while the greeting is printed.
fn listens(log: &Path) -> String {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        let log = std::fs::read_to_string(log).unwrap();
        let address = log.split_once("listening on: ").and_then(|(_, rest)| rest.split_once('\n'));
        if let Some((address, _)) = address {
            return address.to_owned();
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("the log does not say where it listens");
}

/// The program in a folder with its `config.yaml`, to be started; it reads nothing, and what it says goes nowhere.
pub fn command(folder: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-bridge"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The same with standard output and error to be read.
pub fn heard(folder: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = command(folder, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub fn run(folder: impl AsRef<Path>, arguments: &[&str]) -> Output {
    heard(folder, arguments).output().unwrap()
}
