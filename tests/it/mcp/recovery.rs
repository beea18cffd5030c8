//! A session outlives the server behind it.

use std::path::Path;

use serde_json::{Value, json};

use crate::mcp::{until, with_child};
use crate::support::mcp::{Events, Session};
use crate::support::{Client, Stateless};

/// What the server got since it was started last.
fn of_this_life(journal: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(journal).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let start = lines.iter().rposition(|line| line["event"] == "start").unwrap();
    lines.into_iter().skip(start).filter_map(|line| line.get("got").cloned()).collect()
}

async fn crashed(session: &Session, listening: &mut Events) {
    let crash = session.tool("crash", json!({"signal": 9})).await;
    assert!(crash["error"].is_object(), "{crash}");
    // Told once that everything went, and once that it came back.
    let mut lists = 0;
    while lists < 2 {
        lists += usize::from(listening.next().await.unwrap()["method"] == "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn child_4_what_a_live_session_set_up_is_there_again_after_a_crash() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let app = with_child(&format!(", \"--journal\", \"{}\"", journal.display()));
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let (session, other) = (Session::initialize(&app, &token).await, Session::initialize(&app, &token).await);
    session.call("resources/subscribe", json!({"uri": "fake://one"})).await;
    session.call("logging/setLevel", json!({"level": "warning"})).await;
    other.call("logging/setLevel", json!({"level": "error"})).await;
    let mut listening = Events::of(session.listen().await);
    crashed(&session, &mut listening).await;
    let got = of_this_life(&journal);
    let of = |method: &str| -> Vec<Value> {
        got.iter().filter(|message| message["method"] == method).map(|message| message["params"].clone()).collect()
    };
    assert_eq!(of("initialize").len(), 1);
    assert_eq!(of("notifications/initialized").len(), 1);
    assert_eq!(of("resources/subscribe"), [json!({"uri": "fake://one"})]);
    assert_eq!(of("logging/setLevel"), [json!({"level": "warning"})], "that of the most curious session");
    assert_eq!(of("tools/call"), Vec::<Value>::new(), "no call is made again");
    // And they work: the update arrives, the log message that is not severe enough does not.
    session.tool("touch", json!({"uri": "fake://one"})).await;
    let mut updated = listening.next().await.unwrap();
    while updated["method"].as_str().unwrap().ends_with("/list_changed") {
        updated = listening.next().await.unwrap();
    }
    assert_eq!(
        (&updated["method"], &updated["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("fake://one"))
    );
    for (level, count) in [("info", 0), ("error", 1)] {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "log", "arguments": {"level": level}}});
        let mut stream = session.stream(&call).await;
        let mut logged = 0;
        while let Some(message) = stream.next().await {
            logged += usize::from(message["method"] == "notifications/message");
        }
        assert_eq!(logged, count, "{level}");
    }
}

#[tokio::test]
async fn child_4_a_call_whose_client_is_away_when_its_server_dies_has_its_error_waiting() {
    let app = with_child("");
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize(&app, &token).await;
    let mut listening = Events::of(session.listen().await);
    let call = json!({"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": {"name": "slow", "arguments": {"milliseconds": 60_000}}});
    let mut away = session.stream(&call).await;
    let begin = away.event().await.unwrap().id;
    drop(away);
    crashed(&session, &mut listening).await;
    let error = Events::of(session.resume(&begin).await).next().await.unwrap();
    assert!(error["id"] == "w" && error["error"]["message"].is_string(), "{error}");
    assert!(session.tool("echo", json!({})).await["result"].is_object(), "the session goes on");
}

#[tokio::test]
async fn child_4_a_server_that_does_not_take_what_sessions_had_set_up_is_there_all_the_same() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let app = with_child(&format!(", \"--mute\", \"logging/setLevel\", \"--journal\", \"{}\"", journal.display()));
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = std::sync::Arc::new(Session::initialize(&app, &token).await);
    // Nobody waits for the answer, which takes long to come.
    let asking = std::sync::Arc::clone(&session);
    tokio::spawn(async move { asking.call("logging/setLevel", json!({"level": "warning"})).await });
    until(|| std::fs::read_to_string(&journal).unwrap().contains("logging/setLevel")).await;
    let mut listening = Events::of(session.listen().await);
    crashed(&session, &mut listening).await;
    assert!(session.tool("echo", json!({"a": 1})).await["result"].is_object());
    let listed = session.call("tools/list", json!({})).await;
    assert!(listed["result"]["tools"].as_array().unwrap().len() > 5, "{listed}");
    // Who wants less than a session does not undo what that is about to get.
    let params = json!({"name": "echo", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "error"}});
    assert!(Stateless::new(&app, &token).call("tools/call", params).await["result"].is_object());
    let got = crate::mcp::journal(&journal);
    let levels = got.iter().filter(|got| got["method"] == "logging/setLevel").map(|got| &got["params"]["level"]);
    assert_eq!(levels.collect::<Vec<_>>(), ["warning"; 3]);
}
