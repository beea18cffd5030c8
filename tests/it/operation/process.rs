//! The program as it is operated: told to stop, short of descriptors, with a server behind it that will not live.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bridge::fake_server::{FakeServer, Reply};
use crate::operation::{LONG, WITH_CHILD, begun, connect, folder, is_anything_left, until};
use crate::support::Program;
use crate::support::mcp::last_message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_1_a_stop_lets_what_is_under_way_finish_and_leaves_nothing() {
    let mut program = Program::start(folder(WITH_CHILD), &[]);
    let place = program.folder.path().to_owned();
    let session = std::sync::Arc::new(connect(&program).await);
    let stream = session.listen().await;
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..20 {
        let (session, file) = (std::sync::Arc::clone(&session), place.join("go"));
        let params = json!({"name": "slow", "arguments": {"file": file}});
        let message = json!({"jsonrpc": "2.0", "id": call, "method": "tools/call", "params": params});
        calls.spawn(async move { (call, session.post(&message).await) });
    }
    until(|| begun(&place) == 20).await;
    program.terminate();
    until(|| program.log().contains("stopping")).await;
    // A stream that would stay open for ever has a clean end.
    let rest = tokio::time::timeout(LONG, stream.text()).await.unwrap();
    assert!(rest.is_ok(), "{rest:?}");
    fs::write(place.join("go"), "").unwrap();
    while let Some(done) = calls.join_next().await {
        let (call, page) = done.unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        let answer = last_message(&page);
        assert_eq!((&answer["id"], &answer["result"]["structuredContent"]["waited"]), (&json!(call), &json!("file")));
    }
    assert_eq!(program.ended(), Some(0));
    assert!(!is_anything_left(&place));
    assert!(TcpStream::connect(program.url.trim_start_matches("http://")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_1_a_second_signal_stops_at_once() {
    let mut program = Program::start(folder(WITH_CHILD), &[]);
    let place = program.folder.path().to_owned();
    let session = connect(&program).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "slow", "arguments": {"milliseconds": 600_000}}});
    let hanging = tokio::spawn(async move { session.send(&message).await.text().await });
    until(|| begun(&place) == 1).await;
    program.terminate();
    until(|| program.log().contains("a second signal stops at once")).await;
    let told = Instant::now();
    program.terminate();
    assert_eq!(program.ended(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "not the fifteen seconds that calls may take");
    until(|| !is_anything_left(&place)).await;
    hanging.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_7_without_descriptors_for_more_connections_those_there_are_served_and_children_start() {
    let yaml = "server: {listen: \"127.0.0.1:0\", read_timeout: 3s, workers: 1}\n\
        upstreams: {fake: {command: python3, args: [SCRIPT, --marker, FOLDER], restart_delay: 10ms}}\n";
    let program = Program::start_within(256, folder(yaml));
    let address = program.url.trim_start_matches("http://").to_owned();
    let session = connect(&program).await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    let (began, busy) = (Instant::now(), processor_time(program.id()));
    // The child dies and is started again while every connection there may be is taken.
    assert!(session.tool("crash", json!({})).await["error"].is_object());
    let back = async {
        while session.tool("echo", json!({"text": "x"})).await["result"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, back).await.expect("the child is back");
    // Those that say nothing are sent away, the first of them first.
    let mut said = String::new();
    tokio::time::timeout(LONG, idle[0].read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    let share = (processor_time(program.id()) - busy).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a processor while there was nothing to do");
    drop(idle);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LONG, stream.read_to_string(&mut answer)).await.expect("it has recovered").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_18_neither_a_field_nor_the_environment_sends_the_bridge_through_a_proxy() {
    let canary = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let proxy = format!("http://{}", canary.local_addr().unwrap());
    let server = FakeServer::start(|got| {
        let (id, _, arguments) = got.call();
        (got.method() == "tools/call").then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or_default()))
    })
    .await;
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "CGI_HTTP_PROXY"];
    let environment = names.map(|name| (name, proxy.as_str()));
    let yaml = format!("server: {{listen: \"127.0.0.1:0\"}}\nupstreams: {{h: {{url: \"{}\"}}}}\n", server.url);
    let program = Program::start(folder(&yaml), &environment);
    let session = connect(&program).await;
    let request =
        session.request(reqwest::Method::POST).header("content-type", "application/json").header("proxy", &proxy);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}});
    let answer = request.body(call.to_string()).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains(r#""text":"x""#), "{answer}");
    assert!(server.got_of("tools/call")[0].header("proxy").is_empty());
    assert_eq!(canary.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came to the proxy");
}

/// How much of a processor's time a process has used.
fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // proc(5): after the name in brackets, the 12th and 13th; hundredths of a second.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_5_hundreds_of_crashes_leave_nothing_and_calls_are_refused_at_once() {
    let yaml = "server: {listen: \"127.0.0.1:0\"}\n\
        upstreams:\n  me: {builtin: whoami}\n  \
        loop: {command: sh, args: [-c, \"echo >> FOLDER/starts; exit 1\"], required: false, restart_delay: 1ms, max_restart_delay: 1ms}\n";
    let program = Program::start(folder(yaml), &[]);
    let starts = program.folder.path().join("starts");
    let count = || fs::read(&starts).map_or(0, |starts| starts.len());
    let session = connect(&program).await;
    until(|| count() > 20).await;
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().count();
    let before = descriptors();
    until(|| count() > 320).await;
    let after = descriptors();
    assert!(after <= before + 10, "{before} descriptors, then {after}");
    let zombies = zombies_of(program.id());
    assert!(zombies <= 1, "{zombies}: the last may not have been waited for yet");
    let began = Instant::now();
    let answer = session.tool("loop__echo", json!({})).await;
    assert!(answer["error"].is_object() && began.elapsed() < Duration::from_secs(5), "{answer}");
    assert_eq!(session.tool("me__echo", json!({"text": "x"})).await["result"]["content"][0]["text"], "x");
}

fn zombies_of(parent: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let children: String =
        tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default()).collect();
    let state = |child: &str| fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    children
        .split_whitespace()
        .filter(|child| state(child).rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
        .count()
}
