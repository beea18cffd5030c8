//! Hang-ups: many, at the wrong time, and beside all the ways in which files are replaced.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::operation::{LONG, WITH_CHILD, begun, connect, folder, until};
use crate::support::Program;
use crate::support::mcp::Session;

const HEAD: &str = "log: {output: log}\nserver: {listen: \"127.0.0.1:0\"}\nupstreams: {me: {builtin: whoami}";

fn yaml(more: &str) -> String {
    format!("{HEAD}{more}}}\n")
}

fn start() -> Program {
    Program::start(crate::operation::bare_folder(&yaml("")), &[])
}

/// Descriptors, threads, and memory in KiB.
fn size(program: &Program) -> (usize, usize, usize) {
    let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", program.id())).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (count("fd"), count("task"), resident.trim().trim_end_matches(" kB").parse().unwrap())
}

async fn has_more(session: &Session) -> bool {
    session.call("tools/list", json!({})).await.to_string().contains("more__echo")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_5_a_thousand_hang_ups_leave_nothing_behind() {
    let program = start();
    let session = connect(&program).await;
    let variants = [yaml(", more: {builtin: whoami}"), yaml("")];
    let reload = |count: usize| {
        for number in 0..count {
            program.configure(&variants[number % 2]);
            // Every tenth is waited for; of the others some are still unread when the next one comes.
            match number % 10 {
                9 => assert!(program.reload(), "{}", program.log()),
                _ => program.hang_up(),
            }
        }
    };
    reload(200);
    let before = size(&program);
    reload(1000);
    assert_eq!(session.status().await, 200, "the same session");
    let after = size(&program);
    assert!(after.0 <= before.0 + 5, "descriptors: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 + 5, "threads: {before:?}, then {after:?}");
    assert!(after.2 <= before.2 + 8 * 1024, "memory: {before:?}, then {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_5_hang_ups_while_it_stops_do_not_disturb() {
    let mut program = Program::start(folder(WITH_CHILD), &[]);
    let place = program.folder.path().to_owned();
    let session = connect(&program).await;
    let params = json!({"name": "slow", "arguments": {"file": place.join("go")}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let slow = tokio::spawn(async move { session.post(&message).await });
    until(|| begun(&place) == 1).await;
    program.terminate();
    until(|| program.log().contains("stopping")).await;
    for _ in 0..100 {
        program.hang_up();
    }
    fs::write(place.join("go"), "").unwrap();
    assert_eq!(tokio::time::timeout(LONG, slow).await.unwrap().unwrap().status, 200);
    assert_eq!(program.ended(), Some(0));
    assert!(!program.log().contains("the configuration was "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_5_a_stop_while_a_reload_waits_for_an_upstream_is_heard() {
    let mut program = start();
    let place = program.folder.path().display().to_string();
    let silent = format!(
        ", silent: {{command: sh, args: [-c, \"echo begun > {place}/begun; while read -r l; do :; done\", {place}], required: true, startup_timeout: 60s}}"
    );
    program.configure(&yaml(&silent));
    program.hang_up();
    until(|| Path::new(&place).join("begun").exists()).await;
    assert_eq!(connect(&program).await.status().await, 200, "everybody is served meanwhile");
    let told = std::time::Instant::now();
    program.terminate();
    assert_eq!(program.ended(), Some(0));
    assert!(told.elapsed() < LONG, "not the minute that the upstream may take");
    until(|| crate::children::support::processes(&place).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_5_however_the_file_is_replaced_the_new_one_is_read() {
    let program = start();
    let session = connect(&program).await;
    let folder = program.folder.path();
    let (with, without) = (yaml(", more: {builtin: whoami}"), yaml(""));
    // Some editors rename what they wrote, others write in place or move the old one away first.
    program.configure(&with);
    assert!(program.reload() && has_more(&session).await);
    fs::write(folder.join("config.yaml"), &without).unwrap();
    assert!(program.reload() && !has_more(&session).await);
    fs::rename(folder.join("config.yaml"), folder.join("config.yaml~")).unwrap();
    fs::write(folder.join("config.yaml"), &with).unwrap();
    assert!(program.reload() && has_more(&session).await);
    // Kubernetes has a link to a folder that is a link, and swaps that one.
    for (name, yaml) in [("one", &without), ("two", &with)] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("config.yaml"), yaml).unwrap();
    }
    fs::remove_file(folder.join("config.yaml")).unwrap();
    std::os::unix::fs::symlink("..data/config.yaml", folder.join("config.yaml")).unwrap();
    for (name, has) in [("one", false), ("two", true)] {
        std::os::unix::fs::symlink(name, folder.join("..new")).unwrap();
        fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
        assert!(program.reload(), "{}", program.log());
        assert_eq!(has_more(&session).await, has);
    }
}
