//! Where a child's standard error goes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use mcp_bridge::config::section::{ChildStderr, Command};

use super::support::{command, ended, start, try_start};

/// Prints on standard error and ends.
fn printing(script: &str, stderr: ChildStderr) -> Command {
    Command { stderr, ..command("sh", ["-c", script], 1000) }
}

#[tokio::test(flavor = "multi_thread")]
async fn child_12_a_file_gets_what_is_printed_and_nothing_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("child.log");
    let child = printing("printf 'one\\n\\ntwo' >&2; exit 3", ChildStderr::File(path.clone()));
    for round in 1..=2 {
        let mut running = start(&child);
        assert_eq!(ended(&mut running.exit).await, "exited with 3");
        // What the child left open, the keeper ended.
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n\ntwo\n".repeat(round));
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let nowhere = printing("exit 0", ChildStderr::File(folder.path().join("no/such/folder")));
    let Err(error) = try_start(&nowhere) else { panic!("it starts") };
    assert!(error.to_string().contains("for its standard error"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_12_a_pipe_that_nobody_reads_or_a_device_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // With a reader it can be opened, and is no file all the same.
    let read = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    for path in [pipe.clone(), "/dev/full".into()] {
        let Err(error) = try_start(&printing("exit 0", ChildStderr::File(path))) else { panic!("it starts") };
        assert!(error.to_string().contains("no ordinary file"), "{error}");
    }
    drop(read);
    let Err(error) = try_start(&printing("exit 0", ChildStderr::File(pipe))) else { panic!("it starts") };
    assert!(error.to_string().contains("for its standard error"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_12_what_goes_nowhere_does_not_block() {
    let mut running = start(&printing("head -c 20000000 /dev/zero >&2; exit 4", ChildStderr::Discard));
    assert_eq!(ended(&mut running.exit).await, "exited with 4");
}

#[test]
fn child_12_what_is_inherited_is_on_the_bridges_own() {
    let folder = tempfile::tempdir().unwrap();
    let text = "server: {listen: '127.0.0.1:0', auth: {type: none}}\nlog: {output: log}\n\
                upstreams: {one: {command: sh, args: [-c, 'echo said-by-the-child >&2; cat'], stderr: inherit}}\n";
    fs::write(folder.path().join("config.yaml"), text).unwrap();
    let mut bridge = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-bridge"));
    bridge.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = bridge.spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let said = lines.any(|line| line.unwrap() == "said-by-the-child");
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(said);
    assert!(!fs::read_to_string(folder.path().join("log")).unwrap().contains("said-by-the-child"));
}
