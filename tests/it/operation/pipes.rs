//! A configuration, or a file that it names, whose reading would never end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::operation::{LONG, bare_folder, ended, refusal};
use crate::support::Program;

const PLAIN: &str = "log: {output: log}\nserver: {listen: \"127.0.0.1:0\"}\nstorage: {type: memory}\nupstreams: {me: {builtin: whoami}}\n";
const WITH_SECRET: &str = "log: {output: log}\nserver:\n  listen: 127.0.0.1:0\n  oauth_server:\n    enabled: true\n    \
    clients: [{client_id: robot, client_secret_file: secret, grant_types: [client_credentials], scopes: [\"mcp:read\"]}]\n\
    upstreams: {me: {builtin: whoami}}\n";
const SECRET: &str = "a secret of more than 32 characters, long";

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

#[test]
fn ops_6_a_configuration_that_is_a_pipe_or_a_device_is_refused_at_the_start() {
    let folder = bare_folder(PLAIN);
    pipe(&folder.path().join("pipe.yaml"));
    for arguments in [&["-c", "pipe.yaml"][..], &["-c", "pipe.yaml", "config", "check"]] {
        let (code, said) = refusal(folder.path(), arguments);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("pipe.yaml") && said.contains("it is a pipe"), "{said}");
    }
    let (code, said) = refusal(folder.path(), &["-c", "/dev/zero", "config", "check"]);
    assert_eq!((code, said.contains("it is a device")), (Some(78), true), "{said}");
    let folder = bare_folder(WITH_SECRET);
    pipe(&folder.path().join("secret"));
    let (code, said) = refusal(folder.path(), &["config", "check"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("config.yaml:6") && said.contains("secret cannot be read: it is a pipe"), "{said}");
}

#[test]
fn ops_4_a_file_that_became_a_pipe_is_refused_at_a_reload_and_stops_nobody() {
    let folder = bare_folder(WITH_SECRET);
    fs::write(folder.path().join("secret"), SECRET).unwrap();
    let mut program = Program::start(folder, &[]);
    let place = program.folder.path().to_owned();
    pipe(&place.join("secret"));
    assert!(!program.reload());
    assert!(program.log().contains("secret cannot be read: it is a pipe"), "{}", program.log());
    pipe(&place.join("config.yaml"));
    assert!(!program.reload());
    assert!(program.log().contains("a reload needs a file"), "{}", program.log());
    program.terminate();
    assert_eq!(program.ended(), Some(0));
}

/// Starts the program by this shell command, in a folder where `config.yaml` stands; waits until it listens.
fn start_by(folder: &Path, shell: &str) -> Child {
    let mut start = Command::new("bash");
    start.args(["-c", &shell.replace("BRIDGE", env!("CARGO_BIN_EXE_mcp-bridge"))]).current_dir(folder);
    let mut child = start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(fs::read_to_string(folder.join("config.yaml")).unwrap().as_bytes()).unwrap();
    drop(input);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("  connector")), "it starts");
    child
}

#[test]
fn what_the_program_is_started_with_is_read_once() {
    for shell in ["exec BRIDGE -c /dev/stdin", "exec BRIDGE -c <(cat config.yaml)", "exec BRIDGE -c /dev/fd/3 3<&0"] {
        let folder = bare_folder(PLAIN);
        let mut child = start_by(folder.path(), shell);
        let told = |signal| {
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        };
        let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        told(rustix::process::Signal::HUP);
        let began = Instant::now();
        while !log().contains("the configuration was not reloaded") {
            assert!(began.elapsed() < LONG, "{shell}: {}", log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(log().contains("which cannot be read again; a reload needs a file"), "{shell}: {}", log());
        told(rustix::process::Signal::TERM);
        assert_eq!(ended(&mut child), Some(0), "{shell}");
    }
}

/// Whoever opens the file waits for this, for as long as the system lets him (45 seconds), and it says so when somebody does.
const LEASE: &str = "import fcntl, signal, sys
signal.signal(signal.SIGIO, lambda *_: print('asked', flush=True))
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
while True:
    signal.pause()
";

#[test]
fn ops_5_a_stop_does_not_wait_for_a_file_that_does_not_come() {
    let mut program = Program::start(bare_folder(PLAIN), &[]);
    let path = program.folder.path().join("config.yaml");
    let mut holder = Command::new("python3");
    let mut holder = holder.args(["-c", LEASE]).arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().as_deref(), Some("held"));
    program.hang_up();
    assert_eq!(said.next().as_deref(), Some("asked"), "the reload waits for the file");
    let told = Instant::now();
    program.terminate();
    let code = program.ended();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(code, Some(0));
    assert!(told.elapsed() < LONG, "{:?}", told.elapsed());
}
