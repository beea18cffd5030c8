//! Servers of HTTP+SSE that misbehave, or go away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Got, Reply};
use super::fake_sse::{FakeSse, Said, event, greeting};
use super::support::{Client, bridge, refused, sse, tool_call, until};
use mcp_bridge::config::section::Upstream;

/// Does what `text` of a tool call says.
fn obey(got: &Got) -> Option<Said> {
    let (id, _, arguments) = got.call();
    let answer = |text: &Value| event(&json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"text": text}]}}));
    if got.method() != "tools/call" {
        return None;
    }
    match arguments["status"].as_u64() {
        Some(status) => Some(Said {
            status: u16::try_from(status).unwrap(),
            headers: "Location: http://127.0.0.1:1/stolen\r\nWWW-Authenticate: Bearer realm=evil\r\n".to_owned(),
            body: "<html>evil".to_owned(),
            events: String::new(),
        }),
        None if arguments["ask"] == true => Some(Said::events(event(
            &json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"message": "?"}}),
        ))),
        None if arguments["wait"] == true => Some(Said::events(String::new())),
        None => Some(Said::events(answer(&arguments["text"]))),
    }
}

#[tokio::test]
async fn proxy_7_no_foreign_place_for_messages_and_no_redirect_is_followed() {
    let thief = FakeServer::start(|_| Some(Reply::status(202))).await;
    let foreign = thief.url.clone();
    let evil =
        [foreign.as_str(), "http://localhost:1/x", "http://169.254.169.254/x", "//evil.example/x", "https://ORIGIN/x"];
    for endpoint in evil {
        let endpoint = endpoint.to_owned();
        let greet = move |got: &Got| Reply::Hang(greeting(&endpoint.replace("ORIGIN", got.header("host")[0])));
        let server = FakeSse::greeting(greet, |_| None).await;
        let reason = refused(sse(&server.url)).await;
        assert!(reason.contains("another origin") && reason.contains("message_url"), "{reason}");
        assert_eq!(server.got().len(), 1);
    }
    // The address is right, but it has somebody's password in it.
    let greet = |got: &Got| Reply::Hang(greeting(&format!("http://ada:hush@{}/x", got.header("host")[0])));
    let reason = refused(sse(&FakeSse::greeting(greet, |_| None).await.url)).await;
    assert!(reason.contains("names a user") && !reason.contains("hush"), "{reason}");
    for status in [301, 302, 303, 307, 308] {
        let location = foreign.clone();
        let greet =
            move |_: &Got| Reply::Whole { status, headers: vec![("Location", location.clone())], body: String::new() };
        let reason = refused(sse(&FakeSse::greeting(greet, |_| None).await.url)).await;
        assert!(reason.contains("redirects elsewhere, which is not followed"), "{reason}");
    }
    assert!(thief.got().is_empty(), "{:?}", thief.got());
}

#[tokio::test]
async fn proxy_10_a_stream_that_is_none_is_said_to_be_none() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    for (reply, said) in [
        (Reply::events("event: message\ndata: {}\n\n"), "ended its event stream"),
        (Reply::json(&json!({})), "no event stream"),
        (Reply::status(401), "refused the bridge's credentials"),
        (Reply::status(503), "status 503"),
        (Reply::Cut(String::new()), ""),
        (Reply::Cut("HTTP/1.1 abc\r\n\r\n".to_owned()), ""),
        (Reply::Cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_owned()), ""),
        (Reply::Cut(format!("{head}event: endpoint\ndata: /mess")), "ended its event stream"),
        (Reply::Hang(greeting("http://[")), "endpoint event"),
        (Reply::Hang(greeting("mailto:ada@example.com")), "message_url"),
        (Reply::Hang(format!("{head}data: {}", "x".repeat(17 * 1024 * 1024))), "too large"),
    ] {
        let reply = std::sync::Mutex::new(Some(reply));
        let server =
            FakeSse::greeting(move |_| reply.lock().unwrap().take().unwrap_or_else(|| Reply::status(500)), |_| None);
        let reason = refused(sse(&server.await.url)).await;
        assert!(!reason.is_empty() && reason.contains(said), "{said}: {reason}");
    }
}

#[tokio::test]
async fn proxy_11_a_call_that_is_not_answered_is_over_in_its_time_and_its_place_is_free() {
    let server = FakeSse::start(obey).await;
    let bridge = bridge(&[Upstream { timeout: Duration::from_millis(300), ..sse(&server.url) }]).await;
    let client = Client::connect(&bridge, "ada").await;
    let answer = client.rpc("tools/call", &json!({"name": "echo", "arguments": {"wait": true}})).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32001)), "{answer}");
    assert!(!bridge.status()[0].is_busy);
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_17_what_is_asked_after_a_call_failed_on_its_way_may_be_asked_for_it() {
    let server = FakeSse::start(obey).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let (rita, alice) = (Client::connect(&bridge, "rita").await, Client::connect(&bridge, "alice").await);
    let failed = rita.rpc("tools/call", &json!({"name": "echo", "arguments": {"status": 504}})).await;
    assert_eq!(failed["error"]["code"], -32000, "{failed}");
    // The server is still at it, for all that is known.
    let call = tokio::spawn(async move { alice.all(&tool_call("1", "echo", &json!({"ask": true}))).await });
    let is_refused = |got: &Got| got.body.contains("cannot be attributed");
    until(|| server.got().iter().any(is_refused)).await;
    call.abort();
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_14_the_end_of_the_stream_is_the_end_of_calls_and_a_new_one_is_opened() {
    let server = FakeSse::start(obey).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.rpc("tools/call", &json!({"name": "echo", "arguments": {"wait": true}})).await }
    });
    until(|| !server.got_of("tools/call").is_empty()).await;
    let began = Instant::now();
    server.cut();
    let answer = call.await.unwrap();
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5), "not only when its time is over");
    until(|| server.opened() == 2 && bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({"text": "again"})).await, "again");
    assert_eq!(server.got_of("tools/call").len(), 2, "nothing is sent twice");
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_13_an_event_that_is_too_large_ends_the_connection() {
    let server = FakeSse::start(obey).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    server.write(format!("data: {}", "x".repeat(17 * 1024 * 1024)));
    until(|| server.opened() == 2 && bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_7_and_8_what_a_post_is_answered_with_stays_upstream() {
    let server = FakeSse::start(obey).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    for status in [301, 302, 307, 308, 400, 401, 403, 429, 500, 503] {
        let answer = client.rpc("tools/call", &json!({"name": "echo", "arguments": {"status": status}})).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32000)), "{status}");
        assert!(!answer.to_string().contains("evil"), "{answer}");
    }
    assert_eq!((server.got_of("tools/call").len(), server.opened()), (10, 1), "each was sent once");
    // A session that the server does not know any more comes back by a new stream alone.
    let answer = client.rpc("tools/call", &json!({"name": "echo", "arguments": {"status": 404}})).await;
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    until(|| server.opened() == 2 && bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_is_no_message_is_counted_and_a_200_is_as_good_as_a_202() {
    let server = FakeSse::start(|got| {
        let said = obey(got)?;
        Some(Said { status: 200, body: r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#.to_owned(), ..said })
    })
    .await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    server.write(
        "data: garbage\n\nevent: other\ndata: {}\n\n: ping\n\nevent: endpoint\ndata: http://evil.example/\n\n"
            .to_owned(),
    );
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    let line = &server.got_of("tools/call")[0].line;
    assert!(line.starts_with("POST /messages"), "the first place for messages stands: {line}");
    until(|| bridge.status()[0].dropped == 1).await;
    bridge.shutdown().await;
}

#[tokio::test]
async fn proxy_11_a_post_that_goes_on_after_its_answer_is_given_up() {
    let server = FakeSse::start(|got| obey(got).map(|said| Said { status: 0, ..said })).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    for text in ["a", "b", "c"] {
        assert_eq!(client.tool("echo", &json!({"text": text})).await, text);
    }
    assert_eq!(server.given_up(), 0);
    until(|| server.given_up() == 3).await;
    assert_eq!((client.tool("echo", &json!({"text": "d"})).await.as_str(), server.opened()), ("d", 1));
    bridge.shutdown().await;
}
