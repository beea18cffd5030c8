//! Servers of the session era that do not like to be asked which era they speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::bridge::fake_server::{FakeServer, Reply};
use crate::bridge::support::{Client, bridge, command, http, request, until};
use mcp_bridge::config::section::{Upstream, UpstreamEra};

/// A session-era server that writes down what it gets, and does `before` with what comes before `initialize`.
fn picky(folder: &tempfile::TempDir, before: &str) -> Upstream {
    let script = format!(
        r#"
import json, os, sys
open(sys.argv[1], "a").write("start\n")
ready = False
for line in sys.stdin:
    message = json.loads(line)
    open(sys.argv[1], "a").write(message["method"] + "\n")
    ready = ready or message["method"] == "initialize"
    if not ready:
        {before}
    results = {{"initialize": {{"protocolVersion": "2025-06-18", "capabilities": {{"tools": {{}}}}, "serverInfo": {{"name": "p", "version": "1"}}}},
        "tools/list": {{"tools": [{{"name": "die", "inputSchema": {{}}}}]}}}}
    if message["method"] == "tools/call":
        sys.exit(1)
    if "id" in message:
        print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": results.get(message["method"], {{}})}}), flush=True)
"#
    );
    let journal = folder.path().join("journal").display().to_string();
    command("picky", "python3", &["-c", &script, &journal])
}

fn journal(folder: &tempfile::TempDir) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_server_that_ends_when_it_is_asked_did_not_crash_and_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = bridge(&[picky(&folder, "sys.exit(3)")]).await;
    assert!(bridge.status()[0].is_up && bridge.status()[0].restarts == 0, "{:?}", bridge.status());
    assert_eq!(journal(&folder)[..3], ["start", "server/discover", "start"]);
    let client = Client::connect(&bridge, "ada").await;
    assert!(client.tool("die", &json!({})).await.contains("went away"));
    until(|| bridge.status()[0].restarts == 1 && bridge.status()[0].is_up).await;
    let asked = journal(&folder).iter().filter(|line| *line == "server/discover").count();
    assert_eq!(asked, 1, "{:?}", journal(&folder));
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_server_that_is_silent_or_answers_anything_is_sent_initialize() {
    for before in [
        "continue",
        r#"print('{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"?"}}', flush=True); continue"#,
        "pass",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let bridge = bridge(&[picky(&folder, before)]).await;
        assert!(bridge.status()[0].is_up, "{before}");
        let got = journal(&folder);
        assert_eq!(got[..4], ["start", "server/discover", "initialize", "notifications/initialized"], "{before}");
        assert!(!bridge.status()[0].is_busy, "what was not answered is not waited for");
        bridge.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_configured_era_is_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = picky(&folder, "sys.exit(3)");
    upstream.era = Some(UpstreamEra::Session);
    let bridge = bridge(&[upstream.clone()]).await;
    assert_eq!(journal(&folder)[..2], ["start", "initialize"]);
    bridge.shutdown().await;
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = picky(&folder, "pass");
    (upstream.era, upstream.required) = (Some(UpstreamEra::Stateless), false);
    let bridge = crate::bridge::support::bridge(&[upstream]).await;
    until(|| bridge.status()[0].reason.as_deref().is_some_and(|reason| reason.contains("2026-07-28"))).await;
    assert!(!journal(&folder).contains(&"initialize".to_owned()));
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_what_was_found_is_asked_again_when_it_turns_out_wrong() {
    let is_new = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = std::sync::Arc::clone(&is_new);
    // It is replaced by a server of the stateless era: the session is forgotten, `initialize` refused.
    let server = FakeServer::start(move |got| {
        if !flag.load(std::sync::atomic::Ordering::SeqCst) {
            return None;
        }
        let id = got.json()["id"].clone();
        let result = |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
        match got.method().as_str() {
            "server/discover" => result(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})),
            "tools/call" if got.header("mcp-session-id").is_empty() => {
                result(json!({"resultType": "complete", "content": [{"type": "text", "text": "new"}]}))
            }
            "tools/list" if got.header("mcp-session-id").is_empty() => None,
            _ => Some(Reply::status(404)),
        }
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    is_new.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(client.tool("echo", &json!({})).await.contains("forgot"));
    until(|| server.got_of("server/discover").len() == 2 && bridge.status()[0].is_up).await;
    assert_eq!(client.tool("echo", &json!({})).await, "new");
    assert_eq!(server.got_of("initialize").len(), 2, "once it was taken for what it was");
    assert!(server.got_of("tools/call").iter().skip(1).all(|got| got.header("mcp-protocol-version") == ["2026-07-28"]));
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_slow_server_of_the_new_era_is_not_taken_for_one_of_the_old() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/stateless_server.py");
    let slow = format!(
        "import time, runpy, sys; time.sleep(2); sys.argv = ['x']; runpy.run_path('{script}', run_name='__main__')"
    );
    let bridge = bridge(&[command("slow", "python3", &["-c", &slow])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let answer = client.raw(&request("1", "tools/list", &json!({}))).await;
    assert!(
        answer.contains("\"resultType\":\"complete\"") || answer.contains("\"resultType\": \"complete\""),
        "{answer}"
    );
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_late_refusal_of_initialize_says_nothing_of_the_era_that_was_found() {
    // As the Python SDK 2: whoever was asked server/discover first is refused initialize, which a slow start brings about.
    let script = r#"
import json, sys, time
time.sleep(1.5)
held = []
def put(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, id = message["method"], message.get("id")
    if method == "server/discover":
        put({"id": id, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
    elif method == "initialize":
        held.append(id)
    elif id is not None:
        while held:
            put({"id": held.pop(), "error": {"code": -32022, "message": "m", "data": {"supported": ["2026-07-28"], "requested": "2025-11-25"}}})
        lists = {"tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}}
        put({"id": id, "result": {"resultType": "complete", "content": [{"type": "text", "text": "still here"}], **lists.get(method, {})}})
"#;
    let bridge = bridge(&[command("slow", "python3", &["-c", script])]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("t", &json!({})).await, "still here");
    assert!(bridge.status()[0].is_up && bridge.status()[0].restarts == 0, "{:?}", bridge.status());
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_server_that_refuses_the_version_it_offers_is_asked_again() {
    let refused = std::sync::atomic::AtomicBool::new(false);
    let server = FakeServer::start(move |got| {
        let id = got.json()["id"].clone();
        let data = json!({"supported": ["2026-07-28"], "requested": "2026-07-28"});
        let refusal = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32022, "message": "m", "data": data}});
        match got.method().as_str() {
            _ if !refused.swap(true, std::sync::atomic::Ordering::SeqCst) => {
                let headers = vec![("Content-Type", "application/json".to_owned())];
                Some(Reply::Whole { status: 400, headers, body: refusal.to_string() })
            }
            "server/discover" => {
                let result = json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}});
                Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})))
            }
            "tools/call" => Some(Reply::result(&id, "new")),
            _ => None,
        }
    })
    .await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("echo", &json!({})).await, "new");
    assert_eq!((server.got_of("server/discover").len(), server.got_of("initialize").len()), (2, 0));
    bridge.shutdown().await;
}

/// A server that changes its era at one address. Its tool says of which it is.
async fn changing(era: Arc<AtomicBool>) -> FakeServer {
    FakeServer::start(move |got| {
        let (id, is_stateless) = (got.json()["id"].clone(), era.load(Ordering::Relaxed));
        let result = |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
        let refused = |code: i32, data: Value| {
            let error =
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "refused", "data": data}});
            let headers = vec![("Content-Type", "application/json".to_owned())];
            Some(Reply::Whole { status: 400, headers, body: error.to_string() })
        };
        if got.line.starts_with("GET") {
            return Some(Reply::status(405));
        }
        let said = |era: &str| result(json!({"content": [{"type": "text", "text": era}]}));
        match (is_stateless, got.method().as_str()) {
            (false, "initialize" | "notifications/initialized") => None,
            (false, _) if got.header("mcp-session-id").is_empty() => refused(-32000, Value::Null),
            (false, "tools/call") => said("of sessions"),
            (false, _) => None,
            (true, _) if got.header("mcp-protocol-version") != ["2026-07-28"] => {
                refused(-32022, json!({"supported": ["2026-07-28"], "requested": "2025-06-18"}))
            }
            (true, "server/discover") => result(
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
            ),
            (true, "tools/list") => result(
                json!({"resultType": "complete", "tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
            ),
            (true, "tools/call") => said("stateless"),
            (true, _) => Some(Reply::status(202)),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_server_behind_a_url_that_comes_back_in_the_other_era_is_asked_again() {
    let is_stateless = Arc::new(AtomicBool::new(false));
    let server = changing(Arc::clone(&is_stateless)).await;
    let bridge = bridge(&[http("h", &server.url)]).await;
    let client = Client::connect(&bridge, "ada").await;
    for (era, said) in [(false, "of sessions"), (true, "stateless"), (false, "of sessions")] {
        is_stateless.store(era, Ordering::Relaxed);
        for _ in 0..2000 {
            if client.tool("echo", &json!({})).await == said {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(client.tool("echo", &json!({})).await, said);
    }
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_9_a_server_behind_a_url_that_is_in_trouble_is_not_taken_for_another() {
    for is_stateless in [true, false] {
        let is_up = Arc::new(AtomicBool::new(true));
        let usual = Arc::clone(&is_up);
        let server = FakeServer::start(move |got| {
            let id = got.json()["id"].clone();
            let whole = |status: u16, kind: &str, body: String| {
                Some(Reply::Whole { status, headers: vec![("Content-Type", kind.to_owned())], body })
            };
            let result =
                |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
            let is_asked = got.method() == "server/discover";
            match (is_stateless, got.method().as_str()) {
                _ if got.line.starts_with("GET") => Some(Reply::status(405)),
                (true, _) if is_asked && !usual.load(Ordering::Relaxed) => Some(Reply::status(503)),
                (true, "server/discover") => result(
                    json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
                ),
                (false, "server/discover") => whole(400, "text/plain", "what?".to_owned()),
                (true, "tools/list") => result(
                    json!({"resultType": "complete", "tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
                ),
                (_, "tools/call") if got.call().2["bad"] == true => {
                    let error = json!({"code": -32020, "message": "a fault of the tool's own"});
                    let error = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
                    if is_stateless { whole(400, "text/plain", "blocked".to_owned()) } else { whole(400, "application/json", error) }
                }
                (_, "tools/call") => result(json!({"content": [{"type": "text", "text": "well"}]})),
                _ => None,
            }
        })
        .await;
        let bridge = bridge(&[http("h", &server.url)]).await;
        let client = Client::connect(&bridge, "ada").await;
        let asked = server.got_of("server/discover").len();
        is_up.store(false, Ordering::Relaxed);
        let bad = client.rpc("tools/call", &json!({"name": "echo", "arguments": {"bad": true}})).await;
        assert!(bad["error"].is_object(), "{bad}");
        until(|| server.got_of("server/discover").len() > asked).await;
        assert_eq!(client.tool("echo", &json!({})).await, "well");
        // Answered after the question that was asked before it, or the connection is lost by now.
        assert_eq!(client.tool("echo", &json!({})).await, "well");
        assert!(bridge.status()[0].is_up && bridge.status()[0].restarts == 0, "{is_stateless} {:?}", bridge.status());
        bridge.shutdown().await;
    }
}
