//! To whom something of a server belongs that says no more than a number or a name of the server's own.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::mcp::left::is_asked_again;
use crate::mcp::stateless_server::{Over, Rig};
use crate::mcp::{child, journal, until, with_child, with_stateless};
use crate::support::app::BASIC;
use crate::support::browser::Page;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::stateless::refusal;
use crate::support::{App, Client, Stateless};

const UPDATED: &str = "notifications/resources/updated";
const COMPLETE: &str = "notifications/elicitation/complete";

async fn session(app: &App, capabilities: Value) -> Session {
    Session::initialize_as(app, Client::register(app).await.tokens().await.access(), capabilities).await
}

fn call(id: u64, name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

fn calls(path: &Path) -> usize {
    journal(path).iter().filter(|got| got["method"] == "tools/call").count()
}

#[tokio::test]
async fn mcp_18_a_question_reaches_no_other_call_of_the_same_caller() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (_app, client) = with_stateless(&format!(", \"--journal\", \"{}\"", path("journal").display())).await;
    let client = client.able(json!({"elicitation": {}}));
    let begin = |name: &'static str, file: &str| {
        let arguments = json!({"method": "elicitation/create", "file": path(file)});
        let client = client.clone();
        tokio::spawn(async move { client.tool(name, arguments).await })
    };
    let asking = begin("ask", "ask");
    until(|| calls(&path("journal")) == 1).await;
    // The newer of two, on the one pipe of a child.
    let other = begin("slow", "done");
    until(|| calls(&path("journal")) == 2).await;
    std::fs::write(path("ask"), "").unwrap();
    let refused = asking.await.unwrap();
    assert!(refused.to_string().contains("cannot be attributed"), "{refused}");
    std::fs::write(path("done"), "").unwrap();
    let answered = other.await.unwrap();
    assert_eq!(answered["result"]["resultType"], "complete", "{answered}");
    let alone = client.tool("ask", json!({"method": "elicitation/create"})).await;
    assert_eq!(alone["result"]["resultType"], "input_required", "{alone}");
}

#[tokio::test]
async fn mcp_18_where_nobody_is_known_one_persons_open_question_keeps_anothers_from_being_put() {
    let none = format!("server: {{listen: 127.0.0.1:0, auth: {{type: none}}}}\nupstreams:\n  fake: {}\n", child(""));
    let known = BASIC.replace("me: {builtin: whoami}", &format!("fake: {}", child("")));
    for (yaml, is_known) in [(none, false), (known, true)] {
        let app = App::with(&yaml);
        let token =
            if is_known { Client::register(&app).await.tokens().await.access().to_owned() } else { String::new() };
        let client = Stateless::new(&app, &token).able(json!({"elicitation": {}}));
        let mut asked = Vec::new();
        for _ in 0..2 {
            let answer = client.tool("ask", json!({"method": "elicitation/create"})).await;
            asked.push(answer["result"]["resultType"].clone());
        }
        assert_eq!(asked, ["input_required", if is_known { "input_required" } else { "complete" }]);
    }
}

#[tokio::test]
async fn mcp_18_an_open_question_makes_way_for_others_after_a_minute() {
    let none = format!("server: {{listen: 127.0.0.1:0, auth: {{type: none}}}}\nupstreams:\n  fake: {}\n", child(""));
    let known = BASIC.replace("me: {builtin: whoami}", &format!("fake: {}", child("")));
    let elicit = json!({"method": "elicitation/create"});
    for (yaml, is_known) in [(none, false), (known, true)] {
        let app = App::with(&yaml);
        // Where people are known: one person, with two apps.
        let client = async || {
            let token =
                if is_known { Client::register(&app).await.tokens().await.access().to_owned() } else { String::new() };
            Stateless::new(&app, &token).able(json!({"elicitation": {}}))
        };
        let (first, other) = (client().await, client().await);
        let asks = async |client: &Stateless| client.tool("ask", elicit.clone()).await["result"].clone();
        let left = asks(&first).await;
        assert_eq!(left["resultType"], "input_required");
        for seconds in [0, 59, 1] {
            app.clock.advance(std::time::Duration::from_secs(seconds));
            // The question that comes too early is not put to anybody: it could still be the first one's.
            assert_eq!(asks(&other).await["resultType"], "complete", "{seconds} {is_known}");
        }
        is_asked_again(&other).await;
        let late = json!({"name": "ask", "arguments": elicit, "requestState": left["requestState"],
            "inputResponses": {}});
        assert_eq!(first.call("tools/call", late).await["error"]["code"], -32602);
    }
}

#[tokio::test]
async fn mcp_18_a_question_that_is_open_when_its_call_ends_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (_app, client) = with_stateless(&format!(", \"--journal\", \"{}\"", path.display())).await;
    let client = client.able(json!({"roots": {}}));
    let question = r#"{"jsonrpc":"2.0","id":"late","method":"roots/list"}"#;
    client.tool("write", json!({"text": question})).await;
    let is_answer = |got: &Value| got["id"] == "late" && got["error"].is_object();
    until(|| journal(&path).iter().any(is_answer)).await;
}

/// The POST of a message in which `"HERE"` is this JSON.
async fn post(client: &Stateless, message: &Value, here: &str) -> Page {
    let body = message.to_string().replace(r#""HERE""#, here);
    // In place of the body that stands there.
    Page::read(client.request(message).body(body).send().await.unwrap()).await
}

/// Asks `first`; gives what comes back when `then` comes back with the state, with something else in it each time.
async fn states(client: &Stateless, (name, arguments): (&str, Value), then: [(&str, &str); 3], first: &str) {
    let params = |name: &str| json!({"name": name, "arguments": arguments});
    let asked = last_message(&post(client, &client.message(1, "tools/call", params(name)), first).await);
    let asked = &asked["result"];
    assert_eq!(asked["resultType"], "input_required", "{first}: {asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap();
    for (index, (name, here)) in then.into_iter().enumerate() {
        let mut params = params(name);
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = json!({key: {"action": "accept", "content": {}}});
        let page = post(client, &client.message(2, "tools/call", params), here).await;
        let is_same = index == 2;
        assert_eq!(refusal(&page).1, if is_same { 0 } else { -32602 }, "{first} {name} {here}: {}", page.body);
        assert!(!is_same || last_message(&page)["result"]["content"].is_array(), "{first}: {}", page.body);
    }
}

#[tokio::test]
async fn c_19_a_state_is_bound_to_a_request_that_no_parser_has_room_for() {
    let (_app, parked) = with_stateless("").await;
    let rig = Rig::start(Over::Stdio, &[]).await;
    let able = json!({"elicitation": {}});
    let (parked, sealed) = (parked.able(able.clone()), rig.stateless(able));
    let digits = "123456789012345678901234567890";
    for (first, changed, same) in
        [("1", "2", "1"), ("1e400", "2e400", " 1e400"), (digits, "123456789012345678901234567891", digits)]
    {
        let then = |other| [(other, first), ("ask", changed), ("ask", same)];
        let arguments = json!({"method": "elicitation/create", "x": "HERE"});
        states(&parked, ("ask", arguments), then("demand"), first).await;
        states(&sealed, ("ask", json!({"x": "HERE"})), then("echo"), first).await;
    }
    for (first, changed) in [(r#""\ud800""#, r#""\ud801""#), (r#"{"a":1,"a":2}"#, r#"{"a":3,"a":2}"#)] {
        let then = [("demand", first), ("ask", changed), ("ask", first)];
        states(&parked, ("ask", json!({"method": "elicitation/create", "x": "HERE"})), then, first).await;
    }
}

#[tokio::test]
async fn a_resource_that_changes_as_it_is_subscribed_to_is_told_of() {
    let (app, client) = with_stateless(", \"--eager\"").await;
    let session = session(&app, json!({})).await;
    let mut stream = Events::of(session.listen().await);
    assert_eq!(session.call("resources/subscribe", json!({"uri": "fake://one"})).await["result"], json!({}));
    session.tool("grow", json!({})).await;
    assert_eq!(stream.next().await.unwrap()["method"], UPDATED);
    let wanted = json!({"notifications": {"resourceSubscriptions": ["fake://two"]}});
    let mut stream = Events::of(client.send(1, "subscriptions/listen", wanted).await);
    let mut next = async || stream.next().await.unwrap()["method"].as_str().unwrap().to_owned();
    assert_eq!(next().await, "notifications/subscriptions/acknowledged");
    client.tool("touch", json!({"uri": "fake://two"})).await;
    assert_eq!((next().await, next().await), (UPDATED.to_owned(), UPDATED.to_owned()));
}

#[tokio::test]
async fn who_was_refused_a_subscription_hears_nothing() {
    let app = with_child(", \"--reject\", \"resources/subscribe\"");
    let session = session(&app, json!({})).await;
    let mut stream = Events::of(session.listen().await);
    for _ in 0..2 {
        let refused = session.call("resources/subscribe", json!({"uri": "fake://one"})).await;
        assert_eq!(refused["error"]["code"], -32603, "each time by the server: {refused}");
    }
    let text = json!({"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": "fake://one"}}).to_string();
    session.tool("write", json!({"text": text})).await;
    session.tool("grow", json!({})).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn mcp_17_progress_of_a_clients_work_reaches_the_server_that_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let entry = |name: &str| format!("{name}: {}", child(&format!(", \"--journal\", \"{}\"", path(name).display())));
    let app = App::with(&BASIC.replace("me: {builtin: whoami}", &format!("{}\n  {}", entry("a"), entry("b"))));
    let session = session(&app, json!({"sampling": {}})).await;
    let params = json!({"messages": [], "maxTokens": 1, "_meta": {"progressToken": 1, "kept": 1.5}});
    let mut asked = Vec::new();
    for (id, name) in [(1, "a"), (2, "b")] {
        let message = call(id, &format!("{name}__ask"), json!({"method": "sampling/createMessage", "params": params}));
        let mut stream = Events::of(session.send(&message).await);
        let question = stream.next().await.unwrap();
        assert_eq!(question["params"]["_meta"]["kept"], 1.5, "{question}");
        asked.push((name, question, stream));
    }
    for (name, question, _) in &asked {
        let token = &question["params"]["_meta"]["progressToken"];
        let told = json!({"progressToken": token, "progress": 1, "message": name});
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": told});
        assert_eq!(session.post(&told).await.status, 202);
    }
    for (name, question, mut stream) in asked {
        let done = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"role": "assistant", "model": "m", "content": []}});
        assert_eq!(session.post(&done).await.status, 202);
        assert!(stream.next().await.unwrap()["result"].is_object());
        let all = journal(&path(name));
        let told: Vec<&Value> = all.iter().filter(|got| got["method"] == "notifications/progress").collect();
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert_eq!(told[0]["params"], json!({"progressToken": 1, "progress": 1, "message": name}));
    }
}

#[tokio::test]
async fn mcp_17_who_was_sent_to_a_page_hears_that_it_was_seen() {
    let app = with_child("");
    let able = json!({"elicitation": {"url": {}}});
    let (one, other) = (session(&app, able.clone()).await, session(&app, able).await);
    let (mut mine, mut theirs) = (Events::of(one.listen().await), Events::of(other.listen().await));
    let page = |id: &str| json!({"mode": "url", "elicitationId": id, "url": "https://x.example", "message": "go"});
    let asked = json!({"method": "elicitation/create", "params": page("e-1")});
    let mut stream = Events::of(one.send(&call(1, "ask", asked)).await);
    let question = stream.next().await.unwrap();
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}});
    assert_eq!(one.post(&reply).await.status, 202);
    assert!(stream.next().await.unwrap()["result"].is_object());
    // Or the call fails until the person has been there.
    let demanded = one.tool("error", json!({"code": -32042, "data": {"elicitations": [page("e-2")]}})).await;
    assert_eq!(demanded["error"]["code"], -32042);
    let complete = |id: &str| json!({"jsonrpc": "2.0", "method": COMPLETE, "params": {"elicitationId": id, "x": 1.5}});
    // After every call; and in the middle of somebody else's.
    one.tool("write", json!({"text": complete("e-1").to_string(), "late": true})).await;
    let answered = other.post(&call(2, "write", json!({"text": complete("e-2").to_string()}))).await;
    assert!(!answered.body.contains(COMPLETE), "{}", answered.body);
    other.tool("grow", json!({})).await;
    for id in ["e-1", "e-2"] {
        assert_eq!(mine.next().await.unwrap(), complete(id));
    }
    assert_eq!(theirs.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_field_that_is_meant_once_is_refused_when_it_comes_twice() {
    let app = with_child("");
    let session = session(&app, json!({})).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let post = || session.request(Method::POST).header("content-type", "application/json").body(ping.clone());
    assert_eq!(post().send().await.unwrap().status(), 200);
    for (name, value) in
        [("mcp-session-id", "other"), ("content-type", "text/plain"), ("mcp-protocol-version", "2025-11-25")]
    {
        let page = Page::read(post().header(name, value).send().await.unwrap()).await;
        assert_eq!(page.status, 400, "{name}: {}", page.body);
    }
    let get = session.request(Method::GET).header("accept", "text/event-stream");
    let twice = get.header("last-event-id", "l-1").header("last-event-id", "l-2");
    assert_eq!(twice.send().await.unwrap().status(), 400);
}
