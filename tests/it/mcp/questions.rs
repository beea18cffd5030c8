//! What a server sends on its own: progress, log messages, questions to the client's person and model.

use serde_json::{Value, json};

use crate::mcp::with_child;
use crate::support::mcp::{Events, Session};
use crate::support::{App, Client};

async fn session(app: &App, capabilities: Value) -> Session {
    let tokens = Client::register(app).await.tokens().await;
    Session::initialize_as(app, tokens.access(), capabilities).await
}

fn call(id: u64, name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

#[tokio::test]
async fn a_question_reaches_the_client_on_the_calls_own_stream_and_its_answer_the_server() {
    let app = with_child("");
    let asked = json!({"sampling": {}, "elicitation": {}, "roots": {}});
    for (method, answer) in [
        ("roots/list", json!({"roots": [{"uri": "file:///here"}]})),
        (
            "sampling/createMessage",
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "four"}}),
        ),
        ("elicitation/create", json!({"action": "decline"})),
    ] {
        let session = session(&app, asked.clone()).await;
        let mut stream = Events::of(session.send(&call(7, "ask", json!({"method": method}))).await);
        let question = stream.next().await.unwrap();
        assert_eq!(question["method"], method, "{question}");
        let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": answer});
        assert_eq!(session.post(&reply).await.status, 202);
        let last = stream.next().await.unwrap();
        assert_eq!(last["id"], 7);
        assert!(last["result"].to_string().contains(answer.as_object().unwrap().keys().next().unwrap()), "{last}");
        assert_eq!(stream.next().await, None);
        assert_eq!(session.post(&reply).await.status, 400, "a question is answered once");
    }
}

#[tokio::test]
async fn mcp_18_nobody_else_answers_a_question() {
    let app = with_child("");
    let (asked, other) = (session(&app, json!({"roots": {}})).await, session(&app, json!({"roots": {}})).await);
    let mut stream = Events::of(asked.send(&call(1, "ask", json!({"method": "roots/list"}))).await);
    let question = stream.next().await.unwrap();
    let forged = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": [{"uri": "file:///forged"}]}});
    assert_eq!(other.post(&forged).await.status, 400);
    let honest = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": [{"uri": "file:///honest"}]}});
    assert_eq!(asked.post(&honest).await.status, 202);
    let last = stream.next().await.unwrap().to_string();
    assert!(last.contains("honest") && !last.contains("forged"), "{last}");
}

#[tokio::test]
async fn mcp_17_progress_comes_under_the_callers_token_before_the_result() {
    let app = with_child("");
    let session = session(&app, json!({})).await;
    let mut call = call(3, "progress", json!({"steps": 3}));
    call["params"]["_meta"] = json!({"progressToken": "mine"});
    let mut stream = Events::of(session.send(&call).await);
    for _ in 0..3 {
        let progress = stream.next().await.unwrap();
        assert_eq!(
            (&progress["method"], &progress["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!("mine"))
        );
    }
    assert_eq!(stream.next().await.unwrap()["id"], 3);
}

#[tokio::test]
async fn a_changed_list_is_told_on_every_sessions_stream() {
    let app = with_child("");
    let (one, two) = (session(&app, json!({})).await, session(&app, json!({})).await);
    let (mut first, mut second) = (Events::of(one.listen().await), Events::of(two.listen().await));
    one.tool("grow", json!({})).await;
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    let tools = two.call("tools/list", json!({})).await;
    assert!(tools.to_string().contains("grown_"), "{tools}");
}

#[tokio::test]
async fn child_4_a_call_whose_server_dies_is_answered_and_the_session_goes_on() {
    let app = with_child("");
    let session = session(&app, json!({})).await;
    let mut stream = Events::of(session.listen().await);
    let before = session.tool("echo", json!({})).await["result"]["structuredContent"]["_pid"].clone();
    let crashed = session.tool("crash", json!({"signal": 9})).await;
    assert!(crashed["error"].is_object() && crashed["id"] == 1, "{crashed}");
    // It is started again after a pause. The client is told that its tools went, and again that they came.
    let mut again = json!({});
    while !again["result"].is_object() {
        assert!(stream.next().await.unwrap()["method"].as_str().unwrap().ends_with("/list_changed"));
        again = session.tool("echo", json!({})).await;
    }
    assert!(
        again["result"]["structuredContent"]["_pid"].is_number()
            && again["result"]["structuredContent"]["_pid"] != before,
        "{again}"
    );
}
