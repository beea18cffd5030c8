//! The stateless era, results of a server that knows sessions: what is added, what is mapped, what belongs to a call.

use std::time::Duration;

use serde_json::{Value, json};

use crate::mcp::{child, journal, until, with_stateless};
use crate::support::app::BASIC;
use crate::support::browser::Page;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::stateless::refusal;
use crate::support::{App, Client, Stateless};

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

#[tokio::test]
async fn d_17_discover_tells_what_initialize_would() {
    let (_app, client) = with_stateless(", \"--instructions\", \"Be kind.\"").await;
    let result = client.call("server/discover", json!({})).await["result"].clone();
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!(result["capabilities"]["resources"], json!({"subscribe": true, "listChanged": true}));
    assert_eq!(result["instructions"], "Be kind.");
    assert_eq!(result["_meta"][SERVER_INFO]["name"], "fake");
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
    assert!(result["ttlMs"].is_u64());
}

#[tokio::test]
async fn d_17_several_servers_are_discovered_as_one() {
    let both = format!("one: {}\n  two: {}", child(""), child(", \"--without\", \"prompts\""));
    let app = App::with(&BASIC.replace("me: {builtin: whoami}", &both));
    let client = Stateless::new(&app, Client::register(&app).await.tokens().await.access());
    let result = client.call("server/discover", json!({})).await["result"].clone();
    assert_eq!(result["_meta"][SERVER_INFO]["name"], "mcp-bridge");
    assert_eq!(result["capabilities"]["prompts"]["listChanged"], true);
    let listed = client.call("tools/list", json!({})).await["result"].clone();
    assert_eq!((&listed["resultType"], &listed["ttlMs"]), (&json!("complete"), &json!(0)));
    let answer = client.tool("two__echo", json!({"a": 1})).await;
    assert_eq!(
        (&answer["result"]["resultType"], &answer["result"]["structuredContent"]["a"]),
        (&json!("complete"), &json!(1))
    );
}

#[tokio::test]
async fn d_18_and_23_every_result_says_that_it_is_complete_and_six_say_how_long_they_may_be_kept() {
    let (_app, client) = with_stateless("").await;
    let reference =
        json!({"ref": {"type": "ref/prompt", "name": "greeting"}, "argument": {"name": "name", "value": "x"}});
    for (method, params, is_cacheable) in [
        ("server/discover", json!({}), true),
        ("tools/list", json!({}), true),
        ("prompts/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        ("resources/read", json!({"uri": "fake://one"}), true),
        ("tools/call", json!({"name": "echo"}), false),
        ("prompts/get", json!({"name": "plain"}), false),
        ("completion/complete", reference, false),
    ] {
        let result = client.call(method, params).await["result"].clone();
        assert_eq!(result["resultType"], "complete", "{method}");
        assert_eq!(result["_meta"][SERVER_INFO]["name"], "fake", "{method}");
        assert_eq!(
            (result["ttlMs"].is_u64(), result["cacheScope"].is_string()),
            (is_cacheable, is_cacheable),
            "{method}"
        );
    }
}

#[tokio::test]
async fn d_18_and_23_what_a_server_says_in_words_of_another_version_is_not_taken_for_this_ones() {
    let (_app, client) = with_stateless("").await;
    for own in [
        json!({"resultType": "input_required", "requestState": "unsealed", "inputRequests": {}}),
        json!({"resultType": null, "_meta": null}),
        json!({"resultType": {"a": 1}, "ttlMs": -5, "cacheScope": "weird"}),
    ] {
        let mut result = json!({"content": [], "x": 1.5});
        result.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let got = client.tool("raw", json!({"result": result})).await["result"].clone();
        assert_eq!((&got["resultType"], got["_meta"][SERVER_INFO].is_object()), (&json!("complete"), true), "{own}");
        for (name, meant) in [("ttlMs", json!(0)), ("cacheScope", json!("private"))] {
            assert!(got.get(name).is_none_or(|hint| *hint == meant), "{own}: {}", got[name]);
        }
        assert_eq!(got["x"], 1.5);
    }
}

#[tokio::test]
async fn d_18_the_servers_own_bytes_stay() {
    let (app, client) = with_stateless("").await;
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize(&app, &token).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let (old, new) = (session.post(&list).await, client.page("tools/list", json!({})).await);
    let tools = old.body.strip_suffix("}}").unwrap();
    assert!(new.body.starts_with(tools) && new.body.len() > old.body.len(), "{}", new.body);
    assert!(new.body.contains("12345678901234567890"));
}

#[tokio::test]
async fn d_27_tools_come_in_the_same_order_every_time() {
    let (_app, client) = with_stateless("").await;
    let first = client.page("tools/list", json!({})).await.body;
    for _ in 0..5 {
        assert_eq!(client.page("tools/list", json!({})).await.body, first);
    }
}

#[tokio::test]
async fn the_server_gets_the_request_without_the_envelope() {
    let (_app, client) = with_stateless("").await;
    let params = json!({"name": "params", "arguments": {}, "inputResponses": {"x": {}}, "_meta": {"traceparent": "00-1", "a": 1}});
    let got = client.call("tools/call", params).await["result"]["structuredContent"].clone();
    assert_eq!(got, json!({"name": "params", "arguments": {}, "_meta": {"traceparent": "00-1", "a": 1}}));
}

#[tokio::test]
async fn d_25_codes_of_earlier_versions_become_those_of_today() {
    let (_app, client) = with_stateless("").await;
    let missing = client.call("resources/read", json!({"uri": "fake://nothing"})).await;
    assert_eq!(
        (&missing["error"]["code"], &missing["error"]["data"]["uri"]),
        (&json!(-32602), &json!("fake://nothing"))
    );
    for (code, expected) in [(-32002, -32602), (-32050, -32603), (-32000, -32000), (7, 7)] {
        assert_eq!(client.tool("error", json!({"code": code})).await["error"]["code"], expected);
    }
    let unknown = client.page("tools/call", json!({"name": "error", "arguments": {"code": -32601}})).await;
    assert_eq!(refusal(&unknown), (404, -32601));
    let crashed = client.tool("crash", json!({})).await;
    assert_eq!(crashed["error"]["code"], -32603, "an error of the bridge's own: {crashed}");
}

#[tokio::test]
async fn d_25_a_url_that_has_to_be_visited_first_is_asked_for() {
    let (_app, client) = with_stateless("").await;
    let wanted = json!({"mode": "url", "message": "Log in", "url": "https://x.example/", "elicitationId": "e1"});
    let arguments = json!({"code": -32042, "data": {"elicitations": [wanted]}});
    let able = client.clone().able(json!({"elicitation": {"url": {}}}));
    let asked = able.tool("error", arguments.clone()).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required");
    assert_eq!(asked["inputRequests"]["url-1"], json!({"method": "elicitation/create", "params": wanted}));
    let unable = client.page("tools/call", json!({"name": "error", "arguments": arguments})).await;
    assert_eq!(refusal(&unable), (400, -32021));
}

#[tokio::test]
async fn d_19_progress_comes_on_the_calls_own_stream() {
    let (_app, client) = with_stateless("").await;
    let params = json!({"name": "progress", "arguments": {"steps": 3}, "_meta": {"progressToken": "mine"}});
    let mut stream = Events::of(client.send(5, "tools/call", params).await);
    for _ in 0..3 {
        let progress = stream.next().await.unwrap();
        assert_eq!(
            (&progress["method"], &progress["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!("mine"))
        );
    }
    let last = stream.next().await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(5), &json!("complete")));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn d_22_log_messages_come_to_a_request_that_asks_for_them_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (_app, client) = with_stateless(&format!(", \"--journal\", \"{}\"", path.display())).await;
    let call = |level: Option<&str>, said: &str| {
        let mut params = json!({"name": "log", "arguments": {"level": said, "count": 2}});
        if let Some(level) = level {
            params["_meta"] = json!({"io.modelcontextprotocol/logLevel": level});
        }
        params
    };
    let messages = async |level: Option<&str>, said: &str| {
        let page = client.page("tools/call", call(level, said)).await;
        assert!(last_message(&page)["result"].is_object(), "{page:?}");
        page.body.matches("notifications/message").count()
    };
    assert_eq!(messages(None, "emergency").await, 0);
    assert_eq!(messages(Some("warning"), "info").await, 0);
    assert_eq!(messages(Some("info"), "info").await, 2);
    assert_eq!(messages(Some("debug"), "error").await, 2);
    assert_eq!(messages(None, "error").await, 0, "and the wish of one is not that of the next");
    assert_eq!(refusal(&client.page("tools/call", call(Some("loud"), "info")).await), (400, -32602));
    let levels: Vec<Value> = journal(&path)
        .into_iter()
        .filter(|got| got["method"] == "logging/setLevel")
        .map(|got| got["params"]["level"].clone())
        .collect();
    assert_eq!(levels, [json!("warning"), json!("info"), json!("debug")], "the server is told when it has to say more");
}

#[tokio::test]
async fn d_20_a_client_that_leaves_cancels_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let child = child(&format!(", \"--journal\", \"{}\"", path.display()));
    let yaml = BASIC.replace("me: {builtin: whoami}", &format!("fake: {child}"));
    let app = App::with(&yaml.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  sse_keepalive_interval: 1s"));
    let client = Stateless::new(&app, Client::register(&app).await.tokens().await.access());
    let params =
        json!({"name": "progress", "arguments": {"steps": 100, "milliseconds": 50}, "_meta": {"progressToken": 1}});
    let mut stream = Events::of(client.send(1, "tools/call", params).await);
    stream.next().await.unwrap();
    drop((stream, client));
    let cancelled = || journal(&path).into_iter().find(|got| got["method"] == "notifications/cancelled");
    until(|| cancelled().is_some()).await;
    let called = journal(&path).into_iter().find(|got| got["method"] == "tools/call").unwrap();
    assert_eq!(cancelled().unwrap()["params"]["requestId"], called["id"]);
}

#[tokio::test]
async fn d_20_a_client_that_leaves_while_nothing_comes_cancels_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let child = child(&format!(", \"--journal\", \"{}\"", path.display()));
    let yaml = BASIC.replace("me: {builtin: whoami}", &format!("fake: {child}"));
    let app = App::with(&yaml.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  sse_keepalive_interval: 1s"));
    let client = Stateless::new(&app, Client::register(&app).await.tokens().await.access());
    let call = client.send(1, "tools/call", json!({"name": "slow", "arguments": {"milliseconds": 60000}}));
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err(), "it is dropped in the middle");
    drop(client);
    until(|| journal(&path).iter().any(|got| got["method"] == "notifications/cancelled")).await;
}

#[tokio::test]
async fn a_slow_answer_comes_on_a_stream() {
    let (_app, client) = with_stateless("").await;
    let sent = client.send(1, "tools/call", json!({"name": "slow", "arguments": {"milliseconds": 2500}})).await;
    assert_eq!(sent.headers()["content-type"], "text/event-stream");
    assert_eq!(sent.headers()["x-accel-buffering"], "no");
    let page = Page::read(sent).await;
    assert_eq!(last_message(&page)["result"]["structuredContent"]["waited"], "time");
}

#[tokio::test]
async fn who_waits_on_a_stream_is_told_that_the_token_has_ended() {
    let yaml = BASIC.replace("me: {builtin: whoami}", &format!("fake: {}", crate::mcp::child("")));
    let app = App::with(&yaml.replace("mode: builtin", "mode: builtin\n    token_lifetime: 2s"));
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let client = Stateless::new(&app, &token);
    let params = json!({"name": "slow", "arguments": {"milliseconds": 60_000}});
    let page = client.page("tools/call", params).await;
    let last = last_message(&page);
    assert!(last["id"] == 1 && last["error"]["message"].as_str().unwrap().contains("token ended"), "{}", page.body);
}
