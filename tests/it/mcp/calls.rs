//! Calls: what clients send, and in which form they are answered.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mcp::{child, with_child};
use crate::support::app::BASIC;
use crate::support::browser::Page;
use crate::support::client::http;
use crate::support::mcp::{Session, last_message};
use crate::support::{App, Client, Stateless};

async fn token(app: &App) -> String {
    Client::register(app).await.tokens().await.access().to_owned()
}

#[tokio::test]
async fn mcp_10_an_answer_comes_in_a_form_the_client_takes() {
    let app = with_child("");
    let token = token(&app).await;
    let call =
        json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "echo", "arguments": {"a": 1}}})
            .to_string();
    let json_type = "application/json";
    for (accept, status, kind) in [
        (None, 200, json_type),
        (Some("*/*"), 200, json_type),
        (Some("application/json"), 200, json_type),
        (Some("application/json, text/event-stream"), 200, json_type),
        (Some("text/event-stream"), 200, "text/event-stream"),
        (Some("text/html"), 406, json_type),
    ] {
        let mut request =
            http().post(app.resource()).bearer_auth(&token).header("content-type", json_type).body(call.clone());
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let page = Page::read(request.send().await.unwrap()).await;
        assert_eq!((page.status, page.header("content-type")), (status, kind), "{accept:?}: {}", page.body);
        if status == 200 {
            let answer = last_message(&page);
            assert_eq!((answer["id"].as_str(), &answer["result"]["structuredContent"]["a"]), (Some("x"), &json!(1)));
        }
    }
}

#[tokio::test]
async fn d_6_a_refusal_bears_the_id_of_the_request_it_refuses() {
    let app = with_child("");
    let token = token(&app).await;
    let post = async |fields: &[(&'static str, &'static str)], body: &Value| {
        let request = http().post(app.resource()).bearer_auth(&token).header("content-type", "application/json");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let page = Page::read(request.body(body.to_string()).send().await.unwrap()).await;
        let answer = last_message(&page);
        (page.status, answer["error"]["code"].as_i64().unwrap(), answer["id"].clone())
    };
    let request = |method: &str| json!({"jsonrpc": "2.0", "id": "x", "method": method});
    let (takes, gone) = (("accept", "application/json, text/event-stream"), ("mcp-session-id", "gone"));
    let x = json!("x");
    assert_eq!(post(&[("accept", "text/html")], &request("tools/list")).await, (406, -32600, x.clone()));
    assert_eq!(post(&[takes, gone], &request("tools/list")).await, (404, -32001, x.clone()));
    let version = ("mcp-protocol-version", "2026-07-28");
    let listen = Stateless::new(&app, &token).message(7, "subscriptions/listen", json!({"notifications": {}}));
    let method = ("mcp-method", "subscriptions/listen");
    let json_alone = ("accept", "application/json");
    assert_eq!(post(&[json_alone, version, method], &listen).await, (406, -32600, json!(7)));
    // What is no request has none; and what is JSON but no message is no parse error.
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(post(&[takes, gone], &note).await, (404, -32001, Value::Null));
    for no_message in [json!(5), Value::Null, json!("x")] {
        assert_eq!(post(&[takes], &no_message).await, (400, -32600, Value::Null), "{no_message}");
    }
}

#[tokio::test]
async fn without_a_session_a_request_is_served_and_makes_none() {
    let app = with_child("");
    let session = Session::new(&app, &token(&app).await);
    let page = session.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert_eq!((page.status, page.header("mcp-session-id")), (200, ""));
    assert!(last_message(&page)["result"]["tools"].as_array().unwrap().len() > 5);
}

#[tokio::test]
async fn mcp_1_headers_of_the_stateless_era_do_not_disturb() {
    let app = with_child("");
    let session = Session::initialize(&app, &token(&app).await).await;
    let request = session
        .request(reqwest::Method::POST)
        .header("content-type", "application/json")
        .header("mcp-method", "tools/list");
    let request =
        request.header("mcp-name", "x").body(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string());
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn mcp_2_versions_in_the_header_are_known_or_refused() {
    let app = with_child("");
    let session = Session::initialize(&app, &token(&app).await).await;
    for (version, status) in [("2025-11-25", 200), ("2025-03-26", 400), ("1999-01-01", 400), ("", 400)] {
        let request = http()
            .post(app.resource())
            .header("authorization", session.authorization())
            .header("mcp-session-id", session.id.clone().unwrap());
        let request = request.header("content-type", "application/json").header("mcp-protocol-version", version);
        let sent = request.body(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string()).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), status, "{version}");
    }
}

#[tokio::test]
async fn mcp_3_what_can_be_read_in_two_ways_is_refused() {
    let app = with_child("");
    let session = Session::initialize(&app, &token(&app).await).await;
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"crash"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","Name":"crash"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"me\u0074hod":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\u002flist"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","Type":"ref/resource","name":"plain"},"argument":{}}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        r#"{"jsonrpc":"2.0","id":1e400,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
        "[]",
        "not json",
    ] {
        let page = session.post_raw(body).await;
        assert_eq!(page.status, 400, "{body}: {}", page.body);
        assert!(serde_json::from_str::<Value>(&page.body).unwrap()["error"].is_object());
    }
}

#[tokio::test]
async fn a_large_answer_passes_whole() {
    let app = with_child("");
    let session = Session::initialize(&app, &token(&app).await).await;
    let big = "ä\\\"".repeat(300_000);
    let answer = session.tool("echo", json!({"big": big})).await;
    assert_eq!(answer["result"]["structuredContent"]["big"], big.as_str());
}

#[tokio::test]
async fn two_servers_are_merged_under_their_names() {
    let both = format!("one: {}\n  two: {}", child(", \"--name\", \"first\""), child(", \"--name\", \"second\""));
    let app = App::with(&BASIC.replace("me: {builtin: whoami}", &both));
    let session = Session::initialize(&app, &token(&app).await).await;
    let tools = session.call("tools/list", json!({})).await;
    let names: Vec<_> =
        tools["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"one__echo") && names.contains(&"two__echo") && !names.contains(&"echo"), "{names:?}");
    for (name, server) in [("one__echo", "first"), ("two__echo", "second")] {
        assert_eq!(session.tool(name, json!({})).await["result"]["structuredContent"]["_server"], server);
    }
    let prompt = session.call("prompts/get", json!({"name": "two__plain"})).await;
    assert!(prompt["result"]["messages"].is_array(), "{prompt}");
    let read = session.call("resources/read", json!({"uri": "fake://one"})).await;
    assert!(read["result"]["contents"].is_array(), "{read}");
}

#[tokio::test]
async fn mcp_5_a_token_opens_no_door_beside_its_own() {
    let app = with_child("");
    let token = token(&app).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    for path in [
        "/mcp/",
        "/mcp/fake",
        "/fake/mcp",
        "/fake",
        "/mcp2",
        "/MCP",
        "/mcp/../mcp",
        "/mcp%2ffake",
        "/sse",
        "/messages",
        "/admin",
    ] {
        let url = format!("{}{path}", app.local_url());
        for method in ["POST", "GET", "DELETE"] {
            // As it is written: the client's URL type would resolve the dots.
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{list}",
                list.len()
            );
            let mut stream = TcpStream::connect(app.local_url().trim_start_matches("http://")).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("inputSchema"), "{method} {url}: {answer}");
        }
    }
    // And within: what a scope does not cover is refused, whatever the list showed.
    let client = Client::register(&app).await;
    let page = client.authorize(&mut crate::support::Browser::new(), "rita", &[]).await;
    let rita = client.redeem(&page.answer("code").unwrap()).await.access().to_owned();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask"}});
    assert_eq!(Session::new(&app, &rita).post(&call).await.status, 403);
}

#[tokio::test]
async fn mcp_20_what_one_was_answered_is_given_to_nobody_else() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let app = with_child(&format!(", \"--journal\", \"{}\"", journal.display()));
    let client = Client::register(&app).await;
    let mut answers = Vec::new();
    for user in ["alice", "rita"] {
        let page = client.authorize(&mut crate::support::Browser::new(), user, &[]).await;
        let tokens = client.redeem(&page.answer("code").unwrap()).await;
        let session = Session::initialize(&app, tokens.access()).await;
        for (method, params) in [
            ("resources/read", json!({"uri": "fake://one"})),
            ("prompts/get", json!({"name": "greeting", "arguments": {"name": user}})),
        ] {
            answers.push(session.call(method, params).await.to_string());
        }
    }
    assert!(answers[1].contains("alice") && answers[3].contains("rita"), "{answers:?}");
    let seen = std::fs::read_to_string(&journal).unwrap();
    for method in ["resources/read", "prompts/get"] {
        assert_eq!(seen.matches(method).count(), 2, "each asked for itself: {seen}");
    }
}

#[tokio::test]
async fn mcp_16_answers_do_not_cross_between_people_with_the_same_ids() {
    let app = with_child("");
    let client = Client::register(&app).await;
    let mut sessions = Vec::new();
    for user in ["alice", "rita"] {
        let page = client.authorize(&mut crate::support::Browser::new(), user, &[]).await;
        let tokens = client.redeem(&page.answer("code").unwrap()).await;
        sessions.push((user, Session::initialize(&app, tokens.access()).await));
    }
    // rita may only read, so the payload travels in a prompt.
    let calls = (0..200).flat_map(|n| {
        sessions.iter().map(move |(user, session)| async move {
            let mark = format!("{user}-{n}");
            let params = json!({"name": "greeting", "arguments": {"name": mark}});
            let answer = session.call("prompts/get", params).await;
            assert!(answer.to_string().contains(&mark), "{mark}: {answer}");
        })
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn mcp_23_a_client_that_has_said_all_it_has_to_say_is_still_answered() {
    let app = with_child("");
    let token = token(&app).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow", "arguments": {"milliseconds": 300}}});
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(app.local_url().trim_start_matches("http://")).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"waited\""), "{answer}");
}

#[tokio::test]
async fn child_2_nothing_that_is_sent_decides_what_runs() {
    let app = with_child(", \"--marker\", \"as configured\"");
    let session = Session::initialize(&app, &token(&app).await).await;
    let plain = session.tool("environment", json!({})).await["result"].clone();
    let tricks =
        json!({"command": "/bin/sh", "args": ["-c", "id"], "env": {"EVIL": "1"}, "cwd": "/", "transport": "stdio"});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "command": "/bin/sh",
        "params": {"name": "environment", "arguments": tricks, "command": "/bin/sh", "_meta": {"env": {"EVIL": "1"}}}});
    let request = session.request(reqwest::Method::POST).query(&[("command", "/bin/sh"), ("transport", "stdio")]);
    let request =
        request.header("content-type", "application/json").header("x-command", "/bin/sh").header("mcp-env", "EVIL=1");
    let tricked = last_message(&Page::read(request.body(call.to_string()).send().await.unwrap()).await);
    let configured = |result: &Value| {
        let text = result["content"][0]["text"].as_str().unwrap();
        let said: Value = serde_json::from_str(text).unwrap();
        ["argv", "env", "cwd", "pid"].map(|member| said[member].clone())
    };
    assert_eq!(configured(&plain), configured(&tricked["result"]));
    assert!(plain.to_string().contains("as configured"));
}
