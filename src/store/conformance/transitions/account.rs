//! What a person ends at the own account.

use std::sync::Arc;

use crate::base::secret::Secret;
use crate::model::browser_session::BrowserSession;
use crate::model::connection::Connection;
use crate::model::grant::Rotation;
use crate::store::conformance::sample::{ACCESS_TOKEN_LIFETIME, NOW, POLICY, Sample, digest, minutes};
use crate::store::{Ended, PasswordChange, Store};

/// A session of the person of `sample`, in another browser.
fn session(sample: &Sample, name: &str) -> BrowserSession {
    BrowserSession { digest: digest(name), device: name.to_owned(), ..sample.session() }
}

async fn devices(store: &Arc<dyn Store>, sample: &Sample) -> Vec<String> {
    let sessions = store.list_sessions(&sample.user_id(), NOW).await.unwrap();
    sessions.into_iter().map(|session| session.device).collect()
}

pub(in crate::store::conformance) async fn connections_are_the_grants_that_are_alive(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    let list = async |minute| {
        let now = NOW + minutes(minute);
        store.list_connections(&sample.user_id(), now - ACCESS_TOKEN_LIFETIME, now).await.unwrap()
    };
    let mut connection =
        Connection { client_id: grant.client_id, scopes: grant.scopes, connected_at: NOW, used_at: NOW };
    assert_eq!(list(0).await, [connection.clone()]);
    sample.rotate(&**store, 1, NOW + std::time::Duration::from_secs(59)).await;
    assert_eq!(list(1).await, [connection.clone()], "within a minute nothing is written");
    sample.rotate(&**store, 2, NOW + minutes(30)).await;
    connection.used_at = NOW + minutes(30);
    assert_eq!(list(30).await, [connection.clone()]);
    assert_eq!(list(89).await, [connection], "its refresh token is good for an hour from then");
    assert_eq!(list(90).await, []);
    assert_eq!(store.list_connections(&Sample::new("b").user_id(), NOW, NOW).await.unwrap(), [], "of nobody else");
}

pub(in crate::store::conformance) async fn cons_9_a_disconnected_app_has_nothing_left(store: &Arc<dyn Store>) {
    let (ended, stays, pending) = (Sample::new("ended"), Sample::new("stays"), Sample::new("pending"));
    for sample in [&ended, &stays] {
        sample.grant(&**store).await;
        store.add_session(sample.session()).await.unwrap();
    }
    pending.approve(&**store).await;
    let client = ended.client().id;
    assert!(!store.disconnect(&stays.user_id(), &client, NOW).await.unwrap(), "it is not that person's");
    assert!(!store.revoked().has_grant(&ended.code().grant));
    assert!(store.disconnect(&ended.user_id(), &client, NOW).await.unwrap());
    assert!(store.revoked().has_grant(&ended.code().grant), "in force before the answer");
    assert_eq!(ended.rotate(&**store, 1, NOW).await, Rotation::Unknown);
    assert_eq!(store.list_consents(&ended.user_id()).await.unwrap(), []);
    assert_eq!(store.list_connections(&ended.user_id(), NOW - ACCESS_TOKEN_LIFETIME, NOW).await.unwrap(), []);
    assert!(store.find_session(&ended.session().digest, NOW).await.unwrap().is_some(), "its person stays signed in");
    assert!(!store.disconnect(&ended.user_id(), &client, NOW).await.unwrap(), "once");

    assert!(store.disconnect(&pending.user_id(), &pending.client().id, NOW).await.unwrap());
    assert_eq!(store.find_code(&pending.code().digest).await.unwrap(), None, "nor what could become something");

    assert!(!store.revoked().has_grant(&stays.code().grant));
    assert_eq!(store.list_consents(&stays.user_id()).await.unwrap(), [stays.consent()]);
    assert!(matches!(stays.rotate(&**store, 1, NOW).await, Rotation::Rotated(_)));
}

pub(in crate::store::conformance) async fn signing_out_elsewhere_leaves_this_browser(store: &Arc<dyn Store>) {
    let (sample, other) = (Sample::new("a"), Sample::new("b"));
    for name in ["here", "phone", "office"] {
        store.add_session(session(&sample, name)).await.unwrap();
    }
    store.add_session(session(&other, "theirs")).await.unwrap();
    store.touch_session(&digest("office"), NOW + minutes(20)).await.unwrap();
    store.touch_session(&digest("here"), NOW + minutes(10)).await.unwrap();
    assert_eq!(devices(store, &sample).await, ["office", "here", "phone"], "the latest used first");
    assert_eq!(store.list_sessions(&sample.user_id(), NOW + minutes(60)).await.unwrap(), [], "they have expired");

    let flow = sample.flow();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    assert!(store.advance_flow(&flow, flow.browser, sample.consenting(), NOW).await.unwrap());
    let remove = async |only| store.remove_sessions_elsewhere(&sample.user_id(), &digest("here"), only).await.unwrap();
    assert_eq!(remove(Some(digest("theirs"))).await, 0, "nobody ends somebody else's");
    assert_eq!(remove(Some(digest("here"))).await, 0, "nor this one by mistake");
    assert_eq!(remove(Some(digest("phone"))).await, 1);
    assert_eq!(devices(store, &sample).await, ["office", "here"]);
    assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), None, "what waited for a yes somewhere");
    assert_eq!(remove(None).await, 1);
    assert_eq!(devices(store, &sample).await, ["here"]);
    assert_eq!(devices(store, &other).await, ["theirs"]);
}

pub(in crate::store::conformance) async fn a_changed_password_signs_out_elsewhere(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    assert!(store.add_user(sample.user()).await.unwrap());
    sample.grant(&**store).await;
    let change = |old: &str, new: &str, disconnects| PasswordChange {
        user: sample.user_id(),
        old: Secret::new(old),
        new: Secret::new(new),
        here: digest("here"),
        disconnects,
    };
    let hash = async || store.find_user(&sample.user_id()).await.unwrap().unwrap().password_hash;
    let sign_in = async || {
        for name in ["here", "phone"] {
            store.remove_session(&digest(name)).await.unwrap();
            store.add_session(session(&sample, name)).await.unwrap();
        }
    };
    sign_in().await;
    assert_eq!(store.change_password(change("not the old one", "new", true), NOW).await.unwrap(), None);
    assert_eq!((hash().await, devices(store, &sample).await.len()), (sample.user().password_hash, 2));

    let old = sample.user().password_hash;
    let changed = store.change_password(change(old.expose(), "new", false), NOW).await.unwrap();
    assert_eq!(changed, Some(Ended { grants: 0, sessions: 1 }));
    assert_eq!((hash().await.expose(), devices(store, &sample).await), ("new", vec!["here".to_owned()]));
    assert!(matches!(sample.rotate(&**store, 1, NOW).await, Rotation::Rotated(_)), "apps keep their access");
    let late = store.change_password(change(old.expose(), "later", false), NOW).await.unwrap();
    assert_eq!(late, None, "of two, one was late");

    sign_in().await;
    let changed = store.change_password(change("new", "newest", true), NOW).await.unwrap();
    assert_eq!(changed, Some(Ended { grants: 1, sessions: 1 }));
    assert!(store.revoked().has_grant(&sample.code().grant), "unless it is wanted otherwise");
    assert_eq!(devices(store, &sample).await, ["here"]);
    assert!(store.disable_user(&sample.user_id(), NOW).await.unwrap());
    let locked_out = store.change_password(change("newest", "x", false), NOW + POLICY.idle).await.unwrap();
    assert_eq!(locked_out, None, "who is locked out");
}
