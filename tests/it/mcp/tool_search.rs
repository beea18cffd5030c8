//! `search` and `execute` in place of a long list.

use std::time::Duration;

use serde_json::{Value, json};

use crate::mcp::child;
use crate::support::app::BASIC;
use crate::support::mcp::{Session, last_message};
use crate::support::{App, Browser, Client, Stateless};

/// Two servers, one with two hundred tools more, behind an endpoint with tool search.
fn with_search() -> App {
    let search = "listen: 127.0.0.1:0\n  tool_search: {enabled: true, results: 5}";
    let servers = format!("fake: {}\n  many: {}", child(""), child(", \"--tools\", \"200\""));
    App::with(&BASIC.replace("listen: 127.0.0.1:0", search).replace("me: {builtin: whoami}", &servers))
}

async fn client(app: &App) -> Session {
    Session::initialize(app, Client::register(app).await.tokens().await.access()).await
}

async fn found(session: &Session, query: &str) -> Vec<String> {
    let answer = session.tool("search", json!({"query": query})).await;
    let result = &answer["result"];
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"]["tools"]);
    let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
    text.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_client_is_given_two_tools_and_finds_the_others() {
    let app = with_search();
    let session = client(&app).await;
    let listed = session.call("tools/list", json!({})).await;
    let names: Vec<_> = listed["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["search", "execute"]);

    assert_eq!(found(&session, "flood stderr").await[..2], ["fake__flood_stderr", "many__flood_stderr"]);
    assert_eq!(found(&session, "many extra 117").await[0], "many__extra_117");
    assert_eq!(found(&session, "flooding").await.len(), 2, "a word is found by its stem");
    assert_eq!(found(&session, "tool").await.len(), 5, "as many as configured");
    assert_eq!(found(&session, "zebra").await, Vec::<String>::new());
    let definition =
        &session.tool("search", json!({"query": "mirrored"})).await["result"]["structuredContent"]["tools"][0];
    assert!(definition["inputSchema"]["properties"]["region"].is_object());
    assert_eq!(definition["_meta"]["fake.example/number"], json!(12_345_678_901_234_567_890_u64));
}

#[tokio::test]
async fn execute_is_the_call_that_it_carries() {
    let app = with_search();
    let session = client(&app).await;
    let carried = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    let answer = session.tool("execute", carried("many__echo", json!({"a": [1, "ü"], "name": "x"}))).await;
    assert_eq!(answer["result"]["structuredContent"]["a"], json!([1, "ü"]), "{answer}");
    let answer = session.tool("execute", json!({"name": "fake__params"})).await;
    assert_eq!(answer["result"]["structuredContent"]["arguments"], json!({}), "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["name"], "params");
    // Nothing but what it says is changed on the way.
    let page = session
        .post_raw(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute","x":1.0,"arguments":{"arguments":{"n":1e2,"u":"\u00e4"},"name":"fake__echo"}}}"#)
        .await;
    assert_eq!(last_message(&page)["result"]["structuredContent"]["n"], json!(100.0));

    for wrong in [json!({}), json!({"name": 1}), json!({"name": "fake__echo", "arguments": []})] {
        let answer = session.tool("execute", wrong.clone()).await;
        assert_eq!(answer["result"]["isError"], true, "{wrong} {answer}");
    }
    let answer = session.tool("search", json!({"query": 7})).await;
    assert_eq!(answer["result"]["isError"], true);
    // One inside the other is a call of a server's tool of that name.
    for unknown in ["fake__nothing", "execute", "search"] {
        let answer = session.tool("execute", json!({"name": unknown})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn mcp_3_execute_opens_no_way_around_the_scopes_of_a_tool() {
    let app = with_search();
    let registered = Client::register(&app).await;
    let page = registered.authorize(&mut Browser::new(), "rita", &[]).await;
    let reader = registered.redeem(&page.answer("code").unwrap()).await;
    let session = Session::initialize(&app, reader.access()).await;
    assert_eq!(found(&session, "fake crash").await[0], "fake__crash");
    let execute = |arguments: Value| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "execute", "arguments": arguments}});
    for arguments in [
        json!({"name": "fake__crash"}),
        json!({"name": "fake__crash", "arguments": {"name": "fake__echo"}}),
        json!({"name": "fake__nothing"}),
    ] {
        let page = session.post(&execute(arguments.clone())).await;
        assert_eq!(page.status, 403, "{arguments}: {}", page.body);
        assert!(page.header("www-authenticate").contains("mcp:write"));
    }
    let split = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute","arguments":{"name":"fake__echo","name":"fake__crash"}}}"#;
    let page = session.post_raw(split).await;
    assert_eq!(
        last_message(&page)["result"]["isError"],
        true,
        "a name that stands twice decides nothing: {}",
        page.body
    );
    // One that only reads is free to a reader, carried or not.
    let page = session.post(&execute(json!({"name": "fake__environment"}))).await;
    assert_eq!(page.status, 200, "{}", page.body);
}

#[tokio::test]
async fn what_is_found_follows_what_the_servers_have() {
    let app = with_search();
    let session = client(&app).await;
    assert_eq!(found(&session, "grown").await, Vec::<String>::new());
    session.tool("execute", json!({"name": "fake__grow"})).await;
    // The notification comes first, the list is read after it.
    let appears = async {
        loop {
            let names = found(&session, "grown").await;
            if !names.is_empty() {
                return names;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let names = tokio::time::timeout(Duration::from_secs(20), appears).await.expect("it is found");
    assert_eq!(names, ["fake__grown_0"]);
}

#[tokio::test]
async fn a_stateless_client_searches_and_executes_too() {
    let app = with_search();
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let client = Stateless::new(&app, &token).able(json!({"elicitation": {}, "roots": {}}));
    let listed = client.call("tools/list", json!({})).await;
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 2);
    assert_eq!(listed["result"]["resultType"], "complete");
    let answer = client.tool("search", json!({"query": "mirrored"})).await;
    assert_eq!(answer["result"]["structuredContent"]["tools"][0]["name"], "fake__mirrored");
    // The header fields are those of `execute`; what the carried tool would have mirrored is not asked for.
    let answer = client.tool("execute", json!({"name": "fake__mirrored", "arguments": {"region": "eu"}})).await;
    assert_eq!(answer["result"]["structuredContent"]["region"], "eu", "{answer}");
    let answer = client.tool("execute", json!({"name": 1})).await;
    assert_eq!((&answer["result"]["isError"], &answer["result"]["resultType"]), (&json!(true), &json!("complete")));
    // A question comes back, and its answer finds the call again.
    let params = json!({"name": "execute", "arguments": {"name": "fake__ask", "arguments": {"method": "roots/list"}}});
    let asked = client.call("tools/call", params.clone()).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let mut again = params;
    again["requestState"] = asked["requestState"].clone();
    again["inputResponses"] = json!({key: {"roots": [{"uri": "file:///here"}]}});
    let answer = client.call("tools/call", again).await;
    assert!(answer["result"].to_string().contains("file:///here"), "{answer}");
}

#[tokio::test]
async fn tools_of_a_server_that_are_called_as_these_two_are_executed() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server.py");
    let server = r#"
import json, sys
for line in sys.stdin:
    got = json.loads(line)
    name = (got.get("params") or {}).get("name")
    result = {"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}},
        "tools/list": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("search", "execute")]},
        "tools/call": {"content": [{"type": "text", "text": "its own %s" % name}]}}.get(got["method"], {})
    if "id" in got:
        print(json.dumps({"jsonrpc": "2.0", "id": got["id"], "result": result}), flush=True)
"#;
    std::fs::write(&script, server).unwrap();
    let entry = format!("only: {{command: python3, args: [\"{}\"]}}", script.display());
    let app = App::with(
        &BASIC
            .replace("me: {builtin: whoami}", &entry)
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  tool_search: {enabled: true}"),
    );
    let session = client(&app).await;
    for name in ["search", "execute"] {
        let answer = session.tool("execute", json!({"name": name})).await;
        assert_eq!(answer["result"]["content"][0]["text"], format!("its own {name}"), "{answer}");
    }
    assert!(
        session.tool("search", json!({"query": "search"})).await["result"]["structuredContent"]["tools"].is_array()
    );
}
