//! Upstreams of one's own: how many there may be, and what becomes of one that nobody waited for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Got, Reply};
use super::support::{
    Client, LONG, bridge, builtin, child, command, http, notification, options, request, tool_call, until,
};
use crate::children::support::{all_there, fixture, marker, none_left, processes};
use mcp_bridge::bridge::pool::Limits;
use mcp_bridge::bridge::{Answer, Bridge, Options, Refusal};
use mcp_bridge::config::section::{Isolation, Upstream, UpstreamKind};
use mcp_bridge::protocol::mcp::mirror::Field;

fn isolated(upstream: Upstream, isolation: Isolation) -> Upstream {
    Upstream { isolation, required: false, ..upstream }
}

async fn within(limits: Limits, upstreams: &[Upstream]) -> Arc<Bridge> {
    Bridge::start(upstreams, Options { limits, ..options() }).await.unwrap()
}

fn end(client: &Client) {
    let ended = client.bridge.end(&client.principal, client.session.as_deref(), Field::Absent);
    assert!(matches!(ended, Answer::Ended), "{ended:?}");
}

#[tokio::test]
async fn child_17_at_the_cap_a_newcomer_is_told_so_and_nobody_loses_theirs() {
    let limits = Limits { children: 2, ..Limits::default() };
    let bridge = within(limits, &[isolated(child("c", &[]), Isolation::PerUser)]).await;
    let (ada, bob) = (Client::connect(&bridge, "ada").await, Client::new(&bridge, "bob"));
    assert_eq!(bob.tool("echo", &json!({"text": "x"})).await, "x");
    let eve = Client::new(&bridge, "eve");
    for body in [
        request("1", "initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}})),
        tool_call("1", "echo", &json!({"text": "x"})),
        request("1", "tools/list", &json!({})),
    ] {
        let refusal = eve.refusal(&body).await;
        assert!(
            matches!(&refusal, Refusal::Full { upstream, retry_after } if upstream == "c" && !retry_after.is_zero())
        );
        let body: Value = serde_json::from_slice(&refusal.body(b"7")).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains("as many as it can"), "{body}");
    }
    assert_eq!(bridge.sessions(), 1, "no session without what it is for");
    assert_eq!(bridge.status()[0].tenants, Some(2));
    for client in [&ada, &bob] {
        assert_eq!(client.tool("echo", &json!({"text": "y"})).await, "y");
        assert_eq!(client.seen().await.iter().filter(|line| line.contains("\"initialize\"")).count(), 1);
    }
    bridge.shutdown().await;
}

#[tokio::test]
async fn child_17_one_person_cannot_take_all() {
    let limits = Limits { children_per_person: 1, ..Limits::default() };
    let bridge = within(limits, &[isolated(child("c", &[]), Isolation::PerSession), builtin("me")]).await;
    let (first, second) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "ada").await);
    assert_eq!(first.tool("c__echo", &json!({"text": "x"})).await, "x");
    // The second has what else there is, and is told what it does not have.
    assert_eq!(second.tool("me__echo", &json!({"text": "x"})).await, "x");
    assert!(matches!(second.refusal(&tool_call("1", "c__echo", &json!({}))).await, Refusal::Full { .. }));
    assert!(matches!(
        second.refusal(&request("1", "resources/read", &json!({"uri": "test:shared"}))).await,
        Refusal::Full { .. }
    ));
    let other = Client::connect(&bridge, "bob").await;
    assert_eq!(other.tool("c__echo", &json!({"text": "x"})).await, "x");
    // When the first leaves, and its process is gone, there is room.
    end(&first);
    let mut stream = second.listen();
    let mut answer = second.post(&tool_call("1", "c__echo", &json!({"text": "x"}))).await;
    while let Answer::Refused { refusal: Refusal::Full { .. }, .. } = answer {
        answer = second.post(&tool_call("1", "c__echo", &json!({"text": "x"}))).await;
    }
    assert!(matches!(answer, Answer::Message { .. }), "{answer:?}");
    assert_eq!(stream.value().await["method"], "notifications/tools/list_changed", "it was told of what came late");
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_session_began_leaves_no_process() {
    let marker = marker();
    let file = fixture("fake_mcp_server.py");
    let mut upstream = command("c", "python3", &[&file, "--marker", &marker, "--mute", "initialize"]);
    upstream = isolated(upstream, Isolation::PerSession);
    let bridge = bridge(&[upstream]).await;
    let leaving = Client::new(&bridge, "ada");
    let initialize = request("1", "initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    tokio::select! {
        answer = leaving.post(&initialize) => panic!("{answer:?}"),
        () = until(|| processes(&marker).len() == 2) => {}
    }
    assert_eq!(bridge.sessions(), 0);
    until(|| processes(&marker).is_empty()).await;
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_process_that_never_speaks_is_waited_for_as_long_as_it_may_take() {
    let file = fixture("fake_mcp_server.py");
    let mut mute = isolated(command("c", "python3", &[&file, "--mute", "initialize"]), Isolation::PerUser);
    let UpstreamKind::Stdio(command) = &mut mute.kind else { panic!() };
    command.startup_timeout = Duration::from_millis(300);
    let bridge = bridge(&[mute]).await;
    let answer = Client::new(&bridge, "ada").tool("echo", &json!({})).await;
    assert!(answer.contains("not available"), "{answer}");
    until(|| !bridge.status()[0].is_up).await;
    assert!(bridge.status()[0].reason.as_ref().unwrap().starts_with("1 of 1: "));
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_waits_for_the_processes_of_all_tenants() {
    let marker = marker();
    let file = fixture("fake_mcp_server.py");
    let fake = |name: &str| command(name, "python3", &[&file, "--marker", &marker, "--ignore-eof"]);
    let own = isolated(fake("own"), Isolation::PerUser);
    let bridge = bridge(&[own, isolated(fake("each"), Isolation::PerSession), fake("all")]).await;
    let (ada, bob) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "bob").await);
    all_there(&marker, 10);
    end(&ada);
    bob.rpc("ping", &json!({})).await;
    bridge.shutdown().await;
    none_left(&marker, Duration::ZERO);
}

#[tokio::test]
async fn what_a_session_cancels_and_leaves_is_its_own() {
    let bridge = bridge(&[isolated(child("c", &[]), Isolation::PerUser)]).await;
    let (one, other) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "ada").await);
    let held = |client: &Client, id: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.raw(&tool_call(id, "hold", &json!({}))).await })
    };
    let (mine, same_id) = (held(&one, "7"), held(&other, "7"));
    let count = |seen: Vec<String>, what: &str| seen.iter().filter(|line| line.contains(what)).count();
    while count(one.seen().await, "\"hold\"") < 2 {}
    one.post(&notification("notifications/cancelled", &json!({"requestId": 7}))).await;
    assert!(mine.await.unwrap().contains("cancelled"));
    assert_eq!(count(one.seen().await, "notifications/cancelled"), 1);
    // The process outlives one of two sessions, and the call of the other goes on to the session's end.
    end(&one);
    assert_eq!(count(other.seen().await, "notifications/cancelled"), 1);
    assert!(!same_id.is_finished());
    end(&other);
    assert!(tokio::time::timeout(LONG, same_id).await.unwrap().unwrap().contains("ended"));
    bridge.shutdown().await;
}

fn ok(got: &Got) -> Option<Reply> {
    let (id, ..) = got.call();
    (got.method() == "tools/call").then(|| Reply::result(&id, "ok"))
}

#[tokio::test]
async fn a_url_gets_a_connection_for_each_session() {
    let server = FakeServer::start(ok).await;
    let bridge = bridge(&[isolated(http("h", &server.url), Isolation::PerSession)]).await;
    let (one, other) = (Client::connect(&bridge, "ada").await, Client::connect(&bridge, "ada").await);
    assert_eq!(
        (one.tool("echo", &json!({})).await, other.tool("echo", &json!({})).await),
        ("ok".to_owned(), "ok".to_owned())
    );
    assert_eq!(server.got_of("initialize").len(), 2);
    end(&one);
    until(|| server.got().iter().any(|got| got.line.starts_with("DELETE"))).await;
    assert_eq!(other.tool("echo", &json!({})).await, "ok");
    bridge.shutdown().await;
}
