//! How servers of HTTP+SSE are found, and what becomes of what is said to them.

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Got, Reply};
use super::fake_sse::{FakeSse, Said, event, greeting};
use super::support::{Client, bridge, http, refused, request, sse, tool_call, tool_call_with_progress, until};
use mcp_bridge::bridge::Answer;

fn result(id: &Value, text: &Value) -> String {
    event(&json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}}))
}

/// Echoes what `tools/call` is given.
fn echo(got: &Got) -> Option<Said> {
    let (id, name, arguments) = got.call();
    (got.method() == "tools/call" && name == "echo").then(|| Said::events(result(&id, &arguments["text"])))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_16_the_same_ids_over_one_stream_never_cross() {
    let held = std::sync::Mutex::new(Vec::new());
    let server = FakeSse::start(move |got| {
        let (id, _, arguments) = got.call();
        if got.method() != "tools/call" {
            return None;
        }
        // Answered eight at a time, the last first.
        let mut held = held.lock().unwrap();
        held.push(result(&id, &arguments["text"]));
        let events = if held.len() == 8 { held.drain(..).rev().collect() } else { String::new() };
        Some(Said::events(events))
    })
    .await;
    let bridge = bridge(&[sse(&server.url)]).await;
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
    assert_eq!((bridge.status()[0].dropped, server.opened()), (0, 1));
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_comes_on_the_stream_reaches_its_caller_and_answers_go_back() {
    let server = FakeSse::start(|got| {
        let body = got.json();
        let token = &body["params"]["_meta"]["progressToken"];
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}});
        let ask = json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}});
        match got.method().as_str() {
            // This server answers the POST of a call when the call is over, which here is never.
            "tools/call" => Some(Said { status: 0, events: event(&progress) + &event(&ask), ..Said::default() }),
            "" if body["id"] == "q" => Some(Said::events(result(&json!(4), &body["result"]["action"]))),
            _ => None,
        }
    })
    .await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut own = client.stream(&tool_call_with_progress("1", "echo", &json!({}), &json!("mine"))).await;
    assert_eq!(own.value().await["params"]["progressToken"], "mine");
    let question = own.value().await;
    let id = &server.got_of("tools/call")[0].json()["id"];
    let reply = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"accept"}}}}"#, question["id"]);
    assert!(matches!(client.post(&reply).await, Answer::Accepted));
    until(|| server.got().iter().any(|got| got.json()["id"] == "q")).await;
    server.write(result(id, &json!("done")));
    assert_eq!(own.value().await["result"]["content"][0]["text"], "done");
    bridge.shutdown().await;
}

#[tokio::test]
async fn auto_falls_back_as_the_specification_has_it_and_asks_anew_each_time() {
    for status in [400, 404, 405] {
        let server = FakeSse::start(move |got| match got.line.starts_with("POST /sse") {
            true => Some(Said::status(status)),
            false => echo(got),
        })
        .await;
        let bridge = bridge(&[http("s", &server.url)]).await;
        let client = Client::connect(&bridge, "ada").await;
        assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x", "{status}");
        let tried = |server: &FakeSse| {
            server.got_of("initialize").iter().filter(|got| got.line.starts_with("POST /sse")).count()
        };
        assert_eq!((tried(&server), server.opened()), (1, 1), "{status}");
        server.cut();
        // It may be a newer server that comes back.
        until(|| server.opened() == 2).await;
        assert_eq!(tried(&server), 2, "{status}");
        bridge.shutdown().await;
    }
}

#[tokio::test]
async fn auto_falls_back_on_nothing_else() {
    for (status, said) in [(401, "credentials"), (403, "credentials"), (500, "status 500"), (302, "redirects")] {
        let server = FakeSse::start(move |_| Some(Said::status(status))).await;
        let reason = refused(http("s", &server.url)).await;
        assert!(reason.contains(said) && !reason.contains("HTTP+SSE"), "{reason}");
        assert_eq!(server.opened(), 0, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_the_word_that_the_server_is_initialized() {
    // What overtakes it is refused by some servers; a hundred times, for it would be a race.
    for _ in 0..100 {
        let (newer, older) = (FakeServer::start(|_| None).await, FakeSse::start(|_| None).await);
        let bridge = bridge(&[http("h", &newer.url), sse(&older.url)]).await;
        for got in [newer.got(), older.got()] {
            let place = |method: &str| got.iter().position(|got| got.method() == method).unwrap();
            assert!(place("notifications/initialized") < place("tools/list"), "{got:?}");
        }
        bridge.shutdown().await;
    }
}

#[tokio::test]
async fn messages_go_where_the_server_says_within_its_own_origin() {
    for (endpoint, path) in [
        ("/a/messages?s=1", "/a/messages?s=1"),
        ("messages/?s=1", "/messages/?s=1"),
        ("?s=1", "/sse?s=1"),
        ("  /padded  ", "/padded"),
        ("ORIGIN/whole#part", "/whole"),
    ] {
        let greet = move |got: &Got| {
            let origin = format!("http://{}", got.header("host")[0]);
            Reply::Hang(greeting(&endpoint.replace("ORIGIN", &origin)))
        };
        // `?s=1` is the one case in which both have one path.
        let server = FakeSse::greeting(greet, |got| {
            let (id, name, arguments) = got.call();
            match got.method().as_str() {
                "initialize" => Some(Said::events(event(&json!({"jsonrpc": "2.0", "id": id,
                    "result": {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}}})))),
                "tools/list" => Some(Said::events(event(&json!({"jsonrpc": "2.0", "id": id,
                    "result": {"tools": [{"name": "echo", "inputSchema": {}}]}})))),
                "tools/call" if name == "echo" => Some(Said::events(result(&id, &arguments["text"]))),
                _ => Some(Said::status(202)),
            }
        })
        .await;
        let bridge = bridge(&[sse(&server.url)]).await;
        let client = Client::connect(&bridge, "ada").await;
        assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x", "{endpoint}");
        let posted: Vec<String> = server.got().iter().skip(1).map(|got| got.line.clone()).collect();
        assert!(posted.iter().all(|line| *line == format!("POST {path} HTTP/1.1")), "{posted:?}");
        bridge.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_that_was_cancelled_is_cancelled_there_too() {
    let server = FakeSse::start(|got| (got.method() == "tools/call").then(|| Said::events(String::new()))).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.raw(&tool_call("7", "echo", &json!({}))).await }
    });
    until(|| !server.got_of("tools/call").is_empty()).await;
    client.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#).await;
    until(|| !server.got_of("notifications/cancelled").is_empty()).await;
    let cancelled = server.got_of("notifications/cancelled")[0].json();
    assert_eq!(cancelled["params"]["requestId"], server.got_of("tools/call")[0].json()["id"]);
    call.await.unwrap();
    assert_eq!(client.raw(&request("8", "ping", &json!({}))).await, r#"{"jsonrpc":"2.0","id":8,"result":{}}"#);
    bridge.shutdown().await;
}
