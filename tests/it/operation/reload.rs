//! Another configuration comes into force while everybody works: nobody notices but those whom it concerns.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::operation::{LONG, begun, connect, folder, is_anything_left, until};
use crate::support::Program;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::stateless::Stateless;

const HEAD: &str = "log: {output: log}\nserver: {listen: \"127.0.0.1:0\"}\n";
const FAKE: &str = "  fake: {command: python3, args: [SCRIPT, --marker, FOLDER, --journal, FOLDER/journal]}\n";
const ME: &str = "  me: {builtin: whoami}\n";
const OTHER: &str = "  other: {command: python3, args: [SCRIPT, --marker, other-FOLDER, --journal, FOLDER/journal]}\n";

/// A configuration with these upstreams and this in `server`.
fn yaml(program: &Program, upstreams: &[&str], server: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
    let head = HEAD.replace("0\"}", &format!("0\"{server}}}"));
    let yaml = format!("{head}upstreams:\n{}", upstreams.concat());
    yaml.replace("SCRIPT", script).replace("FOLDER", program.folder.path().to_str().unwrap())
}

fn start(upstreams: &[&str]) -> Program {
    Program::start(folder(&format!("server: {{listen: \"127.0.0.1:0\"}}\nupstreams:\n{}", upstreams.concat())), &[])
}

async fn pid(session: &Session, tool: &str) -> Value {
    let answer = session.tool(tool, json!({})).await;
    let pid = answer["result"]["structuredContent"]["_pid"].clone();
    assert!(pid.is_number(), "{answer}");
    pid
}

/// The socket that the program listens on.
fn listener(program: &Program) -> String {
    let port: u16 = program.url.rsplit(':').next().unwrap().parse().unwrap();
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", program.id())).unwrap();
    // proc(5): local address, remote address, state (0A: it listens), …, inode.
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let mut own = rows.filter(|row| row[1].ends_with(&format!(":{port:04X}")) && row[3] == "0A");
    own.next().expect("it listens")[9].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_good_reloads_under_load_fail_nobody_and_touch_nothing_that_did_not_change() {
    let program = Arc::new(start(&[FAKE, ME]));
    let session = Arc::new(connect(&program).await);
    let (child, socket) = (pid(&session, "fake__echo").await, listener(&program));
    let stream = session.listen().await;
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (session, child, program) = (Arc::clone(&session), child.clone(), Arc::clone(&program));
        let (is_over, calls) = (Arc::clone(&is_over), Arc::clone(&calls));
        load.spawn(async move {
            let stateless = Stateless::at(&format!("{}/mcp", program.url), "none");
            while !is_over.load(Ordering::Relaxed) {
                match worker % 2 {
                    0 => assert_eq!(pid(&session, "fake__echo").await, child),
                    _ => {
                        let answer = stateless.tool("me__echo", json!({"text": "x"})).await;
                        assert_eq!(answer["result"]["content"][0]["text"], "x", "{answer}");
                    }
                }
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let other = OTHER.replace("/journal", "/journal-of-others");
    let variants: [(&[&str], &str); 5] = [
        (&[FAKE, ME, &other], ""),
        (&[ME, FAKE], ", request_timeout: 100s"),
        (&[ME, FAKE, &other], ", tool_search: {results: 3}"),
        (&[FAKE, "  more: {builtin: whoami}\n", ME], ", allowed_hosts: [other.example]"),
        (&[FAKE, ME], ", session: {max_sessions: 50}, sse_keepalive_interval: 5s"),
    ];
    for (upstreams, server) in variants.iter().chain(&variants) {
        let before = calls.load(Ordering::Relaxed);
        program.configure(&yaml(&program, upstreams, server));
        assert!(program.reload(), "{}", program.log());
        until(|| calls.load(Ordering::Relaxed) > before + 40).await;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(worker) = load.join_next().await {
        worker.expect("nobody's call failed");
    }
    assert_eq!((pid(&session, "fake__echo").await, listener(&program)), (child, socket));
    // The stream of before is the session's still, and told of what came and went.
    let mut events = Events::of(stream);
    let told = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let starts = fs::read_to_string(program.folder.path().join("journal")).unwrap().matches("\"start\"").count();
    assert_eq!(starts, 1, "one child for all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_what_is_under_way_at_a_removed_upstream_is_finished_and_then_it_ends() {
    let program = start(&[FAKE, OTHER, ME]);
    let place = program.folder.path().to_owned();
    let session = Arc::new(connect(&program).await);
    let child = pid(&session, "fake__echo").await;
    let params = json!({"name": "other__slow", "arguments": {"file": place.join("go")}});
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let slow = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.post(&message).await }
    });
    until(|| begun(&place) == 2).await;
    program.configure(&yaml(&program, &[FAKE, ME], ""));
    assert!(program.reload());
    let answer = session.tool("other__echo", json!({})).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("other__echo"), "{answer}");
    let listed = session.call("tools/list", json!({})).await.to_string();
    assert!(listed.contains("fake__echo") && !listed.contains("other__"), "{listed}");
    let other = || !crate::children::support::processes(&format!("other-{}", place.display())).is_empty();
    assert!(other(), "somebody still waits for it");
    fs::write(place.join("go"), "").unwrap();
    let answer = last_message(&slow.await.unwrap());
    assert_eq!(answer["result"]["structuredContent"]["waited"], "file", "{answer}");
    until(|| !other()).await;
    assert_eq!(pid(&session, "fake__echo").await, child);
    drop(program);
    until(|| !is_anything_left(&place)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_other_settings_are_another_child_and_its_subscribers_go_along() {
    let program = start(&[FAKE, ME]);
    let session = connect(&program).await;
    let child = pid(&session, "fake__echo").await;
    assert!(session.call("resources/subscribe", json!({"uri": "fake://one"})).await["result"].is_object());
    let mut events = Events::of(session.listen().await);
    let changed = FAKE.replace("FOLDER/journal]", "FOLDER/journal], timeout: 77s");
    program.configure(&yaml(&program, &[&changed, ME], ""));
    assert!(program.reload());
    assert_ne!(pid(&session, "fake__echo").await, child);
    let subscribed = || {
        let journal = fs::read_to_string(program.folder.path().join("journal")).unwrap();
        journal.matches("resources/subscribe").count() >= 2
    };
    until(subscribed).await;
    session.tool("fake__touch", json!({"uri": "fake://one"})).await;
    let updated = async { while events.next().await.unwrap()["method"] != "notifications/resources/updated" {} };
    tokio::time::timeout(LONG, updated).await.expect("it hears of it from the new one");
    // The stream of before holds nothing of it.
    let former = format!("/proc/{child}");
    until(|| !std::path::Path::new(&former).exists()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_what_is_called_while_other_settings_come_up_is_carried_and_never_unknown() {
    let program = start(&[FAKE, ME]);
    let session = Arc::new(connect(&program).await);
    let child = pid(&session, "fake__echo").await;
    // It waits at its start for as long as this does.
    let late = FAKE.replace("FOLDER/journal]", "FOLDER/journal, --start-after, FOLDER/start]");
    program.configure(&yaml(&program, &[&late, ME], ""));
    assert!(program.reload());
    let asked = [
        ("tools/call", json!({"name": "fake__echo", "arguments": {}})),
        ("prompts/get", json!({"name": "fake__greeting", "arguments": {"name": "x"}})),
        ("resources/read", json!({"uri": "fake://one"})),
        ("resources/subscribe", json!({"uri": "fake://one"})),
    ];
    let mut calls: Vec<_> =
        asked.iter().map(|(method, params)| Box::pin(session.call(method, params.clone()))).collect();
    for call in &mut calls {
        // Sent, and nothing comes yet; another answer takes the same way meanwhile.
        assert!(futures_util::poll!(call).is_pending());
    }
    let answer = session.tool("me__echo", json!({"text": "x"})).await;
    assert!(answer["result"].is_object(), "{answer}");
    fs::write(program.folder.path().join("start"), "").unwrap();
    for (call, (method, _)) in calls.into_iter().zip(&asked) {
        let answer = tokio::time::timeout(LONG, call).await.unwrap();
        assert!(answer["result"].is_object(), "{method}: {answer}");
    }
    assert_ne!(pid(&session, "fake__echo").await, child);
    assert_eq!(
        session.tool("fake__nothing", json!({})).await["error"]["code"],
        -32602,
        "now it is known what there is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_what_is_called_while_other_settings_do_not_come_up_is_told_that_it_is_not_available_now() {
    let program = start(&[FAKE, ME]);
    let session = connect(&program).await;
    let child = pid(&session, "fake__echo").await;
    let broken = FAKE.replace("FOLDER/journal]", "FOLDER/journal, --exit-at-start, '3']");
    program.configure(&yaml(&program, &[&broken, ME], ""));
    assert!(program.reload());
    let stateless = Stateless::at(&format!("{}/mcp", program.url), "none");
    for (method, params) in [
        ("tools/call", json!({"name": "fake__echo", "arguments": {}})),
        ("prompts/get", json!({"name": "fake__greeting", "arguments": {"name": "x"}})),
        ("resources/read", json!({"uri": "fake://one"})),
    ] {
        for answer in [session.call(method, params.clone()).await, stateless.call(method, params.clone()).await] {
            let error = &answer["error"];
            assert!(error["code"] == -32000, "{method}: {answer}");
            assert!(error["message"].as_str().unwrap().contains(r#""fake" is not available"#), "{method}: {answer}");
        }
    }
    assert_eq!(session.tool("me__nothing", json!({})).await["error"]["code"], -32602, "of the other one all is known");
    program.configure(&yaml(&program, &[FAKE, ME], ""));
    assert!(program.reload());
    assert_ne!(pid(&session, "fake__echo").await, child);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_a_second_upstream_renames_the_tools_of_the_first_and_leaves_its_child() {
    let program = start(&[FAKE]);
    let session = connect(&program).await;
    let child = pid(&session, "echo").await;
    let mut events = Events::of(session.listen().await);
    for (upstreams, name) in [(&[FAKE, ME][..], "fake__echo"), (&[FAKE], "echo")] {
        program.configure(&yaml(&program, upstreams, ""));
        assert!(program.reload());
        let told = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap();
        assert!(told["method"].as_str().unwrap().ends_with("/list_changed"), "{told}");
        let listed = session.call("tools/list", json!({})).await;
        let tools = listed["result"]["tools"].as_array().unwrap();
        let names: HashSet<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert!(names.contains(name), "{names:?}");
        assert_eq!(pid(&session, name).await, child);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_a_listener_without_a_session_hears_of_what_changed() {
    let program = start(&[FAKE, ME]);
    let client = Stateless::at(&format!("{}/mcp", program.url), "none");
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut events = Events::of(client.send(1, "subscriptions/listen", filter).await);
    let first = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    program.configure(&yaml(&program, &[ME], ""));
    assert!(program.reload());
    let told = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let listed = client.call("tools/list", json!({})).await.to_string();
    assert!(listed.contains("\"echo\"") && !listed.contains("fake"), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_what_each_person_has_for_themselves_stays_too() {
    let own = FAKE.replace("FOLDER/journal]", "FOLDER/journal], isolation: per_session");
    let program = start(&[&own, ME]);
    let session = connect(&program).await;
    let child = pid(&session, "fake__echo").await;
    program.configure(&yaml(&program, &[&own, ME, "  more: {builtin: whoami}\n"], ""));
    assert!(program.reload());
    assert_eq!(pid(&session, "fake__echo").await, child);
    let changed = own.replace("isolation", "timeout: 50s, isolation");
    program.configure(&yaml(&program, &[&changed, ME], ""));
    assert!(program.reload());
    let new = pid(&session, "fake__echo").await;
    assert_ne!(new, child);
    let of_before = format!("/proc/{child}");
    until(|| !std::path::Path::new(&of_before).exists()).await;
}

#[test]
fn ops_3_what_needs_a_restart_is_told_and_the_rest_is_applied() {
    let program = start(&[ME]);
    let yaml = "log: {output: log2, level: debug, format: json}\n\
        server: {listen: \"127.0.0.1:1\", public_url: \"https://b.example\", mcp_path: /other, workers: 1, allowed_hosts: [new.example]}\n\
        storage: {type: memory}\nupstreams: {me: {builtin: whoami}}\n";
    program.configure(yaml);
    program.hang_up();
    let second = program.folder.path().join("log2");
    let began = std::time::Instant::now();
    let log = loop {
        let log = fs::read_to_string(&second).unwrap_or_default();
        if log.contains("the configuration was reloaded") {
            break log;
        }
        assert!(began.elapsed() < LONG, "{}", program.log());
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for key in ["server.listen", "server.public_url", "server.mcp_path", "server.workers", "storage"] {
        let is_told = |line: &&Value| line["key"] == key && line["level"] == "WARN";
        assert!(told.iter().any(|line| is_told(&line)), "{key}: {log}");
    }
    let status = |host: &str, path: &str| {
        let address = program.url.trim_start_matches("http://").to_owned();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("new.example", "/healthz"), "200", "it was applied");
    assert_eq!((status("localhost", "/mcp"), status("localhost", "/other")), ("406".to_owned(), "404".to_owned()));
}

#[test]
fn a_log_file_that_was_moved_away_is_made_anew_whatever_the_configuration_holds() {
    let program = start(&[ME]);
    let log = program.folder.path().join("log");
    for (number, yaml) in [(1, yaml(&program, &[ME], "")), (2, "nonsense: [".to_owned())] {
        program.configure(&yaml);
        fs::rename(&log, program.folder.path().join(format!("log.{number}"))).unwrap();
        program.hang_up();
        let began = std::time::Instant::now();
        while !fs::read_to_string(&log).unwrap_or_default().contains("the configuration was ") {
            assert!(began.elapsed() < LONG);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
