//! How long a process of one's own lives.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::children::support::{AT_MOST, all_there, fixture, folder, marker, none_left, processes};
use crate::isolation::{give, pid, session, stateless_pid, token, with};
use crate::mcp::until;
use crate::support::mcp::{Events, Session};
use crate::support::{App, Program, Stateless};

#[tokio::test]
async fn child_6_the_end_of_a_session_ends_its_process_and_its_descendants() {
    let marker = marker();
    let app =
        with(&format!("fake: {{FAKE, --marker, {marker}], isolation: per_session, graceful_shutdown_timeout: 1s}}"));
    let (one, other) = (session(&app, "alice").await, session(&app, "alice").await);
    all_there(&marker, 4);
    for kind in ["child", "setsid", "double_fork", "ignoring"] {
        give(&one, "fork", json!({"kind": kind, "marker": format!("{marker}-one")})).await;
    }
    assert_eq!(one.request(reqwest::Method::DELETE).send().await.unwrap().status(), 204);
    none_left(&format!("{marker}-one"), AT_MOST);
    // The other's keeper and child are still there.
    all_there(&marker, 2);
    assert!(pid(&other).await > 0);
}

#[tokio::test]
async fn child_17_idle_processes_end_and_come_back_when_they_are_needed() {
    let marker = marker();
    let app = with(&format!("fake: {{FAKE, --marker, {marker}], isolation: per_user}}"));
    let (alice, rita) = (token(&app, "alice").await, token(&app, "rita").await);
    let stateless = Stateless::new(&app, &alice);
    let first = stateless_pid(&stateless).await;
    let listener = Stateless::new(&app, &rita);
    let wanted = json!({"notifications": {"toolsListChanged": true}});
    let mut listening = Events::of(listener.send(1, "subscriptions/listen", wanted).await);
    listening.next().await.unwrap();
    let hers = stateless_pid(&listener).await;
    all_there(&marker, 4);
    app.clock.advance(Duration::from_secs(599));
    assert_eq!(stateless_pid(&stateless).await, first, "used again in time");
    app.clock.advance(Duration::from_secs(600));
    all_there_in_time(&app, &marker, 2).await;
    assert_eq!(stateless_pid(&listener).await, hers, "somebody listens");
    assert_ne!(stateless_pid(&stateless).await, first);
}

#[tokio::test]
async fn child_17_a_call_under_way_keeps_its_process() {
    let (marker, (_kept, folder)) = (marker(), folder());
    let app = with(&format!("fake: {{FAKE, --marker, {marker}], isolation: per_user}}"));
    let (alice, rita) = (token(&app, "alice").await, token(&app, "rita").await);
    let file = folder.join("file");
    let (calling, other) = (Session::new(&app, &alice), Stateless::new(&app, &rita));
    stateless_pid(&other).await;
    let waiting = give(&calling, "slow", json!({"file": file}));
    let idle = async {
        until(|| processes(&marker).len() == 4).await;
        until(|| is_called(&marker)).await;
        app.clock.advance(Duration::from_secs(601));
        // Hers ends, in the same look around in which his stays.
        all_there_in_time(&app, &marker, 2).await;
        std::fs::write(&file, "").unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, idle);
    assert_eq!(waited["waited"], "file");
}

/// Waits as time goes on: who looks around in the moment between a call's answer and its end sees it in use just then.
async fn all_there_in_time(app: &App, marker: &str, count: usize) {
    until(|| {
        app.clock.advance(Duration::from_secs(1));
        processes(marker).len() == count
    })
    .await;
}

/// Whether a call is under way in any of the processes: each call has a thread.
fn is_called(marker: &str) -> bool {
    processes(marker).iter().any(|pid| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
        let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
        name.starts_with("python") && tasks.is_ok_and(|tasks| tasks.count() > 1)
    })
}

#[tokio::test]
async fn child_7_kill_9_of_the_bridge_leaves_no_process_of_anybody() {
    let marker = marker();
    let folder = TempDir::new().unwrap();
    let yaml = format!(
        "log: {{output: log}}\nstorage: {{type: memory}}\nserver: {{listen: \"127.0.0.1:0\"}}\nupstreams:\n  fake: {{command: python3, args: [\"{}\", --marker, {marker}], isolation: per_session}}\n",
        fixture("fake_mcp_server.py")
    );
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let program = Program::start(folder, &[]);
    let url = format!("{}/mcp", program.url);
    let (one, other) =
        (Session::at(&url, "x").initialized(json!({})).await, Session::at(&url, "x").initialized(json!({})).await);
    for session in [&one, &other] {
        for kind in ["setsid", "ignoring"] {
            give(session, "fork", json!({"kind": kind, "marker": marker})).await;
        }
    }
    all_there(&marker, 8);
    // SIGKILL.
    drop(program);
    none_left(&marker, AT_MOST);
}
