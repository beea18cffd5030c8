//! Servers behind a URL that speak HTTP+SSE, as before 2025-03-26.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::fake_server::{FakeServer, Got, Reply, usual};
use super::support::{Client, bridge, http, notification, request, tool_call, tool_call_with_progress, until};
use mcp_bridge::bridge::Bridge;
use mcp_bridge::config::section::{HttpProtocol, Upstream, UpstreamKind};

/// Where the one stream of a server goes.
type Stream = Arc<Mutex<Option<UnboundedSender<String>>>>;

fn event(message: &Value) -> String {
    format!("event: message\r\ndata: {message}\r\n\r\n")
}

fn say(stream: &Stream, message: &Value) {
    stream.lock().unwrap().as_ref().unwrap().send(event(message)).unwrap();
}

fn upstream(server: &FakeServer, protocol: HttpProtocol, message_url: Option<&str>) -> Upstream {
    let mut upstream = http("old", &server.url);
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        settings.protocol = protocol;
        settings.message_url = message_url.map(|url| url.parse().unwrap());
    }
    upstream
}

/// A server of 2024-11-05 that says `endpoint`, and does with a tool call what `script` says.
async fn legacy(
    endpoint: &str,
    script: impl Fn(&Got, &Stream) -> Option<Reply> + Send + Sync + 'static,
) -> (FakeServer, Stream) {
    let stream = Stream::default();
    let (kept, endpoint) = (Arc::clone(&stream), endpoint.to_owned());
    let server = FakeServer::start(move |got| {
        if got.line.starts_with("GET /mcp ") {
            let (sender, pieces) = unbounded_channel();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\r\n\r\n";
            sender.send(format!("{head}event: endpoint\r\ndata: {endpoint}\r\n\r\n")).unwrap();
            *kept.lock().unwrap() = Some(sender);
            return Some(Reply::Follow(pieces));
        }
        if got.line.starts_with("POST /mcp ") {
            return Some(Reply::status(405));
        }
        if let Some(reply) = script(got, &kept) {
            return Some(reply);
        }
        let accepted = || Reply::Whole { status: 202, headers: Vec::new(), body: "Accepted".to_owned() };
        match usual(got) {
            Some(Reply::Whole { body, .. }) if !body.is_empty() => {
                let answer = body.replace("2025-06-18", "2024-11-05");
                say(&kept, &serde_json::from_str(&answer).unwrap());
                Some(accepted())
            }
            _ => Some(accepted()),
        }
    })
    .await;
    (server, stream)
}

fn echo(got: &Got, stream: &Stream) -> Option<Reply> {
    let (id, name, arguments) = got.call();
    if got.method() == "tools/call" && name == "echo" {
        let content = json!([{"type": "text", "text": arguments["text"]}]);
        say(stream, &json!({"jsonrpc": "2.0", "id": id, "result": {"content": content}}));
    }
    None
}

/// Why it is down, once it is.
async fn reason(bridge: &Bridge) -> String {
    let reason = || bridge.status()[0].reason.clone().unwrap_or_default();
    until(|| !matches!(reason().as_str(), "" | "it is starting")).await;
    reason()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_1_a_server_of_2024_is_found_and_gets_only_what_is_the_upstreams_own() {
    let (server, _stream) = legacy("/messages?session=s%201", echo).await;
    let bridge = bridge(&[upstream(&server, HttpProtocol::Auto, None)]).await;
    let clients = [Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await];
    let mut calls = tokio::task::JoinSet::new();
    for round in 0..50 {
        for (who, client) in clients.iter().enumerate() {
            let (client, text) = (client.clone(), format!("{who} {round}"));
            calls.spawn(async move { assert_eq!(client.tool("echo", &json!({"text": text})).await, text) });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    clients[0].post(&notification("vendor/note", &json!({}))).await;
    until(|| !server.got_of("vendor/note").is_empty()).await;
    let got = server.got();
    let tried: Vec<String> = got[..2].iter().map(Got::method).collect();
    assert_eq!(tried, ["server/discover", "initialize"]);
    let got = &got[2..];
    let lines: Vec<&str> = got.iter().map(|got| got.line.as_str()).collect();
    assert_eq!(lines[0], "GET /mcp HTTP/1.1");
    assert!(lines[1..].iter().all(|line| *line == "POST /messages?session=s%201 HTTP/1.1"), "{lines:?}");
    // Nothing overtakes it: servers of that time refuse what comes before.
    let methods: Vec<String> = got[1..4].iter().map(Got::method).collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "tools/list"]);
    for got in got {
        assert_eq!(got.header("authorization"), ["Bearer upstream-token"]);
        assert_eq!(got.header("x-team"), ["core"]);
        assert_eq!(got.header("accept-encoding"), ["identity"], "nothing here is decoded");
        assert!(got.header("cookie").is_empty());
        assert!(!format!("{got:?}").contains(clients[0].session.as_deref().unwrap()));
    }
    bridge.shutdown().await;
}

#[tokio::test]
async fn progress_and_questions_of_an_old_server_find_their_caller() {
    let (server, _stream) = legacy("messages", |got, stream| {
        let (id, name, _) = got.call();
        if name == "ask" {
            let token = &got.json()["params"]["_meta"]["progressToken"];
            let params = json!({"progressToken": token, "progress": 1});
            say(stream, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
            say(stream, &json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}));
            *KEPT.lock().unwrap() = id;
        } else if got.json()["id"] == "q" {
            let text = got.json()["result"]["action"].clone();
            let result = json!({"content": [{"type": "text", "text": text}]});
            say(stream, &json!({"jsonrpc": "2.0", "id": *KEPT.lock().unwrap(), "result": result}));
        }
        None
    })
    .await;
    static KEPT: Mutex<Value> = Mutex::new(Value::Null);
    let bridge = bridge(&[upstream(&server, HttpProtocol::Sse, None)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut stream = client.stream(&tool_call_with_progress("\"c\"", "ask", &json!({}), &json!("token"))).await;
    assert_eq!(stream.value().await["params"]["progressToken"], "token");
    let question = stream.value().await;
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    client.post(&answer.to_string()).await;
    let result = stream.value().await;
    assert_eq!((&result["id"], &result["result"]["content"][0]["text"]), (&json!("c"), &json!("decline")));
    assert!(
        server.got().iter().all(|got| !got.line.starts_with("POST /mcp ")),
        "sse was written: nothing else is tried"
    );
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_10_the_end_of_the_stream_fails_what_waits_and_a_new_one_is_opened() {
    let (server, stream) = legacy("/messages", echo).await;
    let bridge = bridge(&[upstream(&server, HttpProtocol::Sse, None)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let (waiting, call) = (client.clone(), tool_call("1", "hang", &json!({})));
    let waiting = tokio::spawn(async move { waiting.raw(&call).await });
    until(|| !server.got_of("tools/call").is_empty()).await;
    *stream.lock().unwrap() = None;
    let answer = waiting.await.unwrap();
    assert!(answer.contains("-32000") || answer.contains("went away"), "{answer}");
    let mut events = client.listen();
    while events.value().await["method"] != "notifications/tools/list_changed" {}
    until(|| bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({"text": "y"})).await, "y");
    assert_eq!((server.got_of("initialize").len(), server.got_of("tools/call").len()), (2, 2));
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_server_that_forgot_the_session_is_connected_anew() {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let (server, _stream) = legacy("/messages", move |got, stream| {
        let forgets = got.method() == "tools/call" && is_first.swap(false, std::sync::atomic::Ordering::SeqCst);
        if forgets { Some(Reply::status(404)) } else { echo(got, stream) }
    })
    .await;
    let bridge = bridge(&[upstream(&server, HttpProtocol::Sse, None)]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert!(client.tool("echo", &json!({"text": "x"})).await.contains("went away"));
    until(|| server.got_of("initialize").len() == 2 && bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({"text": "y"})).await, "y");
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_7_a_foreign_endpoint_gets_nothing_unless_it_was_written() {
    let other = FakeServer::start(|_| Some(Reply::status(202))).await;
    let foreign = other.url.replace("/mcp", "/messages?session=7");
    let (server, _stream) = legacy(&foreign, echo).await;
    let mut refused = upstream(&server, HttpProtocol::Sse, None);
    refused.required = false;
    let bridge_of_refused = bridge(&[refused]).await;
    let reason = reason(&bridge_of_refused).await;
    assert!(reason.contains("another origin, http://127.0.0.1:") && reason.contains("message_url"), "{reason}");
    bridge_of_refused.shutdown().await;
    assert!(other.got().is_empty());

    let mut written = upstream(&server, HttpProtocol::Sse, Some(&other.url));
    written.required = false;
    written.timeout = Duration::from_millis(200);
    let bridge = bridge(&[written]).await;
    until(|| !other.got().is_empty()).await;
    assert_eq!(other.got()[0].line, "POST /mcp?session=7 HTTP/1.1", "the session is added to what was written");
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_no_mcp_server_is_says_so_of_both_protocols() {
    let server = FakeServer::start(|got| got.line.starts_with("POST").then(|| Reply::status(404))).await;
    let mut none = upstream(&server, HttpProtocol::Auto, None);
    none.required = false;
    let bridge_of_none = bridge(&[none.clone()]).await;
    let words = reason(&bridge_of_none).await;
    assert!(
        words.contains("status 404") && words.contains("nor HTTP+SSE: The MCP server answered with status 405"),
        "{words}"
    );
    bridge_of_none.shutdown().await;
    assert!(server.got()[2].line.starts_with("GET"));
    let before = server.got().len();

    if let UpstreamKind::Http(settings) = &mut none.kind {
        settings.protocol = HttpProtocol::StreamableHttp;
    }
    let bridge = bridge(&[none]).await;
    assert!(!reason(&bridge).await.contains("SSE"));
    assert!(server.got()[before..].iter().all(|got| got.line.starts_with("POST")), "nothing else is tried");
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_13_an_endless_event_ends_the_connection() {
    let (server, stream) = legacy("/messages", echo).await;
    let bridge = bridge(&[upstream(&server, HttpProtocol::Sse, None)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let piece = format!("data: {}", "x".repeat(1024 * 1024));
    for _ in 0..17 {
        // Once it is too much, nobody reads any more.
        let _gone = stream.lock().unwrap().as_ref().unwrap().send(piece.clone());
    }
    until(|| server.got_of("initialize").len() == 2 && bridge.status()[0].is_up).await;
    assert_eq!(client.rpc("ping", &json!({})).await["result"], json!({}));
    assert_eq!(client.raw(&request("1", "tools/list", &json!({}))).await.matches("echo").count(), 1);
    bridge.shutdown().await;
}
