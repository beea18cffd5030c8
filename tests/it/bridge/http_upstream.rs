//! Servers behind a URL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Got, Reply};
use super::support::{Client, bridge, http, notification, person, request, tool_call, tool_call_with_progress, until};
use mcp_bridge::bridge::mailbox::MAX_BYTES;
use mcp_bridge::bridge::{Answer, Refusal};
use mcp_bridge::config::section::Upstream;

fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

fn stream_head() -> String {
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_owned()
}

/// Echoes what `tools/call` is given.
fn echo(got: &Got) -> Option<Reply> {
    let (id, name, arguments) = got.call();
    (got.method() == "tools/call" && name == "echo")
        .then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or("")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_15_and_proxy_1_only_what_is_the_upstreams_own_is_sent() {
    let server = FakeServer::start(echo).await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_ne!(client.session.as_deref(), Some("upstream-session"));
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    client.post(&notification("vendor/note", &json!({}))).await;
    until(|| !server.got_of("vendor/note").is_empty()).await;
    bridge.shutdown().await;
    let got = server.got();
    assert!(got.last().unwrap().line.starts_with("DELETE"), "the session is ended");
    for (place, got) in got.iter().enumerate() {
        assert_eq!(got.header("authorization"), ["Bearer upstream-token"]);
        assert_eq!(got.header("x-team"), ["core"]);
        assert_eq!(got.header("accept-encoding"), ["identity"], "nothing here is decoded");
        assert!(got.header("cookie").is_empty());
        assert!(!format!("{got:?}").contains(client.session.as_deref().unwrap()));
        // Asked which era it speaks, then `initialize`; from the third on, with what that brought.
        let (session, version) = (got.header("mcp-session-id"), got.header("mcp-protocol-version"));
        assert_eq!(session, ["upstream-session"][..usize::from(place > 1)]);
        assert_eq!(version, [&["2026-07-28"][..], &[], &["2025-06-18"]][place.min(2)]);
        if got.line.starts_with("POST") {
            assert_eq!(got.header("accept"), ["application/json, text/event-stream"]);
            assert_eq!(got.header("content-type"), ["application/json"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_16_the_same_ids_over_http_never_cross() {
    let server = FakeServer::start(|got| {
        let (id, _, arguments) = got.call();
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"text": arguments["text"]}]}});
        let others =
            json!({"jsonrpc": "2.0", "id": id.as_u64().unwrap_or(0) + 1, "result": {"content": [{"text": "stolen"}]}});
        (got.method() == "tools/call").then(|| Reply::events(&(event(&others) + &event(&answer))))
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let clients = [Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await];
    let mut calls = tokio::task::JoinSet::new();
    for round in 0..200 {
        for (who, client) in clients.iter().enumerate() {
            let (client, text) = (client.clone(), format!("{who} {round}"));
            calls.spawn(async move { assert_eq!(client.tool("echo", &json!({"text": text})).await, text) });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(bridge.status()[0].dropped, 400, "a stream answers its own call alone");
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_comes_on_a_calls_stream_belongs_to_its_caller() {
    let server = FakeServer::start(|got| {
        let body = got.json();
        if got.method() == "tools/call" {
            let token = &body["params"]["_meta"]["progressToken"];
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}});
            let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "d"}});
            let ask = json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}});
            return Some(Reply::Hang(stream_head() + &event(&progress) + &event(&log) + &event(&ask)));
        }
        None
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    let mut other = b.stream(&tool_call_with_progress("1", "echo", &json!({}), &json!("of b"))).await;
    let mut own = a.stream(&tool_call_with_progress("1", "echo", &json!({}), &json!("of a"))).await;
    for (stream, token) in [(&mut own, "of a"), (&mut other, "of b")] {
        assert_eq!(stream.value().await["params"]["progressToken"], token);
        assert_eq!(stream.value().await["params"]["data"], "d");
    }
    // Two questions under one id of the server: the first stands, the second is refused.
    let question = other.value().await;
    assert_eq!(question["method"], "elicitation/create");
    let reply = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"accept"}}}}"#, question["id"]);
    assert!(matches!(b.post(&reply).await, Answer::Accepted));
    let answered = |got: &Got| got.json()["result"]["action"] == "accept" && got.json()["id"] == "q";
    until(|| server.got().iter().any(answered)).await;
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_7_and_8_redirects_and_challenges_stay_upstream() {
    let server = FakeServer::start(|got| {
        let status = got.call().2["status"].as_u64().filter(|_| got.method() == "tools/call")?;
        let headers = vec![
            ("Location", "http://127.0.0.1:1/stolen".to_owned()),
            ("WWW-Authenticate", "Bearer resource_metadata=\"https://evil.example\"".to_owned()),
            ("Set-Cookie", "a=b".to_owned()),
        ];
        Some(Reply::Whole { status: u16::try_from(status).unwrap(), headers, body: "<html>evil".to_owned() })
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    for status in [301, 302, 307, 308, 400, 401, 403, 429, 500, 503] {
        let answer = client.rpc("tools/call", &json!({"name": "echo", "arguments": {"status": status}})).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32000)), "{status}");
        assert!(!answer.to_string().contains("evil"), "{answer}");
    }
    assert_eq!(server.got_of("tools/call").len(), 10, "each was sent once");
    assert_eq!(client.rpc("ping", &json!({})).await["result"], json!({}));
    bridge.shutdown().await;
}

#[tokio::test]
async fn an_error_meant_for_the_caller_reaches_it() {
    let server = FakeServer::start(|got| {
        let body =
            json!({"jsonrpc": "2.0", "id": got.json()["id"], "error": {"code": -32602, "message": "bad arguments"}});
        let headers = vec![("Content-Type", "application/json".to_owned())];
        (got.method() == "tools/call").then(|| Reply::Whole { status: 400, headers, body: body.to_string() })
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    assert!(Client::new(&bridge, "ada").tool("echo", &json!({})).await.contains("bad arguments"));
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_10_a_broken_answer_is_an_error_and_never_a_short_one() {
    let server = FakeServer::start(|got| {
        let (id, _, arguments) = got.call();
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
        let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let cut = match arguments["how"].as_str()? {
            "short" => format!("{json}Content-Length: 1000\r\n\r\n{answer}"),
            "chunk" => format!("{json}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{answer}", answer.len() + 5),
            "head" => "HTTP/1.1 200".to_owned(),
            "garbage" => "\0\0\0\r\n\r\n".to_owned(),
            "events" => format!("{}data: {{\"jsonrpc\"", stream_head()),
            "empty" => format!("{json}Content-Length: 0\r\n\r\n"),
            "html" => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
            _ => String::new(),
        };
        (got.method() == "tools/call").then_some(Reply::Cut(cut))
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let hows = ["short", "chunk", "head", "garbage", "events", "empty", "html", "nothing"];
    for how in hows {
        let error = client.tool("echo", &json!({"how": how})).await;
        assert!(error.contains("-32000"), "{how}: {error}");
    }
    // PROXY-14: not one of them was tried again.
    assert_eq!(server.got_of("tools/call").len(), hows.len());
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_session_is_opened_again() {
    let known = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&known);
    let server = FakeServer::start(move |got| match got.method().as_str() {
        "tools/call" if current.load(Ordering::SeqCst) == 0 => Some(Reply::status(404)),
        "tools/call" => echo(got),
        "initialize" => {
            current.store(1, Ordering::SeqCst);
            None
        }
        _ => None,
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    known.store(0, Ordering::SeqCst);
    assert!(client.tool("echo", &json!({"text": "x"})).await.contains("forgot"));
    assert_eq!(server.got_of("tools/call").len(), 1, "never sent again");
    let mut stream = client.listen();
    while stream.value().await["method"] != "notifications/tools/list_changed" {}
    until(|| bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({"text": "y"})).await, "y");
    assert_eq!(server.got_of("initialize").len(), 2);
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_was() {
    let server = FakeServer::start(|got| {
        if got.method() == "tools/call" {
            return Some(Reply::Cut(format!("{}id: 41\nretry: 10\ndata:\n\n", stream_head())));
        }
        let calls = json!({"jsonrpc": "2.0", "id": 4, "result": {"content": [{"text": "late"}]}});
        (got.header("last-event-id") == ["41"]).then(|| Reply::events(&event(&calls)))
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    // Our ids count up: server/discover, initialize, tools/list, this.
    assert_eq!(Client::new(&bridge, "ada").tool("echo", &json!({})).await, "late");
    assert_eq!(server.got_of("tools/call").len(), 1);
    bridge.shutdown().await;
}

#[tokio::test]
async fn when_a_server_is_to_be_polled_the_client_gets_a_stream_to_come_back_to() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = FakeServer::start(move |got| {
        let pause = |id: u64| format!("{}id: {id}\nretry: 10\ndata:\n\n", stream_head());
        if got.method() == "tools/call" {
            return Some(Reply::Cut(pause(0)));
        }
        let last = got.header("last-event-id").first()?.parse::<u64>().ok()?;
        count.store(usize::try_from(last).unwrap(), Ordering::SeqCst);
        let answer = json!({"jsonrpc": "2.0", "id": 4, "result": {}});
        Some(if last < 3 { Reply::Cut(pause(last + 1)) } else { Reply::events(&event(&answer)) })
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut stream = client.stream(&tool_call("\"c\"", "echo", &json!({}))).await;
    assert_eq!(stream.next().await.unwrap(), r#"{"jsonrpc":"2.0","id":"c","result":{}}"#);
    assert_eq!((stream.id.as_deref(), asked.load(Ordering::SeqCst)), (Some("p1-1"), 3));
    bridge.shutdown().await;
}

#[tokio::test]
async fn the_servers_own_stream_is_listened_to() {
    let server = FakeServer::start(|got| {
        let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
        got.line.starts_with("GET").then(|| Reply::Hang(stream_head() + &event(&changed)))
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    until(|| server.got_of("tools/list").len() == 2).await;
    // The change may have been told before the session was there; it is there when the list was read twice.
    assert_eq!(client.rpc("tools/list", &json!({})).await["result"]["tools"][0]["name"], "echo");
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_24_a_client_that_does_not_read_slows_only_its_own_stream() {
    let server = FakeServer::start(|got| {
        let (_, name, _) = got.call();
        if got.method() == "tools/call" && name == "flood" {
            let one = event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x".repeat(10_000)}}));
            return Some(Reply::Hang(stream_head() + &one.repeat(3000)));
        }
        echo(got)
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut stream = client.stream(&tool_call("1", "flood", &json!({}))).await;
    // While others are served, far more arrives than may wait; it has to wait where it comes from.
    for _ in 0..300 {
        assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    }
    for _ in 0..3000 {
        let message = stream.next().await.unwrap();
        assert!(message.len() > 10_000 && message.len() < MAX_BYTES);
    }
    assert_eq!(bridge.status()[0].dropped, 0);
    drop(stream);
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_11_a_server_that_hangs_times_out_and_its_request_is_dropped() {
    let hung = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hung);
    let server = FakeServer::start(move |got| {
        if got.method() != "tools/call" {
            return None;
        }
        let head = if count.fetch_add(1, Ordering::SeqCst) == 0 { String::new() } else { stream_head() };
        Some(Reply::Hang(head))
    })
    .await;
    let mut upstream = http("h", &server.url);
    upstream.timeout = Duration::from_millis(300);
    let bridge = bridge(&[upstream]).await;
    let client = Client::connect(&bridge, "ada").await;
    for _ in 0..2 {
        let answer = client.raw(&tool_call("\"t\"", "echo", &json!({}))).await;
        assert!(answer.contains("-32001") && answer.contains(r#""id":"t""#), "{answer}");
    }
    until(|| server.got_of("notifications/cancelled").len() == 2).await;
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_late_is_announced() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut late = http("late", &format!("http://{address}/mcp"));
    late.required = false;
    let bridge = bridge(&[late]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert!(bridge.status()[0].reason.as_deref().unwrap().contains("no connection"), "{:?}", bridge.status());
    assert!(client.tool("echo", &json!({})).await.contains("not available"));
    let server = FakeServer::start_on(address, echo).await;
    let mut stream = client.listen();
    assert_eq!(stream.value().await["method"], "notifications/tools/list_changed");
    assert_eq!(client.raw(&request("1", "tools/list", &json!({}))).await.matches("echo").count(), 1);
    drop(server);
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_rule_holds_for_a_tool_that_came_since_the_list_was_read() {
    let has_grown = Arc::new(AtomicBool::new(false));
    let grown = Arc::clone(&has_grown);
    let server = FakeServer::start(move |got| {
        let id = &got.json()["id"];
        let result = |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
        let info = json!({"name": "fake", "version": "1"});
        let names = if grown.load(Ordering::SeqCst) { &["echo", "drop"][..] } else { &["echo"] };
        let tools: Vec<Value> = names.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
        match got.method().as_str() {
            // It does not tell when its list changes.
            "initialize" => {
                result(json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}))
            }
            "tools/list" => result(json!({"tools": tools})),
            "tools/call" => Some(Reply::result(id, "done")),
            _ => None,
        }
    })
    .await;
    let mut upstream = http("h", &server.url);
    let rule = mcp_bridge::config::section::ToolRule { scopes: Some(vec!["danger".to_owned()]) };
    upstream.tools.insert("drop".to_owned(), rule);
    let bridge = bridge(&[upstream]).await;
    let client = Client::connect(&bridge, "ada").await;
    has_grown.store(true, Ordering::SeqCst);
    let call = tool_call("1", "drop", &json!({}));
    let needed = Refusal::InsufficientScope { needed: vec!["danger".to_owned()] };
    assert_eq!(client.refusal(&call).await, needed, "to write is not enough");
    assert!(server.got_of("tools/call").is_empty());
    let daring = Client { principal: person("ada", "mcp:write danger"), ..Client::new(&bridge, "ada") };
    assert_eq!(daring.tool("drop", &json!({})).await, "done");
    assert_eq!(client.tool("echo", &json!({})).await, "done");
    bridge.shutdown().await;
}

#[tokio::test]
async fn the_header_of_the_first_call_that_brings_a_server_up_repeats_its_arguments() {
    let server = FakeServer::start(|got| {
        let id = &got.json()["id"];
        let result = |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
        let schema = json!({"type": "object", "properties": {"text": {"type": "string", "x-mcp-header": "Text"}}});
        match got.method().as_str() {
            "server/discover" => result(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})),
            "tools/list" => result(json!({"tools": [{"name": "echo", "inputSchema": schema}]})),
            _ => echo(got),
        }
    })
    .await;
    let isolation = mcp_bridge::config::section::Isolation::PerUser;
    let bridge = bridge(&[Upstream { isolation, ..http("h", &server.url) }]).await;
    let client = Client::new(&bridge, "ada");
    assert_eq!(client.tool("echo", &json!({"text": "first"})).await, "first");
    assert_eq!(server.got_of("tools/call")[0].header("mcp-param-text"), ["first"]);
    bridge.shutdown().await;
}
