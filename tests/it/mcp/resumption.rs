//! Streams that break and are taken up again. [MCP 2025-11-25, Resumability](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery)

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::mcp::with_child;
use crate::support::app::BASIC;
use crate::support::browser::Page;
use crate::support::mcp::{Event, Events, Session, initialize};
use crate::support::{App, Browser, Client};

async fn token(app: &App) -> String {
    Client::register(app).await.tokens().await.access().to_owned()
}

async fn session(app: &App) -> Session {
    Session::initialize_as(app, &token(app).await, json!({"roots": {}})).await
}

async fn session_of(app: &App, version: &'static str) -> Session {
    let mut session = Session::new(app, &token(app).await);
    session.id = Some(session.post(&initialize(version)).await.header("mcp-session-id").to_owned());
    session.version = version;
    session
}

fn with_settings(settings: &str) -> App {
    let yaml = BASIC.replace("listen: 127.0.0.1:0", &format!("listen: 127.0.0.1:0\n  session: {{{settings}}}"));
    App::with(&yaml.replace("me: {builtin: whoami}", &format!("fake: {}", super::child(""))))
}

fn call(id: &str, name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": name, "arguments": arguments, "_meta": {"progressToken": id}}})
}

/// A call that waits until the client is asked and has answered; and the stream, of which the question was read.
async fn asking(session: &Session) -> (Events, Event) {
    let mut stream = session.stream(&call("a", "ask", json!({}))).await;
    stream.event().await.unwrap();
    let question = stream.event().await.unwrap();
    assert_eq!(question.message()["method"], "roots/list");
    (stream, question)
}

async fn answer(session: &Session, question: &Event) {
    let roots = json!({"roots": [{"uri": "file:///kept"}]});
    let answer = json!({"jsonrpc": "2.0", "id": question.message()["id"], "result": roots});
    assert_eq!(session.post(&answer).await.status, 202);
}

fn steps(events: &[Event]) -> Vec<Value> {
    events
        .iter()
        .filter(|event| !event.data.is_empty())
        .map(|event| event.message()["params"]["progress"].clone())
        .collect()
}

#[tokio::test]
async fn every_event_has_an_id_of_its_own_that_tells_its_stream() {
    let app = with_child("");
    let session = session(&app).await;
    let (mut listening, mut ids) = (Events::of(session.listen().await), Vec::new());
    let first = listening.event().await.unwrap();
    assert_eq!((first.data.as_str(), first.retry), ("", Some(3000)), "nothing yet, and when to come back");
    session.tool("grow", json!({})).await;
    ids.push(vec![first.id, listening.event().await.unwrap().id]);
    for (name, count) in [("progress", 5), ("echo", 2)] {
        let events = session.stream(&call("c", name, json!({}))).await.all().await;
        assert_eq!(events.len(), count, "{events:?}");
        assert_eq!((events[0].data.as_str(), events[0].retry), ("", Some(3000)));
        assert!(events[1..].iter().all(|event| event.message().is_object() && event.retry.is_none()));
        ids.push(events.into_iter().map(|event| event.id).collect());
    }
    let streams: std::collections::HashSet<_> =
        ids.iter().map(|ids| ids[0].split('-').next().unwrap().to_owned()).collect();
    assert_eq!(streams.len(), 3);
    for ids in &ids {
        assert!(ids.iter().all(|id| id.split('-').next() == ids[0].split('-').next()), "{ids:?}");
    }
    let mut all: Vec<_> = ids.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 9);
}

#[tokio::test]
async fn clients_of_before_get_ids_but_no_event_without_data() {
    let app = with_child("");
    for version in ["2025-03-26", "2025-06-18"] {
        let session = session_of(&app, version).await;
        let events = session.stream(&call("c", "progress", json!({}))).await.all().await;
        assert_eq!(events.len(), 4, "{version}: {events:?}");
        assert!(events.iter().all(|event| event.retry.is_none() && !event.id.is_empty() && !event.data.is_empty()));
        let rest = Events::of(session.resume(&events[1].id).await).all().await;
        assert_eq!(steps(&rest), [json!(3), Value::Null], "{version}");
    }
}

#[tokio::test]
async fn a_broken_stream_goes_on_after_the_event_that_was_seen_last() {
    let app = with_child("");
    let session = session(&app).await;
    let (stream, question) = asking(&session).await;
    drop(stream);
    answer(&session, &question).await;
    let rest = Events::of(session.resume(&question.id).await).all().await;
    assert_eq!(rest.len(), 2, "where it stands, and the answer: {rest:?}");
    assert_eq!((rest[0].id.as_str(), rest[0].data.as_str()), (question.id.as_str(), ""));
    assert_eq!(rest[1].message()["id"], "a");
    assert!(rest[1].data.contains("file:///kept"));
    // From its beginning, too; and after its end there is nothing.
    let stream = question.id.split('-').next().unwrap();
    let again = Events::of(session.resume(&format!("{stream}-0")).await).all().await;
    let ids: Vec<_> = again.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, [&format!("{stream}-0"), question.id.as_str(), rest[1].id.as_str()]);
    assert_eq!(again[2].data, rest[1].data);
    assert_eq!(session.resume(&rest[1].id).await.status().as_u16(), 400, "nothing comes after the answer");
}

#[tokio::test]
async fn a_session_does_not_end_while_a_call_goes_on_whose_stream_was_taken_up() {
    let app = with_settings("timeout: 60s");
    let session = session(&app).await;
    let (mut stream, question) = asking(&session).await;
    let mut rest = Events::of(session.resume(&question.id).await);
    assert!(stream.event().await.is_none(), "the request that began it is over");
    app.clock.advance(Duration::from_secs(600));
    answer(&session, &question).await;
    assert!(rest.all().await[1].data.contains("file:///kept"));
    // And it is idle from the end of that call on.
    app.clock.advance(Duration::from_secs(59));
    assert_eq!(session.status().await, 200);
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(session.status().await, 404);
}

#[tokio::test]
async fn the_connection_before_ends_when_its_stream_is_taken_up() {
    let app = with_child("");
    let session = session(&app).await;
    let (mut stream, question) = asking(&session).await;
    let mut next = Events::of(session.resume(&question.id).await);
    assert!(stream.event().await.is_none(), "not read by two");
    answer(&session, &question).await;
    assert_eq!(next.next().await.unwrap()["id"], "a");
}

#[tokio::test]
async fn mcp_21_a_call_whose_client_left_goes_on_and_its_answer_waits() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let app = with_child(&format!(", \"--journal\", \"{}\"", journal.display()));
    let session = session(&app).await;
    let go = folder.path().join("go");
    // A client that takes both gets a stream once the answer takes a while.
    let mut stream = Events::of(session.send(&call("s", "slow", json!({"file": go}))).await);
    let begin = stream.event().await.unwrap();
    assert!(begin.data.is_empty());
    drop(stream);
    std::fs::write(&go, "").unwrap();
    let answer = Events::of(session.resume(&begin.id).await).next().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["structuredContent"]["waited"]), (&json!("s"), &json!("file")));
    let seen = std::fs::read_to_string(&journal).unwrap();
    assert!(seen.contains("\"slow\"") && !seen.contains("notifications/cancelled"), "{seen}");
}

#[tokio::test]
async fn the_end_of_the_session_is_the_end_of_its_calls_and_streams() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = folder.path().join("journal");
    let app = with_child(&format!(", \"--journal\", \"{}\"", journal.display()));
    let session = session(&app).await;
    let (stream, question) = asking(&session).await;
    let (mut open, _) = (session.stream(&call("b", "slow", json!({"milliseconds": 60_000}))).await, drop(stream));
    assert_eq!(session.request(Method::DELETE).send().await.unwrap().status().as_u16(), 204);
    assert!(open.next().await.unwrap()["error"].is_object(), "who still reads is told");
    assert_eq!(open.next().await, None);
    assert_eq!(session.resume(&question.id).await.status().as_u16(), 404);
    // The server heard of both before it answers the next one.
    let next = Session::initialize(&app, session.authorization().trim_start_matches("Bearer ")).await;
    next.tool("echo", json!({})).await;
    assert_eq!(std::fs::read_to_string(&journal).unwrap().matches("notifications/cancelled").count(), 2);
}

#[tokio::test]
async fn mcp_12_an_event_of_another_session_is_not_found() {
    let app = with_child("");
    let client = Client::register(&app).await;
    let token = client.tokens().await.access().to_owned();
    let owner = Session::initialize_as(&app, &token, json!({"roots": {}})).await;
    let (mut stream, question) = asking(&owner).await;
    let mut listening = Events::of(owner.listen().await);
    let begin = listening.event().await.unwrap().id;
    let second = Session::initialize(&app, &token).await;
    for id in [&question.id, &begin] {
        assert_eq!(second.resume(id).await.status().as_u16(), 400, "the same person's other session");
    }
    let page = client.authorize(&mut Browser::new(), "rita", &[]).await;
    let rita = client.redeem(&page.answer("code").unwrap()).await.access().to_owned();
    for (token, status) in [(rita.as_str(), 404), ("none", 401)] {
        let mut thief = Session::new(&app, token);
        thief.id.clone_from(&owner.id);
        for id in [&question.id, &begin] {
            assert_eq!(thief.resume(id).await.status().as_u16(), status);
        }
    }
    answer(&owner, &question).await;
    assert_eq!(stream.next().await.unwrap()["id"], "a", "undisturbed");
    owner.tool("grow", json!({})).await;
    assert_eq!(listening.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn an_id_that_was_never_given_is_refused_and_no_stream_opened() {
    let app = with_child("");
    let session = session(&app).await;
    let mut listening = Events::of(session.listen().await);
    let begin = listening.event().await.unwrap().id;
    let stream = begin.split('-').next().unwrap();
    let unknown = ["p1-0", "p9-0", "g9-0", "g0-0", "x", "1", "g1", "g1-00", "\u{e9}"];
    for id in
        unknown.into_iter().map(str::to_owned).chain([format!("{stream}-1"), format!("{begin} ")[..].to_owned() + "x"])
    {
        let page = Page::read(session.resume(&id).await).await;
        assert_eq!((page.status, page.header("content-type")), (400, "application/json"), "{id}");
        assert!(page.body.contains("Last-Event-ID"), "{}", page.body);
    }
    // Without a value it is a new stream, as a browser would mean it.
    let mut another = Events::of(session.resume("").await);
    assert_ne!(another.event().await.unwrap().id, begin);
}

#[tokio::test]
async fn mcp_13_what_was_sent_on_one_stream_is_sent_again_on_no_other() {
    let app = with_child("");
    let session = session(&app).await;
    let mut first = Events::of(session.listen().await);
    let first_begin = first.event().await.unwrap().id;
    session.tool("grow", json!({})).await;
    let on_first = first.event().await.unwrap();
    let mut second = Events::of(session.listen().await);
    let second_begin = second.event().await.unwrap().id;
    session.tool("grow", json!({})).await;
    let on_second = second.event().await.unwrap();
    drop((first, second));
    for (begin, event) in [(&first_begin, &on_first), (&second_begin, &on_second)] {
        let mut again = Events::of(session.resume(begin).await);
        assert_eq!(again.event().await.unwrap().id, *begin);
        assert_eq!(again.event().await.unwrap().id, event.id, "its own alone");
        session.tool("grow", json!({})).await;
        let next = again.event().await.unwrap();
        assert!(next.id != on_second.id && next.id.split('-').next() == begin.split('-').next(), "{next:?}");
    }
}

#[tokio::test]
async fn what_comes_while_nobody_listens_comes_with_the_stream() {
    let app = with_child("");
    let session = session(&app).await;
    let mut listening = Events::of(session.listen().await);
    let begin = listening.event().await.unwrap().id;
    drop(listening);
    session.tool("grow", json!({})).await;
    let mut again = Events::of(session.resume(&begin).await);
    assert_eq!(again.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn as_many_events_of_a_stream_are_kept_as_is_configured() {
    let app = with_settings("replay_events: 2");
    let session = session(&app).await;
    let events = session.stream(&call("c", "progress", json!({"steps": 5}))).await.all().await;
    assert_eq!(events.len(), 7);
    let rest = Events::of(session.resume(&events[0].id).await).all().await;
    assert_eq!(steps(&rest), [json!(5), Value::Null], "the newest");
}

#[tokio::test]
async fn when_none_is_kept_no_event_has_an_id() {
    let app = with_settings("replay_events: 0");
    let session = session(&app).await;
    let events = session.stream(&call("c", "progress", json!({}))).await.all().await;
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event.id.is_empty()));
    let mut listening = Events::of(session.listen().await);
    session.tool("grow", json!({})).await;
    assert!(listening.event().await.unwrap().id.is_empty());
    assert_eq!(session.resume("p1-0").await.status().as_u16(), 400);
}

#[tokio::test]
async fn mcp_26_streams_end_with_their_token_and_go_on_with_the_next() {
    let app = with_child("");
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize_as(&app, tokens.access(), json!({"roots": {}})).await;
    let (mut stream, question) = asking(&session).await;
    let mut listening = Events::of(session.listen().await);
    let begin = listening.event().await.unwrap().id;
    assert_eq!(client.revoke(tokens.access()).await, 200);
    assert!(stream.event().await.is_none() && listening.event().await.is_none());
    assert_eq!(session.resume(&question.id).await.status().as_u16(), 401);
    let mut next = Session::new(&app, client.refresh(tokens.refresh()).await.access());
    next.id.clone_from(&session.id);
    let mut stream = Events::of(next.resume(&question.id).await);
    answer(&next, &question).await;
    assert_eq!(stream.next().await.unwrap()["id"], "a");
    next.tool("grow", json!({})).await;
    assert_eq!(
        Events::of(next.resume(&begin).await).next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
}

#[tokio::test]
async fn many_streams_at_once_each_with_its_own_messages() {
    let app = with_child("");
    let session = session(&app).await;
    let calls = (0..20).map(|number| {
        let session = &session;
        async move {
            let id = format!("call-{number}");
            let events =
                session.stream(&call(&id, "progress", json!({"steps": 3, "milliseconds": 1}))).await.all().await;
            let messages: Vec<_> = events.iter().skip(1).map(Event::message).collect();
            assert_eq!(messages.len(), 4, "{messages:?}");
            assert!(messages[..3].iter().all(|message| message["params"]["progressToken"] == id.as_str()));
            assert_eq!(messages[3]["id"], id.as_str());
            events
        }
    });
    let streams = futures_util::future::join_all(calls).await;
    for events in streams {
        let rest = Events::of(session.resume(&events[2].id).await).all().await;
        let (ids, expected): (Vec<_>, Vec<_>) =
            (rest[1..].iter().map(|e| &e.id).collect(), events[3..].iter().map(|e| &e.id).collect());
        assert_eq!(ids, expected);
    }
}
