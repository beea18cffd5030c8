//! What a server says by itself reaches the owner of its process and nobody else.

use serde_json::{Value, json};

use crate::children::support::folder;
use crate::isolation::{give, pid, session, token, with};
use crate::mcp::until;
use crate::support::Stateless;
use crate::support::mcp::{Events, Session};

async fn listening(session: &Session) -> Events {
    Events::of(session.listen().await)
}

async fn hears(stream: &mut Events) -> (String, Value) {
    let message = stream.next().await.unwrap();
    (message["method"].as_str().unwrap().to_owned(), message["params"]["uri"].clone())
}

fn updated(uri: &str) -> (String, Value) {
    ("notifications/resources/updated".to_owned(), json!(uri))
}

#[tokio::test]
async fn changes_are_told_to_the_owner_alone() {
    for isolation in ["per_user", "per_session"] {
        let app = with(&format!("fake: {{FAKE], isolation: {isolation}}}"));
        let (alice, bob) = (session(&app, "alice").await, session(&app, "rita").await);
        for (session, uris) in [(&alice, ["fake://one", "fake://two"]), (&bob, ["fake://one", "fake://item/9"])] {
            for uri in uris {
                session.call("resources/subscribe", json!({"uri": uri})).await;
            }
        }
        let (mut to_alice, mut to_bob) = (listening(&alice).await, listening(&bob).await);
        alice.tool("touch", json!({"uri": "fake://one"})).await;
        alice.tool("grow", json!({})).await;
        assert_eq!(hears(&mut to_alice).await, updated("fake://one"));
        assert_eq!(hears(&mut to_alice).await.0, "notifications/tools/list_changed");
        let listed = |session: Value| session["result"]["tools"].to_string().contains("grown_0");
        assert!(listed(alice.call("tools/list", json!({})).await));
        assert!(!listed(bob.call("tools/list", json!({})).await), "{isolation}");
        // Had it come to him, it would stand before this.
        give_touch(&bob, "fake://item/9").await;
        assert_eq!(hears(&mut to_bob).await, updated("fake://item/9"), "{isolation}");
    }
}

/// Rita may not write; `remember` of a resource's URI touches it.
async fn give_touch(session: &Session, uri: &str) {
    give(session, "remember", json!({"touch": uri})).await;
}

#[tokio::test]
async fn listeners_of_the_stateless_era_hear_of_their_own() {
    let app = with("fake: {FAKE], isolation: per_user}");
    let (alice, rita) = (token(&app, "alice").await, token(&app, "rita").await);
    let (alice, rita) = (Stateless::new(&app, &alice), Stateless::new(&app, &rita));
    let wanted = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["fake://one"]}});
    let mut to_alice = Events::of(alice.send(1, "subscriptions/listen", wanted.clone()).await);
    let mut to_rita = Events::of(rita.send(1, "subscriptions/listen", wanted).await);
    for stream in [&mut to_alice, &mut to_rita] {
        assert_eq!(hears(stream).await.0, "notifications/subscriptions/acknowledged");
    }
    alice.tool("grow", json!({})).await;
    assert_eq!(hears(&mut to_alice).await.0, "notifications/tools/list_changed");
    rita.tool("remember", json!({"touch": "fake://one"})).await;
    assert_eq!(hears(&mut to_rita).await, updated("fake://one"));
}

#[tokio::test]
async fn child_4_the_end_of_ones_process_disturbs_nobody_else() {
    let (_kept, folder) = folder();
    for isolation in ["per_user", "per_session"] {
        let app = with(&format!("fake: {{FAKE], isolation: {isolation}, restart_delay: 20ms}}"));
        let (alice, rita) = (session(&app, "alice").await, session(&app, "rita").await);
        rita.call("resources/subscribe", json!({"uri": "fake://one"})).await;
        let (mut to_alice, mut to_rita) = (listening(&alice).await, listening(&rita).await);
        let before = (pid(&alice).await, pid(&rita).await);
        let file = folder.join(isolation);
        let waiting = async { give(&rita, "slow", json!({"file": file})).await["waited"].clone() };
        let crash = async {
            let crashed = alice.tool("crash", json!({"signal": 9})).await;
            assert!(crashed["error"].is_object(), "{crashed}");
            for _ in 0..6 {
                // Three lists went, and came back.
                assert!(hears(&mut to_alice).await.0.ends_with("/list_changed"));
            }
            std::fs::write(&file, "").unwrap();
        };
        let (waited, ()) = tokio::join!(waiting, crash);
        assert_eq!(waited, "file");
        assert!(pid(&alice).await != before.0 && pid(&rita).await == before.1);
        give_touch(&rita, "fake://one").await;
        assert_eq!(hears(&mut to_rita).await, updated("fake://one"), "and no list of hers changed");
    }
}

#[tokio::test]
async fn mcp_19_a_question_outside_of_any_call_goes_to_the_only_session() {
    let (_kept, folder) = folder();
    for isolation in ["per_user", "per_session"] {
        let journal = folder.join(isolation);
        let journalled = format!("FAKE, --journal, \"{}\"]", journal.display());
        let app = with(&format!("fake: {{{journalled}, isolation: {isolation}}}"));
        let alice = session(&app, "alice").await;
        // Somebody else is there, too.
        let rita = session(&app, "rita").await;
        pid(&rita).await;
        let mut stream = listening(&alice).await;
        give(&alice, "ask_later", json!({})).await;
        let question = stream.next().await.unwrap();
        assert_eq!(question["method"], "roots/list", "{question}");
        let roots = json!({"roots": [{"uri": "file:///hers"}]});
        let answer = alice.post(&json!({"jsonrpc": "2.0", "id": question["id"], "result": roots})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        until(|| std::fs::read_to_string(&journal).unwrap().contains("file:///hers")).await;
    }
}

#[tokio::test]
async fn mcp_19_with_two_sessions_of_a_person_a_question_outside_of_any_call_is_nobodys() {
    let (_kept, folder) = folder();
    let journal = folder.join("journal");
    let app = with(&format!("fake: {{FAKE, --journal, \"{}\"], isolation: per_user}}", journal.display()));
    let (one, _other) = (session(&app, "alice").await, session(&app, "alice").await);
    give(&one, "ask_later", json!({})).await;
    until(|| std::fs::read_to_string(&journal).unwrap().contains("cannot be attributed")).await;
}

#[tokio::test]
async fn a_process_of_the_sessions_own_hears_when_its_roots_change() {
    let (_kept, folder) = folder();
    let journal = folder.join("journal");
    let app = with(&format!("fake: {{FAKE, --journal, \"{}\"], isolation: per_session}}", journal.display()));
    let alice = session(&app, "alice").await;
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    assert_eq!(alice.post(&changed).await.status, 202);
    until(|| std::fs::read_to_string(&journal).unwrap().contains("roots/list_changed")).await;
}
