//! Members that are null, as peers write them that write out all members of a structure: they read as absent.

use serde_json::{Value, json};

use crate::mcp::stateless_server::{BOTH, Rig, content};
use crate::mcp::{child, with_child};
use crate::support::app::BASIC;
use crate::support::mcp::{Events, Session};
use crate::support::{App, Client};

async fn session(app: &App, capabilities: Value) -> Session {
    Session::initialize_as(app, Client::register(app).await.tokens().await.access(), capabilities).await
}

fn list(params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params})
}

#[tokio::test]
async fn a_client_may_write_null_for_what_it_does_not_say() {
    let two = BASIC.replace("me: {builtin: whoami}", &format!("me: {{builtin: whoami}}\n  fake: {}", child("")));
    for app in [with_child(""), App::with(&two)] {
        let session = session(&app, json!({})).await;
        for params in
            [Value::Null, json!({"_meta": null}), json!({"cursor": null}), json!({"_meta": {"progressToken": null}})]
        {
            let page = session.post(&list(params.clone())).await;
            assert!(page.status == 200 && page.body.contains(r#""tools":"#), "{params}: {}", page.body);
        }
        for wrong in [json!([]), json!({"_meta": []}), json!({"cursor": "?"})] {
            let page = session.post(&list(wrong.clone())).await;
            assert!(page.body.contains("error") || wrong.get("cursor").is_some(), "{wrong}: {}", page.body);
        }
    }
}

#[tokio::test]
async fn what_is_null_is_forwarded_as_it_came() {
    let app = with_child("");
    let session = session(&app, json!({})).await;
    let params = json!({"name": "params", "arguments": null, "_meta": {"progressToken": null, "x": 1.5}});
    assert_eq!(session.call("tools/call", params.clone()).await["result"]["structuredContent"], params);
}

#[tokio::test]
async fn a_server_without_sessions_gets_one_meta_where_null_stood() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let session = rig.session(json!({})).await;
        let got = content(&session.call("tools/call", json!({"_meta": null, "name": "params", "arguments": {}})).await);
        assert_eq!(got["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28", "{got}");
        let page = session.post(&list(Value::Null)).await;
        assert!(page.body.contains(r#""tools":"#), "{}", page.body);
    }
}

#[tokio::test]
async fn a_server_may_write_null_for_what_it_does_not_say() {
    let app = with_child("");
    let session = session(&app, json!({"roots": {}})).await;
    let mut stream = Events::of(session.listen().await);
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": null});
    session.tool("write", json!({"text": changed.to_string()})).await;
    assert_eq!(stream.next().await.unwrap()["method"], changed["method"]);
    let asked = json!({"name": "ask", "arguments": {"method": "roots/list", "null": true}});
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": asked});
    let mut stream = Events::of(session.send(&call).await);
    let question = stream.next().await.unwrap();
    assert_eq!((&question["method"], &question["params"]), (&json!("roots/list"), &Value::Null));
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}});
    assert_eq!(session.post(&reply).await.status, 202);
    assert_eq!(stream.next().await.unwrap()["result"]["structuredContent"]["result"], json!({"roots": []}));
}
