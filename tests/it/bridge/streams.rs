//! On which stream what arrives.

use serde_json::{Value, json};

use super::support::{Client, bridge, child, tool_call, tool_call_with_progress};
use mcp_bridge::bridge::{Answer, Refusal};
use mcp_bridge::protocol::mcp::mirror::Field;

#[tokio::test]
async fn an_answer_alone_is_json_and_with_company_a_stream() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert!(matches!(client.post(&tool_call("1", "echo", &json!({}))).await, Answer::Message { .. }));
    let call = tool_call_with_progress("1", "progress", &json!({"steps": 2}), &json!("t"));
    assert_eq!(client.stream(&call).await.rest().await.len(), 3);
    bridge.shutdown().await;
}

#[tokio::test]
async fn for_a_client_without_streams_the_company_waits_on_the_sessions_own() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await.json_only();
    let call = tool_call_with_progress("1", "progress", &json!({"steps": 2}), &json!("t"));
    assert!(matches!(client.post(&call).await, Answer::Message { .. }));
    let mut stream = client.listen();
    for step in 0..2 {
        assert_eq!(stream.value().await["params"]["progress"], step);
    }
    // A question comes there too, and is answered by another POST.
    let asking = client.clone();
    let call = tokio::spawn(async move { asking.raw(&tool_call("2", "ask", &json!({}))).await });
    let question = stream.value().await;
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-1,"message":"no"}}}}"#, question["id"]);
    assert!(matches!(client.post(&answer).await, Answer::Accepted));
    assert!(call.await.unwrap().contains("-1"));
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_stateless_client_without_streams_gets_just_the_answer() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::new(&bridge, "ada").json_only();
    let call = tool_call_with_progress("1", "progress", &json!({"steps": 2}), &json!("t"));
    let answer: Value = serde_json::from_str(&client.raw(&call).await).unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "done");
    assert!(matches!(client.get(None), Answer::Refused { refusal: Refusal::SessionRequired, .. }));
    assert!(matches!(
        bridge.end(&client.principal, None, Field::Absent),
        Answer::Refused { refusal: Refusal::SessionRequired, .. }
    ));
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_changed_list_is_read_before_it_is_told() {
    let bridge = bridge(&[child("c", &[])]).await;
    let (a, b) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    a.tool("grow", &json!({"text": "new"})).await;
    for client in [&a, &b] {
        assert_eq!(client.listen().value().await["method"], "notifications/tools/list_changed");
    }
    let called = a.tool("extranew", &json!({})).await;
    assert!(!called.contains("rror"), "its access rule is known already: {called}");
    bridge.shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_the_streams() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut own = client.listen();
    let mut call = client.stream(&tool_call("1", "ask", &json!({}))).await;
    call.value().await;
    bridge.shutdown().await;
    assert_eq!(own.next().await, None);
    assert!(call.value().await["error"].is_object());
    assert_eq!(call.next().await, None);
}
