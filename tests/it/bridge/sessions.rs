//! Sessions, versions, access, and what is refused before anything is done.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Reply};
use super::support::{
    Client, bridge, builtin, child, command, http, notification, options, person, request, tool_call,
};
use mcp_bridge::base::clock::Timestamp;
use mcp_bridge::bridge::{Answer, Bridge, PostRequest, Refusal};
use mcp_bridge::model::principal::Principal;
use mcp_bridge::protocol::mcp::mirror::{Field, Mirror};

#[tokio::test]
async fn only_initialize_makes_a_session() {
    let bridge = bridge(&[builtin("me")]).await;
    let stateless = Client::new(&bridge, "ada");
    assert_eq!(stateless.tool("echo", &json!({"text": "x"})).await, "x");
    let names = stateless.rpc("tools/list", &json!({})).await;
    assert_eq!(names["result"]["tools"].as_array().unwrap().len(), 3);
    assert_eq!(bridge.sessions(), 0);
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("echo", &json!({"text": "y"})).await, "y");
    assert_eq!(bridge.sessions(), 1);
    assert!(matches!(client.post(&notification("notifications/initialized", &json!({}))).await, Answer::Accepted));
}

#[tokio::test]
async fn whoami_tells_who_is_calling() {
    let bridge = bridge(&[builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let whoami: Value = serde_json::from_str(&client.tool("whoami", &json!({})).await).unwrap();
    assert_eq!(whoami, json!({"user": "ada", "client": "client", "scopes": ["mcp:write"]}));
}

#[tokio::test]
async fn mcp_2_versions_are_negotiated_and_then_checked() {
    let bridge = bridge(&[builtin("me")]).await;
    let client = Client::new(&bridge, "ada");
    for (asked, given) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ] {
        let answer = client.rpc("initialize", &json!({"protocolVersion": asked, "capabilities": {}})).await;
        assert_eq!(answer["result"]["protocolVersion"], given, "{asked}");
    }
    let client = Client::connect_as(&bridge, "ada", "2025-06-18", &json!({})).await;
    let ping = async |version: Option<&'static str>, session_id| {
        let request = PostRequest {
            session_id,
            protocol_version: Field::of(version),
            mirror: Mirror::default(),
            accepts_json: true,
            accepts_event_stream: false,
        };
        bridge.post(&client.principal, &request, request_body()).await
    };
    for (version, session, is_fine) in [
        (None, client.session.as_deref(), true),
        (Some("2025-06-18"), client.session.as_deref(), true),
        (Some("2025-11-25"), client.session.as_deref(), false),
        (Some("2025-11-25"), None, true),
        (Some("2026-07-28"), client.session.as_deref(), false),
        (Some("2025-11-2５"), None, false),
        (Some("1999-01-01"), None, false),
    ] {
        match ping(version, session).await {
            Answer::Message { .. } => assert!(is_fine, "{version:?}"),
            Answer::Refused { refusal: Refusal::UnsupportedVersion { body }, .. } => {
                assert!(!is_fine, "{version:?}");
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(
                    (&body["error"]["code"], &body["error"]["data"]["requested"]),
                    (&json!(-32022), &json!(version))
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

fn request_body() -> bytes::Bytes {
    bytes::Bytes::from(request("1", "ping", &json!({})))
}

#[tokio::test]
async fn mcp_12_another_callers_session_is_unknown_and_undisturbed() {
    let bridge = bridge(&[builtin("me")]).await;
    let owner = Client::connect(&bridge, "ada").await;
    let mut stream = owner.listen();
    let thief = Client { principal: person("eve", "mcp:admin"), ..owner.clone() };
    let other_client = Principal { client_id: None, ..(*owner.principal).clone() };
    let other_client = Client { principal: other_client.into(), ..owner.clone() };
    let nobody = Client { session: Some("guessed".to_owned()), ..owner.clone() };
    for client in [thief, other_client, nobody] {
        assert_eq!(client.refusal(&request("1", "ping", &json!({}))).await, Refusal::SessionUnknown);
        let id = client.session.as_deref();
        assert!(matches!(client.get(None), Answer::Refused { refusal: Refusal::SessionUnknown, .. }));
        assert!(matches!(
            bridge.end(&client.principal, id, Field::Absent),
            Answer::Refused { refusal: Refusal::SessionUnknown, .. }
        ));
    }
    assert_eq!(owner.rpc("ping", &json!({})).await["result"], json!({}));
    assert!(matches!(bridge.end(&owner.principal, owner.session.as_deref(), Field::Absent), Answer::Ended));
    assert_eq!(stream.next().await, None, "ended, not disturbed");
    assert_eq!(owner.refusal(&request("1", "ping", &json!({}))).await, Refusal::SessionUnknown);
}

#[tokio::test]
async fn a_refreshed_token_of_the_same_caller_goes_on_with_the_session() {
    let bridge = bridge(&[builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let refreshed = Client { principal: person("ada", "mcp:read"), ..client };
    assert_eq!(refreshed.rpc("ping", &json!({})).await["result"], json!({}));
    let needed = Refusal::InsufficientScope { needed: vec!["mcp:write".to_owned()] };
    assert_eq!(refreshed.refusal(&tool_call("1", "echo", &json!({"text": "x"}))).await, needed, "with its own scopes");
}

#[tokio::test]
async fn mcp_13_a_second_stream_of_the_owner_is_independent_and_each_message_goes_to_one() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let mut first = client.listen();
    let mut second = client.listen();
    client.tool("grow", &json!({"text": "1"})).await;
    assert_eq!(second.value().await["method"], "notifications/tools/list_changed");
    drop(second);
    client.tool("grow", &json!({"text": "2"})).await;
    assert_eq!(first.value().await["method"], "notifications/tools/list_changed", "and nothing of before");
    assert!(matches!(bridge.end(&client.principal, client.session.as_deref(), Field::Absent), Answer::Ended));
    assert_eq!(first.next().await, None);
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_26_a_stream_ends_with_the_token_that_opened_it() {
    let bridge = bridge(&[builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let ends = Principal { expires_at: Some(Timestamp::from_unix(1_000)), ..(*client.principal).clone() };
    let client = Client { principal: ends.into(), ..client };
    assert_eq!(client.listen().next().await, None);
}

#[tokio::test]
async fn idle_sessions_end() {
    let options = options();
    let clock = options.clock.clone();
    let bridge = Bridge::start(&[builtin("me")], options).await.unwrap();
    let client = Client::connect(&bridge, "ada").await;
    clock.advance(Duration::from_secs(61));
    assert_eq!(client.refusal(&request("1", "ping", &json!({}))).await, Refusal::SessionUnknown);
}

#[tokio::test]
async fn mcp_3_a_body_that_reads_in_two_ways_reaches_nobody() {
    let bridge = bridge(&[child("c", &[])]).await;
    let client = Client::connect(&bridge, "ada").await;
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","Name":"echo"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","name":"echo"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","METHOD":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        "\u{feff}{}",
        "",
    ] {
        assert!(matches!(client.refusal(body).await, Refusal::Malformed { .. }), "{body}");
    }
    let seen = client.seen().await;
    assert!(!seen.iter().any(|line| line.contains("look")), "{seen:?}");
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_10_a_client_that_takes_nothing_gets_nothing() {
    let bridge = bridge(&[builtin("me")]).await;
    let answer = bridge.post(&person("ada", "mcp:read"), &PostRequest::default(), request_body()).await;
    assert!(matches!(answer, Answer::Refused { refusal: Refusal::NotAcceptable, .. }));
    let only_events = PostRequest { accepts_event_stream: true, ..PostRequest::default() };
    let answer = bridge.post(&person("ada", "mcp:read"), &only_events, request_body()).await;
    assert!(matches!(answer, Answer::Stream { .. }));
}

#[tokio::test]
async fn mcp_6_batches_belong_to_2025_03_26() {
    let bridge = bridge(&[builtin("me")]).await;
    let old = Client::connect_as(&bridge, "ada", "2025-03-26", &json!({})).await;
    let (ping, echo) = (request("1", "ping", &json!({})), tool_call("\"1\"", "echo", &json!({"text": "x"})));
    let note = notification("notifications/initialized", &json!({}));
    let batch = format!("[{ping}, {note},{echo}]");
    let answers: Value = serde_json::from_str(&old.raw(&batch).await).unwrap();
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    assert_eq!((&answers[1]["id"], &answers[1]["result"]["content"][0]["text"]), (&json!("1"), &json!("x")));
    assert_eq!(answers.as_array().unwrap().len(), 2);
    assert!(matches!(old.post(&format!("[{note}]")).await, Answer::Accepted));
    let many = format!("[{}]", vec![ping; 51].join(","));
    for body in ["[]", "[1]", many.as_str()] {
        assert!(matches!(old.refusal(body).await, Refusal::Malformed { .. }));
    }
    let new = Client::connect(&bridge, "ada").await;
    for client in [new, Client::new(&bridge, "ada")] {
        assert!(matches!(client.refusal(&batch).await, Refusal::Malformed { .. }));
    }
}

#[tokio::test]
async fn a_batch_is_permitted_as_a_whole() {
    let bridge = bridge(&[child("c", &[])]).await;
    let old = Client::connect_as(&bridge, "ada", "2025-03-26", &json!({})).await;
    let reader = Client { principal: person("ada", "mcp:read"), ..old.clone() };
    let (look, echo) = (tool_call("1", "look", &json!({})), tool_call("2", "echo", &json!({})));
    let needed = Refusal::InsufficientScope { needed: vec!["mcp:write".to_owned()] };
    assert_eq!(reader.refusal(&format!("[{look},{echo}]")).await, needed);
    assert!(!old.seen().await.iter().any(|line| line.contains("look")));
    bridge.shutdown().await;
}

#[tokio::test]
async fn tools_need_what_they_declare_or_a_rule_says() {
    let mut upstream = child("c", &["bare"]);
    let rule = |scopes: &[&str]| mcp_bridge::config::section::ToolRule {
        scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
    };
    upstream.tools.insert("hold".to_owned(), rule(&["mcp:admin", "extra"]));
    upstream.tools.insert("a__b".to_owned(), rule(&["mcp:read"]));
    let bridge = bridge(&[upstream]).await;
    let reader = Client { principal: person("ada", "mcp:read"), ..Client::new(&bridge, "ada") };
    assert_eq!(reader.tool("look", &json!({"text": "x"})).await, "x");
    assert_eq!(reader.tool("a__b", &json!({})).await, "a__b");
    let needed =
        |scopes: &[&str]| Refusal::InsufficientScope { needed: scopes.iter().map(|s| (*s).to_owned()).collect() };
    for (tool, scopes) in [("echo", &["mcp:write"][..]), ("hold", &["mcp:admin", "extra"]), ("unknown", &["mcp:write"])]
    {
        assert_eq!(reader.refusal(&tool_call("1", tool, &json!({}))).await, needed(scopes), "{tool}");
    }
    let nobody = Client { principal: person("ada", "other"), ..reader };
    assert_eq!(nobody.refusal(&request("1", "tools/list", &json!({}))).await, needed(&["mcp:read"]));
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_4_where_a_rule_decides_only_the_exact_name_passes() {
    let mut upstream = child("c", &["bare"]);
    upstream.exclude_tools = vec!["crash".to_owned()];
    let bridge = bridge(&[upstream]).await;
    let client = Client::connect(&bridge, "ada").await;
    for name in ["crash", "crash ", "CRASH", "ｃrash", "./crash", "c__crash"] {
        let error = client.tool(name, &json!({})).await;
        assert!(error.contains("Unknown tool") && error.contains("-32602"), "{name}: {error}");
    }
    let listed = client.rpc("tools/list", &json!({})).await.to_string();
    assert!(listed.contains("\"echo\"") && !listed.contains("\"crash\""));
    assert!(!client.seen().await.iter().any(|line| line.contains("rash")));
    bridge.shutdown().await;
}

#[test]
fn requests_may_come_on_any_runtime() {
    let of_bridge = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let bridge = of_bridge.block_on(bridge(&[child("c", &[]), builtin("me")]));
    let workers: Vec<_> = ["ada", "bob"]
        .map(|name| {
            let bridge = std::sync::Arc::clone(&bridge);
            std::thread::spawn(move || {
                let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                worker.block_on(async {
                    let client = Client::connect(&bridge, name).await;
                    let mut stream = client.listen();
                    for round in 0..100 {
                        let text = format!("{name} {round}");
                        assert_eq!(client.tool("c__echo", &json!({"text": text})).await, text);
                        assert_eq!(client.tool("me__echo", &json!({"text": text})).await, text);
                    }
                    assert!(client.rpc("tools/list", &json!({})).await["result"].is_object());
                    client.tool("c__grow", &json!({"text": name})).await;
                    assert_eq!(stream.value().await["method"], "notifications/tools/list_changed");
                });
            })
        })
        .into_iter()
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    of_bridge.block_on(bridge.shutdown());
}

#[tokio::test]
async fn mcp_24_answers_in_a_batch_are_counted_as_long_as_they_wait() {
    let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
    let bridge = bridge(&[command("c", "python3", &[fake])]).await;
    let client = Client::connect_as(&bridge, "ada", "2025-03-26", &json!({})).await;
    let call = tool_call("1", "large", &json!({"bytes": 15 * 1024 * 1024}));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(client.post(&format!("[{call}]")).await);
    }
    assert!(client.raw(&call).await.contains("wait to be read"));
    drop(held);
    assert!(client.raw(&call).await.len() > 15 * 1024 * 1024);
    bridge.shutdown().await;
}

#[tokio::test]
async fn mcp_24_errors_are_counted_as_answers_are() {
    let server = FakeServer::start(|got| {
        let id = got.json()["id"].clone();
        let result = |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
        match got.method().as_str() {
            "server/discover" => result(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})),
            "tools/list" => result(json!({"tools": [{"name": "fail", "inputSchema": {"type": "object"}}]})),
            "tools/call" => {
                let error = json!({"code": -32603, "message": "x".repeat(15 * 1024 * 1024)});
                Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "error": error})))
            }
            _ => None,
        }
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await.json_only();
    let call = tool_call("1", "fail", &json!({}));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(client.post(&call).await);
    }
    assert!(client.raw(&call).await.contains("wait to be read"));
    drop(held);
    assert!(client.raw(&call).await.len() > 15 * 1024 * 1024);
    bridge.shutdown().await;
}
