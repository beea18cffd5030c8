//! Calls of the stateless era to servers behind a URL: whoever waits for one carries it, and what is still to do once he has his
//! answer is done, too.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::fake_server::{FakeServer, Got, Reply};
use super::fake_sse::{FakeSse, Said, event};
use super::support::{Client, bridge, http, sse, until};
use bytes::Bytes;
use mcp_bridge::bridge::{Answer, PostRequest};
use mcp_bridge::config::section::Upstream;
use mcp_bridge::protocol::mcp::mirror::{Field, Mirror};

const VERSION: &str = "2026-07-28";

/// Calls the tool `echo`.
async fn call(client: &Client, text: &str) -> Answer {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "echo", "arguments": {"text": text}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let field = |value| Field::of(Some(value));
    let request = PostRequest {
        session_id: None,
        protocol_version: field(VERSION),
        mirror: Mirror { method: field("tools/call"), name: field("echo"), params: Vec::new() },
        accepts_json: true,
        accepts_event_stream: true,
    };
    client.bridge.post(&client.principal, &request, Bytes::from(body)).await
}

async fn text(client: &Client, text: &str) -> String {
    match call(client, text).await {
        Answer::Message { body, .. } => {
            let answer: Value = serde_json::from_slice(&body).unwrap();
            answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn result(got: &Got) -> Value {
    let (id, _, arguments) = got.call();
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": arguments["text"]}]}})
}

#[tokio::test]
async fn a_post_that_goes_on_after_its_answer_on_the_stream_is_not_broken_off() {
    let script = |got: &Got| Some(Said { status: 0, ..Said::events(event(&result(got))) });
    let server = FakeSse::start(move |got| (got.method() == "tools/call").then(|| script(got)).flatten()).await;
    let bridge = bridge(&[sse(&server.url)]).await;
    let client = Client::new(&bridge, "ada");
    for asked in ["a", "b", "c"] {
        assert_eq!(text(&client, asked).await, asked);
    }
    assert_eq!(server.given_up(), 0);
    until(|| server.given_up() == 3).await;
    assert_eq!((text(&client, "d").await.as_str(), server.opened()), ("d", 1));
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_21_who_leaves_at_once_cancels_the_call() {
    let server = FakeServer::start(|got| (got.method() == "tools/call").then(|| Reply::Hang(String::new()))).await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::new(&bridge, "ada");
    tokio::select! {
        answer = call(&client, "a") => panic!("{answer:?}"),
        () = until(|| !server.got_of("tools/call").is_empty()) => {}
    }
    until(|| !server.got_of("notifications/cancelled").is_empty()).await;
    assert!(!bridge.status()[0].is_busy);
    bridge.shutdown().await;
}

/// A server of the same era that does not answer a call.
async fn silent() -> FakeServer {
    FakeServer::start(|got| match got.method().as_str() {
        "server/discover" => {
            let result = json!({"supportedVersions": [VERSION], "capabilities": {"tools": {}}});
            Some(Reply::json(&json!({"jsonrpc": "2.0", "id": got.json()["id"], "result": result})))
        }
        "tools/call" => Some(Reply::Hang(String::new())),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn mcp_21_who_leaves_a_server_of_the_same_era_leaves_nothing_behind() {
    let server = silent().await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::new(&bridge, "ada");
    tokio::select! {
        answer = call(&client, "a") => panic!("{answer:?}"),
        () = until(|| !server.got_of("tools/call").is_empty()) => {}
    }
    until(|| !bridge.status()[0].is_busy).await;
    bridge.shutdown().await;
    assert!(server.got_of("notifications/cancelled").is_empty(), "in this era the end of the connection says it");
}

#[tokio::test]
async fn a_server_of_the_same_era_that_does_not_answer_is_not_waited_for_for_ever() {
    let server = silent().await;
    let bridge = bridge(&[Upstream { timeout: Duration::from_millis(300), ..http("h", &server.url) }]).await;
    let client = Client::new(&bridge, "ada");
    let body = match call(&client, "a").await {
        Answer::Message { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        Answer::Stream { events, .. } => {
            let pieces: Vec<Bytes> = events.collect().await;
            String::from_utf8(pieces.concat()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert!(body.contains("The MCP server did not answer in time") && body.contains("-32603"), "{body}");
    assert!(!bridge.status()[0].is_busy);
    bridge.shutdown().await;
}
