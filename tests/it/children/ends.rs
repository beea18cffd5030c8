//! How children end, and that nothing of them stays.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::support::{
    AT_MOST, Running, SOON, all_there, command, ended, fixture, folder, keeper, marker, nasty, none_left, processes,
    server, start,
};

/// A variable that makes [`bridge_to_be_killed`] do something; its value is the marker.
const MARKER: &str = "MCP_BRIDGE_TEST_MARKER";

/// The number of processes of a `nasty.py tree`, with itself and the keeper.
const TREE: usize = 7;

/// A started tree that is complete.
async fn tree(mode: &str, marker: &str, grace: u64) -> Running {
    let mut child = start(&nasty(mode, marker, grace));
    assert_eq!(child.line().await, "ready");
    all_there(marker, TREE);
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn child_4_the_end_is_told_in_words() {
    for (arguments, words) in [
        (json!({"code": 0}), "exited with 0"),
        (json!({"code": 1}), "exited with 1"),
        (json!({"signal": 11}), "killed by signal 11 (SIGSEGV)"),
        (json!({"signal": 9}), "killed by signal 9 (SIGKILL)"),
    ] {
        let mut child = start(&server(&[], 1000));
        child.send("crash", arguments).await.unwrap();
        assert_eq!(ended(&mut child.exit).await, words);
        assert_eq!(ended(&mut child.exit).await, words, "and again when asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn child_6_launcher_leaves_no_process() {
    let marker = marker();
    let launcher = fixture("launcher.sh");
    let mut child = start(&command("sh", [launcher.as_str(), marker.as_str()], 500));
    assert_eq!(child.line().await, "ready");
    child.stdin.write_all(b"hello\n").await.unwrap();
    assert_eq!(child.line().await, "hello", "its input is the bridge's: it lives until that ends");
    // And the shell.
    all_there(&marker, TREE + 1);
    child.stop().await;
    none_left(&marker, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn child_6_forks_and_sessions_do_not_escape() {
    for mode in ["tree", "launcher"] {
        let marker = marker();
        let (_, time) = tree(mode, &marker, 500).await.stop().await;
        none_left(&marker, Duration::ZERO);
        assert!(time < AT_MOST, "{time:?}");
    }
}

/// The longest allowed wait is for a polite end only: what a dead command leaves behind goes at once.
#[tokio::test(flavor = "multi_thread")]
async fn child_6_a_crash_leaves_no_process() {
    let marker = marker();
    let mut child = start(&server(&["--marker", &marker], 30_000));
    for kind in ["child", "double_fork", "setsid", "ignoring"] {
        child.call("fork", json!({"kind": kind, "marker": marker})).await;
    }
    all_there(&marker, 6);
    child.send("crash", json!({"code": 3})).await.unwrap();
    assert_eq!(ended(&mut child.exit).await, "exited with 3");
    none_left(&marker, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn child_6_a_misbehaving_child_is_stopped_without_the_wait() {
    let marker = marker();
    let mut child = tree("launcher", &marker, 30_000).await;
    child.exit.terminate();
    assert_eq!(ended(&mut child.exit).await, "killed by signal 15 (SIGTERM)");
    none_left(&marker, Duration::ZERO);
    child.exit.terminate();
}

#[test]
fn child_7_kill_9_of_the_bridge_leaves_no_process() {
    let marker = marker();
    let mut bridge = std::process::Command::new(env::current_exe().unwrap());
    bridge.args(["--exact", "children::ends::bridge_to_be_killed", "--ignored", "--nocapture"]);
    bridge.env(MARKER, &marker).stdout(Stdio::piped());
    let mut bridge = bridge.spawn().unwrap();
    let mut lines = BufReader::new(bridge.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("all ready")));
    all_there(&marker, 2 * TREE + 2);
    // SIGKILL.
    bridge.kill().unwrap();
    none_left(&marker, AT_MOST);
    bridge.wait().unwrap();
}

/// Not a test: the bridge of the one above, with a grace that is longer than what the end of the bridge allows.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by child_7"]
async fn bridge_to_be_killed() {
    let Some(marker) = env::var_os(MARKER) else { return };
    let marker = marker.to_str().unwrap();
    let mut children = Vec::new();
    for mode in ["tree", "launcher", "lifeline"] {
        let mut child = start(&nasty(mode, marker, 30_000));
        assert_eq!(child.line().await, "ready");
        children.push(child);
    }
    println!("all ready");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_7_a_killed_keeper_leaves_nothing_of_its_session() {
    let marker = marker();
    let mut child = start(&nasty("sleep", &marker, 30_000));
    assert_eq!(child.line().await, "ready");
    let keeper = processes(&marker).into_iter().find(|pid| parent(*pid) == Pid::from_raw(own_number())).unwrap();
    let threads = fs::read_dir(format!("/proc/{}/task", keeper.as_raw_nonzero())).unwrap();
    assert_eq!(threads.count(), 1, "what it does to its children counts on that");
    kill_process(keeper, Signal::KILL).unwrap();
    let words = ended(&mut child.exit).await;
    assert_eq!(words, "its keeper ended unexpectedly: signal: 9 (SIGKILL)");
    none_left(&marker, SOON);
}

fn own_number() -> i32 {
    std::process::id().cast_signed()
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Pid::from_raw(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn child_8_deaf_child_is_killed_after_grace() {
    let marker = marker();
    let mut child = start(&nasty("deaf", &marker, 300));
    assert_eq!(child.line().await, "ready");
    let (words, time) = child.stop().await;
    assert_eq!(words, "killed by signal 9 (SIGKILL): it did not end when asked to");
    assert!(time >= Duration::from_millis(600), "before its time: {time:?}");
    none_left(&marker, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn child_8_a_child_that_ends_in_time_is_left_alone() {
    let mut child = start(&command("sh", ["-c", "trap 'exit 9' TERM; echo up; cat; exit 4"], 10_000));
    assert_eq!(child.line().await, "up");
    let (words, time) = child.stop().await;
    assert_eq!(words, "exited with 4");
    assert!(time < Duration::from_secs(5), "{time:?}");
}

/// The keeper must not hold open what the command closed.
#[tokio::test(flavor = "multi_thread")]
async fn child_14_a_closed_output_is_seen_while_the_child_lives() {
    let mut child = start(&server(&[], 1000));
    assert_eq!(child.call("close_stdout", json!({})).await, json!({"closed": true}));
    let next = tokio::time::timeout(SOON, child.stdout.next_line()).await.expect("the end in time").unwrap();
    assert_eq!(next, None);
    assert_eq!(child.stop().await.0, "exited with 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_12_a_flood_on_standard_error_does_not_block() {
    let mut child = start(&server(&[], 1000));
    assert_eq!(child.call("flood_stderr", json!({"lines": 300_000})).await, json!({"flooded": true}));
    assert_eq!(child.stop().await.0, "exited with 0");
}

/// A bystander that gets the number of a dead command, while the keeper still stops what that command left behind.
#[tokio::test(flavor = "multi_thread")]
async fn child_18_a_reused_number_is_not_signalled() {
    let marker = marker();
    let mut child = start(&nasty("leaver", &marker, 30_000));
    let number: i32 = child.line().await.parse().unwrap();
    let Some(mut bystander) = with_number(number) else {
        eprintln!("not shown here: choosing a process number needs CAP_CHECKPOINT_RESTORE");
        return;
    };
    assert_eq!(ended(&mut child.exit).await, "exited with 0");
    none_left(&marker, Duration::ZERO);
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander was hit");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// A process, leader of its group, with this number. `None` without the right to choose.
fn with_number(number: i32) -> Option<std::process::Child> {
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).ok()?;
        let mut process = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        if process.id().cast_signed() == number {
            return Some(process);
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    panic!("the number {number} did not come free");
}

#[tokio::test(flavor = "multi_thread")]
async fn child_19_end_of_input_then_sigterm_then_sigkill() {
    let (_folder, path) = folder();
    let journal = path.join("journal");
    let options = ["--ignore-eof", "--ignore-term", "--journal", journal.to_str().unwrap()];
    let mut child = start(&server(&options, 1000));
    child.call("echo", json!({})).await;
    let (words, time) = child.stop().await;
    assert_eq!(words, "killed by signal 9 (SIGKILL): it did not end when asked to");
    let journal = fs::read_to_string(journal).unwrap();
    let entries: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> =
        entries.iter().filter_map(|entry| Some((entry["event"].as_str()?, entry["at"].as_f64()?))).collect();
    let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["start", "eof", "term"]);
    let wait = events[2].1 - events[1].1;
    // The child may notice the end of input later than the keeper, which measures from there.
    assert!(wait > 0.5, "SIGTERM {wait} s after the end of input");
    assert!(time >= Duration::from_millis(2000), "SIGKILL after {time:?}");
}

#[test]
fn a_keeper_whose_input_is_already_closed_starts_nothing() {
    let (_folder, path) = folder();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    let mut keeper = std::process::Command::new(keeper());
    keeper.args(["__keeper", "1000", "--", "touch", "touched"]).current_dir(&path).stdin(reader);
    let output = keeper.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not started"), "{output:?}");
    assert!(!path.join("touched").exists());
}
