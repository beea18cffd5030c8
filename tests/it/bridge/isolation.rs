//! Several sessions on one shared child: nothing crosses over.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::support::{Client, bridge, child, notification, request, tool_call, tool_call_with_progress, until};
use mcp_bridge::bridge::{Answer, Refusal};
use mcp_bridge::protocol::mcp::mirror::Field;

/// Ids that are easily mixed up, or that a careless reader changes.
const IDS: [&str; 8] = [
    "1",
    "\"1\"",
    "-1",
    "9007199254740993",
    "\"9007199254740993\"",
    "123456789012345678901234567890",
    "\"\"",
    "\"\\u0041\\n\"",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_16_the_same_ids_on_one_child_never_cross() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    let anonymous = Client::new(&bridge, "eve");
    let long = format!("\"{}\"", "x".repeat(10_000));
    let mut calls = tokio::task::JoinSet::new();
    // Just fewer than one person may have under way.
    for round in 0..120 {
        for (name, client) in [("ada", &a), ("bob", &b), ("eve", &anonymous)] {
            for id in IDS.into_iter().chain((round == 0).then_some(long.as_str())) {
                let (client, id) = (client.clone(), id.to_owned());
                let text = format!("{name} {round} {}", &id[..id.len().min(20)]);
                calls.spawn(async move {
                    let answer = client.raw(&tool_call(&id, "echo", &json!({"text": text}))).await;
                    let written = format!("\"id\": {id}, ");
                    assert!(answer.contains(&written), "{id}: {answer}");
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    assert_eq!(answer["result"]["content"][0]["text"], text);
                });
            }
        }
    }
    let mut count = 0;
    while let Some(done) = calls.join_next().await {
        done.unwrap();
        count += 1;
    }
    assert_eq!(count, 3 * (120 * IDS.len() + 1));
    assert_eq!(bridge.status()[0].dropped, 0);
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_15_session_ids_stay_on_this_side() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let id = client.session.clone().unwrap();
    client.tool("echo", &json!({"text": "x"})).await;
    assert!(!client.seen().await.iter().any(|line| line.contains(&id)));
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_17_progress_goes_to_its_owner_under_its_own_token() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    let mut tasks = tokio::task::JoinSet::new();
    for (client, token) in
        [(&a, json!(1)), (&b, json!(1)), (&a, json!("1")), (&b, json!("t")), (&Client::new(&bridge, "eve"), json!(1))]
    {
        for _ in 0..20 {
            let (client, token) = (client.clone(), token.clone());
            tasks.spawn(async move {
                let all = client.all(&tool_call_with_progress("1", "progress", &json!({"steps": 3}), &token)).await;
                assert_eq!(all.len(), 4, "{all:?}");
                for (step, message) in all.iter().take(3).enumerate() {
                    let value: Value = serde_json::from_str(message).unwrap();
                    assert_eq!(value["params"], json!({"progressToken": token, "progress": step, "x": [1.0]}));
                    assert!(message.contains("[1.0]"), "as written");
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_18_only_the_session_that_was_asked_may_answer() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    let mut stream = a.stream(&tool_call("7", "ask", &json!({"text": "ada"}))).await;
    let question = stream.value().await;
    assert_eq!((&question["method"], &question["params"]["from"]), (&json!("sampling/createMessage"), &json!("ada")));
    let reply =
        |text: &str| format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"t":"{text}","n":1.0}}}}"#, question["id"]);
    assert_eq!(b.refusal(&reply("evil")).await, Refusal::NotAsked);
    assert_eq!(Client::new(&bridge, "eve").refusal(&reply("evil")).await, Refusal::NotAsked);
    let token = &question["params"]["_meta"]["progressToken"];
    let stolen = notification("notifications/progress", &json!({"progressToken": token, "progress": 1}));
    assert!(matches!(b.post(&stolen).await, Answer::Accepted), "accepted, and gone");
    assert!(matches!(a.post(&stolen).await, Answer::Accepted));
    assert!(matches!(a.post(&reply("good")).await, Answer::Accepted));
    let answer = stream.value().await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("good") && text.contains("1.0") && text.contains("ask-"), "{text}");
    assert_eq!(a.refusal(&reply("again")).await, Refusal::NotAsked);
    let seen = a.seen().await;
    let progress: Vec<&String> = seen.iter().filter(|line| line.contains("notifications/progress")).collect();
    assert_eq!(progress.len(), 1, "only from who was asked");
    assert!(progress[0].contains(r#""progressToken":"tok""#), "under the server's own token: {progress:?}");
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_question_that_may_be_for_two_sessions_is_put_to_neither() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    let held = b.clone();
    let hold = tokio::spawn(async move { held.raw(&tool_call("1", "hold", &json!({}))).await });
    until(|| bridge.status()[0].is_busy).await;
    let answer = a.tool("ask", &json!({})).await;
    assert!(answer.contains("cannot be attributed"), "{answer}");
    b.post(&notification("notifications/cancelled", &json!({"requestId": 1}))).await;
    assert!(hold.await.unwrap().contains("cancelled"));
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_client_is_asked_only_what_it_declared() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect_as(&bridge, "ada", "2025-11-25", &json!({"roots": {}})).await;
    for method in ["sampling/createMessage", "elicitation/create", "vendor/thing"] {
        assert!(client.tool("ask", &json!({"method": method})).await.contains("-32601"), "{method}");
    }
    assert!(Client::new(&bridge, "eve").tool("ask", &json!({"method": "roots/list"})).await.contains("-32601"));
    let mut stream = client.stream(&tool_call("1", "ask", &json!({"method": "roots/list"}))).await;
    assert_eq!(stream.value().await["method"], "roots/list");
    drop(stream);
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_19_a_cancellation_reaches_only_ones_own_call() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    let held = a.clone();
    let hold = tokio::spawn(async move { held.raw(&tool_call("\"k\"", "hold", &json!({}))).await });
    until(|| bridge.status()[0].is_busy).await;
    let cancel = notification("notifications/cancelled", &json!({"requestId": "k", "reason": "enough"}));
    for stranger in [&b, &Client::new(&bridge, "ada")] {
        assert!(matches!(stranger.post(&cancel).await, Answer::Accepted));
    }
    let seen = |lines: Vec<String>| lines.into_iter().filter(|line| line.contains("cancelled")).collect::<Vec<_>>();
    assert!(seen(b.seen().await).is_empty() && !hold.is_finished());
    assert!(matches!(a.post(&cancel).await, Answer::Accepted));
    assert!(hold.await.unwrap().contains("-32800"));
    let cancelled = seen(b.seen().await);
    assert!(
        cancelled.len() == 1 && cancelled[0].contains("enough") && !cancelled[0].contains("\"k\""),
        "{cancelled:?}"
    );
    bridge.shutdown().await;
}

#[tokio::test]
async fn resource_updates_go_to_subscribers_and_the_child_is_subscribed_once() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    for (client, uri) in [(&a, "test:1"), (&b, "test:1"), (&b, "test:2"), (&b, "test:2")] {
        assert_eq!(client.rpc("resources/subscribe", &json!({"uri": uri})).await["result"], json!({}));
    }
    let stateless =
        Client::new(&bridge, "eve").refusal(&request("1", "resources/subscribe", &json!({"uri": "x"}))).await;
    assert_eq!(stateless, Refusal::SessionRequired);
    a.tool("update", &json!({"uris": ["test:2", "test:3", "test:1/part"]})).await;
    let (mut of_a, mut of_b) = (a.listen(), b.listen());
    assert_eq!(of_a.value().await["params"]["uri"], "test:1/part");
    assert_eq!(of_b.value().await["params"]["uri"], "test:2");
    assert_eq!(of_b.value().await["params"]["uri"], "test:1/part");
    a.rpc("resources/unsubscribe", &json!({"uri": "test:1"})).await;
    assert!(matches!(bridge.end(&b.principal, b.session.as_deref(), Field::Absent), Answer::Ended));
    let counts = async || {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for line in a.seen().await {
            *counts
                .entry(if line.contains("resources/subscribe") {
                    "on"
                } else if line.contains("resources/unsubscribe") {
                    "off"
                } else {
                    ""
                })
                .or_default() += 1;
        }
        (counts.get("on").copied(), counts.get("off").copied())
    };
    let mut counted = counts().await;
    while counted != (Some(2), Some(2)) {
        assert!(counted.1.unwrap_or(0) < 3, "{counted:?}");
        counted = counts().await;
    }
    bridge.shutdown().await;
}

#[tokio::test]
async fn log_messages_are_filtered_for_each_session() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    assert_eq!(a.rpc("logging/setLevel", &json!({"level": "error"})).await["result"], json!({}));
    assert_eq!(b.rpc("logging/setLevel", &json!({"level": "debug"})).await["result"], json!({}));
    assert_eq!(a.rpc("logging/setLevel", &json!({"level": "warning"})).await["result"], json!({}));
    assert_eq!(a.rpc("logging/setLevel", &json!({"level": "loud"})).await["error"]["code"], -32602);
    assert_eq!(a.all(&tool_call("1", "log", &json!({"text": "x"}))).await.len(), 2, "the error and the answer");
    assert_eq!(b.all(&tool_call("1", "log", &json!({"text": "x"}))).await.len(), 3);
    let levels: Vec<String> = a.seen().await.into_iter().filter(|line| line.contains("setLevel")).collect();
    let level =
        |line: &String| serde_json::from_str::<Value>(line).unwrap()["params"]["level"].as_str().unwrap().to_owned();
    assert_eq!(levels.iter().map(level).collect::<Vec<_>>(), ["error", "debug", "debug"], "the most curious wins");
    bridge.shutdown().await;
}
