//! Requests to a server of the stateless era, of clients of either era.

use serde_json::{Value, json};

use crate::mcp::stateless_server::{BOTH, Over, Rig, content};
use crate::mcp::until;
use crate::support::browser::Page;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::stateless::refusal;

const META: &str = "io.modelcontextprotocol/";

fn call(id: u64, name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

async fn introduction(rig: &Rig) -> Value {
    let page = Session::new(&rig.app, &rig.token).post(&crate::support::mcp::initialize("2025-06-18")).await;
    last_message(&page)["result"].clone()
}

#[tokio::test]
async fn e_9_a_server_that_answers_the_probe_is_never_sent_initialize() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let result = introduction(&rig).await;
        assert_eq!(result["protocolVersion"], "2025-06-18");
        assert_eq!(result["serverInfo"], json!({"name": "stateless", "version": "1.0", "x": 1.5}));
        assert_eq!(result["instructions"], "Do as told.");
        assert_eq!(result["capabilities"]["tools"], json!({"listChanged": true}));
        // Tasks would be anybody's on a connection that all share.
        assert_eq!(result["capabilities"]["extensions"], json!({"example/kept": {"x": 1.0}}));
        let discovered = rig.stateless(json!({})).call("server/discover", json!({})).await["result"].clone();
        assert_eq!(discovered["capabilities"], result["capabilities"]);
        assert_eq!(discovered["_meta"][format!("{META}serverInfo")], result["serverInfo"]);
        assert_eq!(rig.server.got("server/discover").len(), 1, "{over:?}");
        assert!(rig.server.got("initialize").is_empty() && rig.server.got("GET").is_empty(), "{over:?}");
    }
}

#[tokio::test]
async fn ba_every_request_says_what_its_session_said_once() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let capabilities = json!({"sampling": {"tools": {}}, "roots": {"listChanged": true}, "tasks": {"list": {}}});
        let session = rig.session(capabilities).await;
        let params = json!({"name": "params", "arguments": {"n": 1.0}, "_meta": {"own": [1.50], "progressToken": "t"}, "requestState": "forged"});
        let got = content(&session.call("tools/call", params).await);
        assert_eq!(got["arguments"], json!({"n": 1.0}));
        let meta = &got["_meta"];
        assert_eq!((&meta["own"], &meta[format!("{META}protocolVersion")]), (&json!([1.5]), &json!("2026-07-28")));
        let told = json!({"sampling": {"tools": {}}, "roots": {"listChanged": true}});
        assert_eq!(meta[format!("{META}clientCapabilities")], told);
        assert_eq!(meta[format!("{META}clientInfo")], json!({"name": "test", "version": "1"}));
        assert!(meta.get(format!("{META}logLevel")).is_none(), "it never said");
        assert!(meta["progressToken"].is_u64() && got.get("requestState").is_none(), "{got}");
        assert_eq!(session.call("logging/setLevel", json!({"level": "warning"})).await["result"], json!({}));
        assert_eq!(content(&session.tool("log", json!({})).await), "warning");
        assert_eq!(session.call("ping", json!({})).await["result"], json!({}));
        assert!(rig.server.got("logging/setLevel").is_empty() && rig.server.got("ping").is_empty());
        // Of a client without a session nothing is known; it is served all the same.
        let nobody = Session::new(&rig.app, &rig.token);
        assert_eq!(
            content(&nobody.tool("params", json!({})).await)["_meta"][format!("{META}clientCapabilities")],
            json!({})
        );
    }
}

#[tokio::test]
async fn ba_a_client_of_the_same_era_is_passed_through() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let client = rig.stateless(
            json!({"roots": {}, "extensions": {"io.modelcontextprotocol/tasks": {}, "example/x": {"y": 1}}}),
        );
        let params = json!({"name": "params", "arguments": {}, "_meta": {"own": 1}, "inputResponses": {"unasked": {}}});
        let got = content(&client.call("tools/call", params).await);
        assert_eq!(
            got["_meta"][format!("{META}clientCapabilities")],
            json!({"roots": {}, "extensions": {"example/x": {"y": 1}}})
        );
        assert_eq!((&got["_meta"]["own"], &got["inputResponses"]), (&json!(1), &json!({"unasked": {}})));
        let list = client.call("tools/list", json!({})).await["result"].clone();
        assert_eq!(
            (&list["ttlMs"], &list["cacheScope"], &list["resultType"]),
            (&json!(1000), &json!("public"), &json!("complete"))
        );
        let read = client.call("resources/read", json!({"uri": "fake://one"})).await["result"].clone();
        assert_eq!((&read["ttlMs"], &read["contents"][0]["text"]), (&json!(1000), &json!("first")));
        let odd = client.tool("odd", json!({})).await;
        assert_eq!(odd["result"]["resultType"], "odd", "it judges itself");
    }
}

#[tokio::test]
async fn sh_header_fields_say_what_the_body_says() {
    let rig = Rig::start(Over::Http, &[]).await;
    let session = rig.session(json!({})).await;
    // The server refuses what does not agree.
    for arguments in
        [json!({"region": "eu", "rows": 7}), json!({"region": "Zürich\n"}), json!({"region": " "}), json!({})]
    {
        assert_eq!(content(&session.tool("mirrored", arguments.clone()).await), arguments);
    }
    assert!(
        session.call("resources/read", json!({"uri": "fake://ü"})).await["error"]["message"]
            .to_string()
            .contains("no such")
    );
    let client = rig.stateless(json!({}));
    let message = client.message(1, "tools/call", json!({"name": "mirrored", "arguments": {"region": "eu"}}));
    let page = Page::read(client.request(&message).header("mcp-param-region", "eu").send().await.unwrap()).await;
    assert_eq!(content(&last_message(&page)), json!({"region": "eu"}));
    for got in rig.server.journal() {
        assert!(got["headers"].get("mcp-session-id").is_none(), "{got}");
        assert!(got["headers"]["authorization"].is_null(), "{got}");
    }
}

#[tokio::test]
async fn c_12_param_fields_that_no_schema_names_pass_untouched() {
    let rig = Rig::start(Over::Http, &[]).await;
    let client = rig.stateless(json!({}));
    let message = client.message(1, "tools/call", json!({"name": "mirrored", "arguments": {"region": "eu"}}));
    let request =
        client.request(&message).header("mcp-param-region", "=?base64?ZXU=?=").header("Mcp-Param-Other", "=?base64?!");
    let page = Page::read(request.header("mcp-own", "x").send().await.unwrap()).await;
    assert_eq!(content(&last_message(&page)), json!({"region": "eu"}));
    let journal = rig.server.journal();
    let got = journal.iter().find(|got| got["headers"]["mcp-method"] == "tools/call").unwrap();
    let said = |name: &str| got["headers"][name].clone();
    assert_eq!([said("mcp-param-region"), said("mcp-param-other")], [json!("eu"), json!("=?base64?!")], "{got}");
    assert_eq!(said("mcp-own"), Value::Null, "{got}");
}

#[tokio::test]
async fn sh_a_tool_with_an_unsound_annotation_is_left_out_over_http_alone() {
    for over in BOTH {
        let rig = Rig::start(over, &["--spoilt", "bad"]).await;
        let (session, client) = (rig.session(json!({})).await, rig.stateless(json!({})));
        for list in [session.call("tools/list", json!({})).await, client.call("tools/list", json!({})).await] {
            let tools = list["result"]["tools"].as_array().unwrap();
            assert_eq!(tools.iter().any(|tool| tool["name"] == "bad"), over == Over::Stdio, "{over:?}");
            assert!(
                tools.iter().any(|tool| tool["name"] == "mirrored" && tool["inputSchema"]["properties"].is_object())
            );
        }
    }
}

#[tokio::test]
async fn d_22_progress_and_log_messages_reach_their_owner_before_the_result() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let session = rig.session(json!({})).await;
        let mut request = call(1, "progress", json!({"steps": 2}));
        request["params"]["_meta"] = json!({"progressToken": "mine"});
        let mut stream = session.stream(&request).await;
        for step in 0..2 {
            let progress = stream.next().await.unwrap();
            assert_eq!(progress["params"], json!({"progressToken": "mine", "progress": step}), "{over:?}");
        }
        assert_eq!(content(&stream.next().await.unwrap()), "done");
        session.call("logging/setLevel", json!({"level": "error"})).await;
        let mut stream = session.stream(&call(2, "log", json!({"text": "x"}))).await;
        assert_eq!(stream.next().await.unwrap()["params"], json!({"level": "error", "data": "x"}));
        assert_eq!(stream.next().await.unwrap()["id"], 2);
        let client = rig.stateless(json!({}));
        let params = json!({"name": "log", "arguments": {}, "_meta": {format!("{META}logLevel"): "debug"}});
        let mut stream = Events::of(client.send(3, "tools/call", params).await);
        assert_eq!(stream.next().await.unwrap()["params"]["level"], "debug");
    }
}

#[tokio::test]
async fn d_25_each_era_gets_its_own_codes() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let (session, client) = (rig.session(json!({})).await, rig.stateless(json!({})));
        let missing = json!({"uri": "fake://none"});
        let error = session.call("resources/read", missing.clone()).await["error"].clone();
        assert_eq!((&error["code"], &error["data"]), (&json!(-32002), &missing));
        assert_eq!(refusal(&client.page("resources/read", missing).await), (200, -32602));
        // Another fault of parameters is one in both.
        assert_eq!(session.tool("none", json!({})).await["error"]["code"], -32602);
        let needed = json!({"name": "ask", "arguments": {}});
        let page = client.page("tools/call", needed.clone()).await;
        assert_eq!(refusal(&page), (400, -32021), "{page:?}");
        assert_eq!(last_message(&page)["error"]["data"]["requiredCapabilities"], json!({"elicitation": {}}));
        assert_eq!(session.call("tools/call", needed).await["error"]["code"], -32021);
        assert_eq!(refusal(&client.page("vendor/unknown", json!({})).await), (404, -32601));
        let other_header = json!({"name": "error", "arguments": {"code": -32020}});
        assert_eq!(refusal(&client.page("tools/call", other_header).await), (400, -32020));
        let odd = session.tool("odd", json!({})).await;
        assert!(odd["error"]["message"].to_string().contains("does not know"), "{odd}");
    }
}

#[tokio::test]
async fn sh_a_broken_stream_loses_the_call_and_sends_nothing_again() {
    let rig = Rig::start(Over::Http, &[]).await;
    let session = rig.session(json!({})).await;
    let broken = last_message(&session.post(&call(1, "cut", json!({}))).await);
    assert!(
        broken["error"]["message"].to_string().contains("too early")
            || broken["error"]["message"].to_string().contains("connection"),
        "{broken}"
    );
    let client = rig.stateless(json!({}));
    assert!(client.tool("cut", json!({})).await["error"].is_object());
    assert_eq!(rig.server.got("tools/call").len(), 2);
    assert!(rig.server.got("GET").is_empty(), "an event id brings nobody back");
    assert_eq!(content(&session.tool("echo", json!({"a": 1})).await), json!({"a": 1}));
}

#[tokio::test]
async fn sh_20_a_cancelled_call_is_closed_over_http_and_named_on_stdio() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let (session, client) = (rig.session(json!({})).await, rig.stateless(json!({})));
        let never = rig.server.path("never");
        let waiting = session.stream(&call(1, "slow", json!({"file": never}))).await;
        until(|| rig.server.got("tools/call").len() == 1).await;
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        assert_eq!(session.post(&cancelled).await.status, 202);
        until(|| rig.server.events("cancelled") == 1).await;
        drop(waiting);
        // A stateless client cancels by going away; once it has a stream, that is seen at once.
        let answer = client.send(2, "tools/call", json!({"name": "slow", "arguments": {"file": never}})).await;
        until(|| rig.server.got("tools/call").len() == 2).await;
        drop(answer);
        until(|| rig.server.events("cancelled") == 2).await;
        let told = rig.server.got("notifications/cancelled").len();
        assert_eq!(told, if over == Over::Stdio { 2 } else { 0 }, "{over:?}");
    }
}
