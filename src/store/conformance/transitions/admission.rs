//! Who is let in, and who makes room: clients and flows.

use std::sync::Arc;

use crate::base::id::{ClientId, FlowId};
use crate::model::authorization::Stage;
use crate::model::client::RegisteredClient;
use crate::store::conformance::sample::{BOUNDS, NOW, POLICY, Sample, digest, minutes};
use crate::store::{Admission, ClientBounds, Store, StoreError};

fn client_at(name: &str, minute: u64) -> RegisteredClient {
    RegisteredClient { registered_at: NOW + minutes(minute), ..Sample::new(name).client() }
}

async fn exists(store: &Arc<dyn Store>, name: &str) -> bool {
    store.find_client(&ClientId::new(name)).await.unwrap().is_some()
}

pub(in crate::store::conformance) async fn reg_17_only_clients_never_used_make_room(store: &Arc<dyn Store>) {
    let used = Sample::new("used");
    used.grant(&**store).await;
    for (name, minute, gone) in [("b", 2, None), ("a", 1, None), ("c", 3, Some("a"))] {
        let admission = store.add_client(client_at(name, minute), BOUNDS, NOW + minutes(3)).await.unwrap();
        let made_room = gone.into_iter().map(ClientId::new).collect();
        assert_eq!(admission, Admission { is_admitted: true, expired: Vec::new(), made_room });
    }
    assert!(!exists(store, "a").await, "the oldest never used made room");
    assert!(exists(store, "b").await && exists(store, "c").await && exists(store, "used").await);

    let one = ClientBounds { max_clients: 1, ..BOUNDS };
    assert!(
        !store.add_client(client_at("d", 4), one, NOW + minutes(4)).await.unwrap().is_admitted,
        "everyone left was used"
    );
    assert!(!exists(store, "d").await);
    assert!(exists(store, "b").await && exists(store, "c").await && exists(store, "used").await);
}

pub(in crate::store::conformance) async fn reg_17_clients_whose_grants_have_ended_make_room_last(
    store: &Arc<dyn Store>,
) {
    for name in ["first", "second"] {
        Sample::new(name).grant(&**store).await;
    }
    let (now, two) = (NOW + POLICY.absolute * 3, ClientBounds { max_clients: 2, ..BOUNDS });
    let at = |name: &str, now| RegisteredClient { registered_at: now, ..Sample::new(name).client() };
    assert!(!store.add_client(at("refused", NOW), two, NOW).await.unwrap().is_admitted, "both have a grant");
    store.remove_expired(POLICY, now).await.unwrap();
    assert!(
        exists(store, "first").await && exists(store, "second").await,
        "nobody is removed before the room is needed"
    );
    assert!(store.add_client(at("new", now), two, now).await.unwrap().is_admitted);
    assert!(!exists(store, "first").await && exists(store, "second").await);
    let now = now + minutes(2);
    assert!(store.add_client(at("newer", now), two, now).await.unwrap().is_admitted);
    assert!(!exists(store, "new").await && exists(store, "second").await, "who was never used goes first");
    let (revoked, one) = (Sample::new("revoked"), ClientBounds { max_clients: 1, ..BOUNDS });
    revoked.grant(&**store).await;
    assert!(!store.add_client(at("newest", now), one, now).await.unwrap().is_admitted, "it has a grant");
    store.revoke_grant(&revoked.code().grant, now).await.unwrap();
    assert!(store.add_client(at("newest", now), one, now).await.unwrap().is_admitted, "a revoked one does not count");
}

pub(in crate::store::conformance) async fn reg_17_who_is_logging_in_makes_room_last(store: &Arc<dyn Store>) {
    let (waiting, ended) = (Sample::new("waiting"), Sample::new("ended"));
    ended.grant(&**store).await;
    store.revoke_grant(&ended.code().grant, NOW).await.unwrap();
    waiting.approve(&**store).await;
    let add = |name, minute, bounds| store.add_client(client_at(name, minute), bounds, NOW + minutes(minute));
    let two = ClientBounds { max_clients: 2, ..BOUNDS };
    assert!(add("first", 1, two).await.unwrap().is_admitted);
    assert!(exists(store, "waiting").await && !exists(store, "ended").await);
    assert!(add("second", 3, two).await.unwrap().is_admitted);
    assert!(exists(store, "waiting").await && !exists(store, "first").await);
    let one = ClientBounds { max_clients: 1, ..BOUNDS };
    assert!(add("third", 5, one).await.unwrap().is_admitted, "but it does");
    assert!(!exists(store, "waiting").await);
}

pub(in crate::store::conformance) async fn reg_17_who_has_just_registered_is_about_to_log_in(store: &Arc<dyn Store>) {
    let (used, ended) = (Sample::new("used"), Sample::new("ended"));
    used.grant(&**store).await;
    ended.grant(&**store).await;
    store.revoke_grant(&ended.code().grant, NOW).await.unwrap();
    let add = |name, minute, most| {
        let bounds = ClientBounds { max_clients: most, ..BOUNDS };
        store.add_client(client_at(name, minute), bounds, NOW + minutes(minute))
    };
    assert!(add("first", 1, 3).await.unwrap().is_admitted);
    assert!(add("second", 1, 3).await.unwrap().is_admitted);
    assert!(exists(store, "first").await && !exists(store, "ended").await, "whose grants have ended makes room for it");
    assert!(add("third", 1, 3).await.unwrap().is_admitted, "when there is nobody else, it does");
    assert!(!exists(store, "first").await && exists(store, "second").await);
}

pub(in crate::store::conformance) async fn reg_17_a_flood_puts_out_itself_and_not_who_may_come_back(
    store: &Arc<dyn Store>,
) {
    let bounds = ClientBounds { max_clients: 20, ..BOUNDS };
    for number in 0..18 {
        let ended = Sample::new(&format!("ended {number}"));
        ended.grant(&**store).await;
        store.revoke_grant(&ended.code().grant, NOW).await.unwrap();
    }
    for number in 0..30 {
        let flooding = client_at(&format!("flood {number}"), 1);
        assert!(store.add_client(flooding, bounds, NOW + minutes(1)).await.unwrap().is_admitted);
    }
    let mut left = 0;
    for number in 0..18 {
        left += usize::from(exists(store, &format!("ended {number}")).await);
    }
    assert_eq!(left, 17, "as many as one in ten are about to log in, and the next");
}

pub(in crate::store::conformance) async fn clients_never_used_expire(store: &Arc<dyn Store>) {
    Sample::new("used").grant(&**store).await;
    let waiting = Sample::new("waiting");
    waiting.approve(&**store).await;
    assert!(store.add_client(client_at("young", 1), BOUNDS, NOW + minutes(1)).await.unwrap().is_admitted);
    let admission = store.add_client(client_at("new", 60), BOUNDS, NOW + minutes(60)).await.unwrap();
    assert_eq!((admission.is_admitted, admission.expired), (true, vec![ClientId::new("waiting")]));
    assert!(!exists(store, "waiting").await && exists(store, "young").await && exists(store, "used").await);
    assert_eq!(store.find_code(&waiting.code().digest).await.unwrap(), None, "its code has gone with it");
}

pub(in crate::store::conformance) async fn a_flow_moves_on_from_where_it_was_found(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let login = sample.flow();
    store.add_flow(login.clone(), NOW).await.unwrap();
    assert!(!store.advance_flow(&login, digest("x"), sample.consenting(), login.expires_at).await.unwrap(), "expired");
    assert!(store.advance_flow(&login, digest("new browser"), sample.consenting(), NOW).await.unwrap());
    assert!(!store.advance_flow(&login, digest("x"), Stage::Finished, NOW).await.unwrap(), "it is no longer there");

    let mut other_browser = login.clone();
    other_browser.stage = sample.consenting();
    assert!(!store.advance_flow(&other_browser, digest("x"), Stage::Finished, NOW).await.unwrap());
    let found = store.find_flow(&login.id, NOW).await.unwrap().unwrap();
    assert_eq!((found.browser, &found.stage), (digest("new browser"), &sample.consenting()));
    assert_eq!(found.request, login.request);
}

pub(in crate::store::conformance) async fn cons_10_a_flow_answers_once(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.approve(&**store).await;
    let finished = store.find_flow(&FlowId::new("a"), NOW).await.unwrap().unwrap();
    assert_eq!(finished.stage, Stage::Finished);
    let mut code = sample.code();
    code.digest = digest("second code");
    assert!(!store.approve_flow(&finished, code.clone(), sample.decided()).await.unwrap());
    assert!(!store.advance_flow(&finished, finished.browser, Stage::Login { afresh: false }, NOW).await.unwrap());
    assert_eq!(store.find_code(&code.digest).await.unwrap(), None);

    let denied = Sample::new("denied").flow();
    store.add_flow(denied.clone(), NOW).await.unwrap();
    assert!(store.advance_flow(&denied, denied.browser, Stage::Finished, NOW).await.unwrap());
    assert!(!store.approve_flow(&denied, code.clone(), sample.decided()).await.unwrap());
    assert_eq!(store.find_code(&code.digest).await.unwrap(), None);
}

/// The flow has moved already when the code turns out to be taken.
pub(in crate::store::conformance) async fn an_approval_that_fails_changes_nothing(store: &Arc<dyn Store>) {
    let (first, second) = (Sample::new("first"), Sample::new("second"));
    first.approve(&**store).await;
    let flow = second.flow();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let failed = store.approve_flow(&flow, first.code(), second.decided()).await;
    assert!(matches!(failed, Err(StoreError::Broken(_))), "{failed:?}");
    assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), Some(flow.clone()));
    assert!(store.approve_flow(&flow, second.code(), second.decided()).await.unwrap());
}

pub(in crate::store::conformance) async fn flows_are_bounded(store: &Arc<dyn Store>) {
    let mut flow = Sample::new("a").flow();
    let mut additions = tokio::task::JoinSet::new();
    flow.id = FlowId::new("oldest");
    store.add_flow(flow.clone(), NOW).await.unwrap();
    for number in 1..=10_000 {
        let (store, mut flow) = (Arc::clone(store), flow.clone());
        flow.id = FlowId::new(number.to_string());
        additions.spawn(async move { store.add_flow(flow, NOW).await.unwrap() });
    }
    additions.join_all().await;
    assert_eq!(store.find_flow(&FlowId::new("oldest"), NOW).await.unwrap(), None);
    assert!(store.find_flow(&FlowId::new("10000"), NOW).await.unwrap().is_some());
}
