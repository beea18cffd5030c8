//! What a server of the stateless era tells by itself: the bridge listens to it for clients of either era.

use serde_json::{Value, json};

use crate::mcp::stateless_server::{BOTH, Over, Rig};
use crate::mcp::until;
use crate::support::mcp::{Events, Session};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What the server was asked to tell, the latest.
fn asked(rig: &Rig) -> Value {
    rig.server
        .got("subscriptions/listen")
        .last()
        .map(|got| got["got"]["params"]["notifications"].clone())
        .unwrap_or_default()
}

/// What comes next but for updates, which may be told twice when what is listened for changed just before.
async fn changed(stream: &mut Events) -> Value {
    loop {
        let note = stream.next().await.unwrap();
        if note["method"] != "notifications/resources/updated" {
            return note;
        }
    }
}

async fn subscribe(session: &Session, uri: &str) -> Value {
    session.call("resources/subscribe", json!({"uri": uri})).await
}

#[tokio::test]
async fn su_changes_reach_sessions_and_listeners() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let (session, client) = (rig.session(json!({})).await, rig.stateless(json!({})));
        assert_eq!(asked(&rig), json!({"toolsListChanged": true}), "{over:?}");
        let mut own = Events::of(session.listen().await);
        let wanted =
            json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["fake://one", "other://x"]}});
        let mut listener = Events::of(client.send(9, "subscriptions/listen", wanted).await);
        let agreed = listener.next().await.unwrap();
        let expected = json!({"toolsListChanged": true, "resourceSubscriptions": ["fake://one"]});
        assert_eq!(agreed["params"]["notifications"], expected, "the server said so");
        assert_eq!(subscribe(&session, "fake://one").await["result"], json!({}));
        session.tool("touch", json!({"uri": "fake://one"})).await;
        let note = own.next().await.unwrap();
        assert_eq!(note["method"], "notifications/resources/updated");
        assert_eq!((&note["params"]["uri"], &note["params"]["x"]), (&json!("fake://one"), &json!(1.0)));
        let note = listener.next().await.unwrap();
        assert_eq!(
            (&note["method"], &note["params"]["_meta"][SUBSCRIPTION]),
            (&json!("notifications/resources/updated"), &json!(9))
        );
        session.tool("grow", json!({"name": "more"})).await;
        let note = changed(&mut own).await;
        assert_eq!(note["method"], "notifications/tools/list_changed");
        let note = changed(&mut listener).await;
        assert_eq!(
            (&note["method"], &note["params"]["_meta"][SUBSCRIPTION]),
            (&json!("notifications/tools/list_changed"), &json!(9))
        );
        assert!(client.call("tools/list", json!({})).await.to_string().contains("\"more\""));
        assert!(rig.server.got("resources/subscribe").is_empty());
    }
}

#[tokio::test]
async fn su_what_is_listened_for_follows_who_is_subscribed() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let (one, two) = (rig.session(json!({})).await, rig.session(json!({})).await);
        for uri in ["fake://one", "fake://two"] {
            assert_eq!(subscribe(&one, uri).await["result"], json!({}));
        }
        assert_eq!(subscribe(&two, "fake://one").await["result"], json!({}));
        let both = json!({"toolsListChanged": true, "resourceSubscriptions": ["fake://one", "fake://two"]});
        assert_eq!(asked(&rig), both);
        let refused = subscribe(&one, "other://x").await;
        assert!(refused["error"]["message"].to_string().contains("does not tell"), "{refused}");
        one.call("resources/unsubscribe", json!({"uri": "fake://one"})).await;
        one.call("resources/unsubscribe", json!({"uri": "fake://two"})).await;
        until(|| asked(&rig) == json!({"toolsListChanged": true, "resourceSubscriptions": ["fake://one"]})).await;
        two.request(reqwest::Method::DELETE).send().await.unwrap();
        until(|| asked(&rig) == json!({"toolsListChanged": true})).await;
        // Each new one ended the one before it, and no other.
        let opened = rig.server.got("subscriptions/listen").len();
        until(|| rig.server.events("closed") == opened - 1).await;
        let mut own = Events::of(one.listen().await);
        one.tool("grow", json!({"name": "more"})).await;
        assert_eq!(own.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn e_8_a_lost_subscription_is_asked_for_again_and_what_was_missed_is_told() {
    let rig = Rig::start(Over::Http, &["--drop-listeners", "FOLDER/drop"]).await;
    let session = rig.session(json!({})).await;
    assert_eq!(subscribe(&session, "fake://one").await["result"], json!({}));
    let mut own = Events::of(session.listen().await);
    let before = rig.server.got("subscriptions/listen").len();
    until(|| rig.server.events("closed") == before - 1).await;
    std::fs::write(rig.server.path("drop"), "").unwrap();
    until(|| rig.server.got("subscriptions/listen").len() > before).await;
    let mut told = [own.next().await.unwrap()["method"].clone(), own.next().await.unwrap()["method"].clone()];
    told.sort_by_key(ToString::to_string);
    assert_eq!(told[0], "notifications/resources/updated");
    assert!(told[1].to_string().contains("list_changed"), "{told:?}");
    assert_eq!(session.tool("echo", json!({})).await["result"]["resultType"], "complete", "the connection stands");
}
