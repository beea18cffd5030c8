//! `isolation: per_session`: one process a session, and none without one.

use serde_json::{Value, json};

use crate::isolation::{give, pid, session, token, with};
use crate::support::Stateless;
use crate::support::mcp::{Session, last_message};

#[tokio::test]
async fn two_sessions_of_one_person_share_nothing() {
    let app = with("fake: {FAKE], isolation: per_session}");
    let token = token(&app, "alice").await;
    let (one, other) = (Session::initialize(&app, &token).await, Session::initialize(&app, &token).await);
    assert_ne!(pid(&one).await, pid(&other).await);
    assert_eq!(give(&one, "remember", json!({"text": "a"})).await["texts"], json!(["a"]));
    assert_eq!(give(&other, "remember", json!({"text": "b"})).await["texts"], json!(["b"]));
    assert_eq!(give(&one, "remember", json!({"text": "c"})).await["texts"], json!(["a", "c"]));
}

#[tokio::test]
async fn without_a_session_there_is_nothing_and_it_is_said_why() {
    let app = with("fake: {FAKE], isolation: per_session}");
    let token = token(&app, "alice").await;
    let (bare, stateless) = (Session::new(&app, &token), Stateless::new(&app, &token));
    for method in ["tools/list", "resources/list", "tools/call", "vendor/method"] {
        let page = bare.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "echo"}})).await;
        assert_eq!(page.status, 400, "{method}: {}", page.body);
        let error = last_message(&page)["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("each session's own: send initialize"), "{error}");
    }
    for method in ["server/discover", "tools/list", "subscriptions/listen"] {
        let page = stateless.page(method, json!({"notifications": {}})).await;
        assert!(page.status == 400 && page.body.contains("each session's own"), "{method}: {}", page.body);
    }
    // What needs no server is answered all the same.
    assert_eq!(bare.call("ping", json!({})).await["result"], json!({}));
    assert_eq!(bare.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await.status, 202);
}

#[tokio::test]
async fn without_a_session_the_others_are_there() {
    let app = with("me: {builtin: whoami}\n  fake: {FAKE], isolation: per_session}");
    let token = token(&app, "alice").await;
    let (bare, stateless) = (Session::new(&app, &token), Stateless::new(&app, &token));
    let names = |listed: Value| -> Vec<String> {
        let tools = listed["result"]["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    for listed in [bare.call("tools/list", json!({})).await, stateless.call("tools/list", json!({})).await] {
        assert_eq!(names(listed), ["me__whoami", "me__echo", "me__time"]);
    }
    let discovered = stateless.call("server/discover", json!({})).await;
    assert!(discovered["result"]["capabilities"]["prompts"].is_null(), "{discovered}");
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fake__echo", "arguments": {}}});
    for page in [bare.post(&call).await, stateless.page("tools/call", json!({"name": "fake__echo"})).await] {
        assert!(page.status == 400 && page.body.contains("each session's own"), "{}", page.body);
    }
    let page = stateless.page("tools/call", json!({"name": "me__nothing"})).await;
    assert!(page.body.contains("Unknown tool"), "{}", page.body);
    let session = session(&app, "alice").await;
    assert!(names(session.call("tools/list", json!({})).await).contains(&"fake__echo".to_owned()));
    assert!(give(&session, "fake__echo", json!({})).await["_pid"].is_number());
}

#[tokio::test]
async fn an_only_server_introduces_itself_to_each_session() {
    let app = with("fake: {FAKE, --instructions, \"By yourself.\"], isolation: per_session}");
    let page =
        Session::new(&app, &token(&app, "alice").await).post(&crate::support::mcp::initialize("2025-11-25")).await;
    let result = last_message(&page)["result"].clone();
    assert_eq!((&result["serverInfo"]["name"], &result["instructions"]), (&json!("fake"), &json!("By yourself.")));
}
