//! Children that die, talk nonsense or do not listen.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Client, LONG, bridge, builtin, child, command, options, request, tool_call, until};
use mcp_bridge::bridge::{Answer, Bridge, Refusal};
use mcp_bridge::protocol::mcp::mirror::Field;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_4_pending_calls_get_an_error_at_once_and_the_session_goes_on() {
    let bridge = bridge(&[child("c", &[]), builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    for how in [json!({"code": 0}), json!({"code": 1}), json!({"signal": "SIGSEGV"}), json!({"signal": "SIGKILL"})] {
        let mut stream = client.listen();
        let held = client.clone();
        let hold = tokio::spawn(async move { held.raw(&tool_call("\"h\"", "c__hold", &json!({}))).await });
        until(|| bridge.status()[0].is_busy).await;
        let error = client.tool("c__crash", &how).await;
        assert!(error.contains("-32000"), "{how}: {error}");
        let held: Value = serde_json::from_str(&hold.await.unwrap()).unwrap();
        assert_eq!((&held["id"], &held["error"]["code"]), (&json!("h"), &json!(-32000)));
        assert_eq!(client.tool("me__echo", &json!({"text": "x"})).await, "x", "others go on");
        // Once that it is gone, once that it is back; then it answers again.
        let mut tools_changed = 0;
        while tools_changed < 2 {
            tools_changed += usize::from(stream.value().await["method"] == "notifications/tools/list_changed");
        }
        assert_eq!(client.tool("c__echo", &json!({"text": "back"})).await, "back");
        assert_eq!(
            client
                .seen_of("c__seen")
                .await
                .iter()
                .filter(|line| line.contains("c__crash") || line.contains("\"crash\""))
                .count(),
            0,
            "never sent again"
        );
    }
    assert!(bridge.status()[0].restarts >= 4);
    bridge.shutdown().await;
}

impl Client {
    async fn seen_of(&self, tool: &str) -> Vec<String> {
        serde_json::from_str(&self.tool(tool, &json!({})).await).unwrap()
    }
}

#[tokio::test]
async fn what_sessions_set_up_is_set_up_again() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    client.rpc("logging/setLevel", &json!({"level": "notice"})).await;
    client.rpc("resources/subscribe", &json!({"uri": "test:shared"})).await;
    client.tool("crash", &json!({})).await;
    until(|| bridge.status()[0].is_up && bridge.status()[0].restarts > 0).await;
    let seen = client.seen().await.join("\n");
    assert!(
        seen.contains("\"notice\"") && seen.contains("\"test:shared\"") && seen.contains("notifications/initialized"),
        "{seen}"
    );
    bridge.shutdown().await;
}

#[tokio::test]
async fn child_10_garbage_is_skipped() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("garbage", &json!({})).await, "still here");
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    assert_eq!(bridge.status()[0].dropped, 9, "blank lines do not count");
    bridge.shutdown().await;
}

#[tokio::test]
async fn child_10_an_endless_line_ends_the_child() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert!(client.tool("huge", &json!({})).await.contains("-32000"));
    until(|| bridge.status()[0].is_up && bridge.status()[0].restarts > 0).await;
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

#[tokio::test]
async fn child_11_wrong_answers_reach_nobody() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("misanswer", &json!({})).await, "first");
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    assert_eq!(bridge.status()[0].dropped, 4, "unknown, wrong type, none, and the second");
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_13_a_child_that_does_not_read_is_busy_and_others_are_not() {
    let bridge = bridge(&[child("deaf", &[]), builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut calls = tokio::task::JoinSet::new();
    let deaf = client.clone();
    calls.spawn(async move { deaf.post(&tool_call("0", "deaf__deaf", &json!({}))).await });
    until(|| bridge.status()[0].is_busy).await;
    let padding = "x".repeat(10_000);
    // Of several people: one alone may not have as many under way.
    let mut clients = vec![client.clone()];
    for name in ["bob", "cyd", "dan"] {
        clients.push(Client::connect(&bridge, name).await);
    }
    for id in 1..1000 {
        let (client, padding) = (clients[id % clients.len()].clone(), padding.clone());
        calls.spawn(
            async move { client.post(&tool_call(&id.to_string(), "deaf__echo", &json!({"text": padding}))).await },
        );
    }
    // More than the pipe and the queue hold: those are told so, after a short wait.
    let mut busy = 0;
    while busy < 500 {
        match tokio::time::timeout(LONG, calls.join_next()).await.unwrap().unwrap().unwrap() {
            Answer::Refused { refusal: Refusal::Busy { .. }, .. } => busy += 1,
            // One may have been read before the child went deaf, others wait in the pipe.
            other => assert!(matches!(other, Answer::Message { .. } | Answer::Stream { .. }), "{other:?}"),
        }
    }
    assert_eq!(client.tool("me__echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.unwrap();
        assert!(!matches!(answer, Answer::Refused { refusal, .. } if !matches!(refusal, Refusal::Busy { .. })));
    }
}

#[tokio::test]
async fn a_call_without_an_answer_times_out_and_the_child_hears_of_it() {
    let mut upstream = child("c", &[]);
    upstream.timeout = Duration::from_millis(200);
    let bridge = bridge(&[upstream]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert!(client.tool("hold", &json!({})).await.contains("-32001"));
    assert!(client.seen().await.iter().any(|line| line.contains("notifications/cancelled")));
    bridge.shutdown().await;
}

#[tokio::test]
async fn child_15_a_required_child_that_cannot_start_stops_the_start() {
    for upstream in [
        command("no", "/nonexistent/program", &[]),
        command("no", "/etc/hostname", &[]),
        command("no", "python3", &["-c", "raise SystemExit(3)"]),
        command(
            "no",
            "python3",
            &["-c", "print('{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}', flush=True); input(); input()"],
        ),
    ] {
        let error = Bridge::start(&[builtin("me"), upstream], options()).await.unwrap_err();
        assert!(error.name == "no" && !error.reason.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn one_that_is_not_required_is_only_missing() {
    let mut gone = command("gone", "/nonexistent/program", &[]);
    gone.required = false;
    let bridge = bridge(&[gone, builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("me__echo", &json!({"text": "x"})).await, "x");
    assert_eq!(client.rpc("tools/list", &json!({})).await["result"]["tools"].as_array().unwrap().len(), 3);
    let status = bridge.status();
    assert!(!status[0].is_up && status[0].reason.as_deref().unwrap().contains("nonexistent") && status[1].is_up);
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_21_a_client_that_leaves_cancels_nothing() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let leaving = client.clone();
    let call = tokio::spawn(async move { leaving.raw(&tool_call("5", "hold", &json!({}))).await });
    until(|| bridge.status()[0].is_busy).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let mut stream = client.stream(&tool_call("6", "ask", &json!({}))).await;
    stream.value().await;
    drop(stream);
    assert!(!client.seen().await.iter().any(|line| line.contains("cancelled")));
    assert!(bridge.status()[0].is_busy, "both are still under way");
    // The end of the session does end them.
    assert!(matches!(bridge.end(&client.principal, client.session.as_deref(), Field::Absent), Answer::Ended));
    let seen = Client::new(&bridge, "ada").seen().await;
    assert_eq!(seen.iter().filter(|line| line.contains("notifications/cancelled")).count(), 2);
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_is_not_understood_passes_as_it_is() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let body = concat!(
        r#"{"x-first" : 1.50, "jsonrpc":"2.0","method":"fail/params", "#,
        "\r\n",
        r#""params":{"deep":{"method":"a","method":"b"},"n":1E+2, "_meta":{"progressToken":"é","k":[ ]}},"id" : "\u0061" }"#
    );
    let answer = client.raw(body).await;
    assert_eq!(
        answer,
        r#"{"jsonrpc": "2.0", "id": "\u0061", "error": {"code": -32099, "message": "no", "data": {"k": 1.0}}}"#
    );
    let seen = client.seen().await;
    let line = seen.iter().find(|line| line.contains("fail/params")).unwrap();
    let id: String = line.rsplit(" : ").next().unwrap().trim_end_matches([' ', '}']).to_owned();
    assert!(id.parse::<u64>().is_ok(), "{line}");
    let expected = body.replace("\r\n", "  ").replace(r#""\u0061""#, &id).replace("\"é\"", &id);
    assert_eq!(*line, expected);
    assert_eq!(client.rpc("tasks/list", &json!({})).await["error"]["code"], -32601);
    bridge.shutdown().await;
}

#[tokio::test]
async fn an_only_childs_introduction_passes_as_it_is() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::new(&bridge, "ada");
    let answer = client
        .raw(&request("\"i\"", "initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}})))
        .await;
    assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":"i","result":{"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}"#), "{answer}");
    assert!(
        answer.ends_with(
            r#""serverInfo": {"name": "scripted", "version": "1.0", "z": 1.5}, "instructions": "Do as told."}}"#
        ),
        "{answer}"
    );
    bridge.shutdown().await;
}
