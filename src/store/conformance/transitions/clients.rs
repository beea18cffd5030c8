//! Clients that change, come again, or are not used any more.

use std::sync::Arc;

use crate::base::id::ClientId;
use crate::model::client::{Authentication, RegisteredClient};
use crate::store::conformance::sample::{BOUNDS, NOW, POLICY, Sample, digest, minutes};
use crate::store::{ClientBounds, DocumentChange, Renewal, Store};

/// What is left of what a sample went through: its consent, its flow, its pending code, its grant.
async fn left(store: &Arc<dyn Store>, granted: &Sample, pending: &Sample, client: &ClientId) -> [bool; 4] {
    let consent = granted.consent();
    let found = store.find_consent(&consent.user, client, &consent.redirect_uri, &consent.resource).await.unwrap();
    let grant = store.find_refresh(&granted.refresh(1)).await.unwrap().unwrap().grant;
    [
        found.is_some(),
        store.find_flow(&pending.flow().id, NOW).await.unwrap().is_some(),
        store.find_code(&pending.code().digest).await.unwrap().is_some(),
        grant.revoked_at.is_none(),
    ]
}

/// A client with a grant, and another of its flows that has come as far as a code.
async fn in_use(store: &Arc<dyn Store>, client: &ClientId) -> (Sample, Sample) {
    let (granted, pending) = (Sample::new("granted"), Sample::new("pending"));
    for sample in [&granted, &pending] {
        let mut flow = sample.flow();
        flow.request.as_mut().unwrap().client_id = client.clone();
        store.add_flow(flow.clone(), NOW).await.unwrap();
        let mut code = sample.code();
        code.client_id = client.clone();
        let mut decided = sample.decided().unwrap();
        decided.consent.client_id = client.clone();
        assert!(store.approve_flow(&flow, code, Some(decided)).await.unwrap());
    }
    granted.redeem(&**store).await;
    (granted, pending)
}

pub(in crate::store::conformance) async fn clients_whose_grants_have_ended_expire_when_that_is_wanted(
    store: &Arc<dyn Store>,
) {
    let (ended, lasting) = (Sample::new("ended"), Sample::new("lasting"));
    let grant = ended.grant(&**store).await;
    lasting.grant(&**store).await;
    store.revoke_grant(&grant.id, NOW).await.unwrap();
    let exists = async |sample: &Sample| store.find_client(&sample.client().id).await.unwrap().is_some();
    let (later, bounds) = (NOW + POLICY.absolute * 2, ClientBounds { expiry: Some(minutes(60)), ..BOUNDS });
    store.remove_expired_clients(BOUNDS, later).await.unwrap();
    assert!(exists(&ended).await, "nobody expires where the configuration does not say so");
    let before = ClientBounds { expiry: Some(POLICY.absolute * 2 + minutes(1)), ..BOUNDS };
    store.remove_expired_clients(before, later).await.unwrap();
    assert!(exists(&ended).await, "nor too early");
    store.remove_expired_clients(bounds, later).await.unwrap();
    assert!(!exists(&ended).await && exists(&lasting).await, "REG-17: who has a grant never goes");
}

pub(in crate::store::conformance) async fn reg_26_who_registers_the_same_unused_is_known_again_where_nobody_manages_it(
    store: &Arc<dyn Store>,
) {
    let (fingerprint, later) = (digest("metadata and address"), NOW + minutes(30));
    let client = |name: &str| RegisteredClient {
        authentication: Authentication::None,
        fingerprint: Some(fingerprint),
        ..Sample::new(name).client()
    };
    let managed = client("a");
    assert!(managed.management.is_some() && store.add_client(managed.clone(), BOUNDS, NOW).await.unwrap().is_admitted);
    assert_eq!(store.renew_client(&digest("another"), later).await.unwrap(), Renewal::None);
    assert_eq!(store.renew_client(&fingerprint, later).await.unwrap(), Renewal::Managed);
    assert_eq!(store.find_client(&managed.id).await.unwrap(), Some(managed), "it stays what it was");
    let common = RegisteredClient { management: None, ..client("b") };
    assert!(store.add_client(common.clone(), BOUNDS, NOW).await.unwrap().is_admitted);
    let renewed = RegisteredClient { registered_at: later, ..common };
    assert_eq!(store.renew_client(&fingerprint, later).await.unwrap(), Renewal::Done(Box::new(renewed.clone())));
    assert_eq!(store.find_client(&renewed.id).await.unwrap(), Some(renewed.clone()), "and it stays so");
    in_use(store, &renewed.id).await;
    assert_eq!(
        store.renew_client(&fingerprint, later).await.unwrap(),
        Renewal::Managed,
        "once used, it is one client's alone"
    );
}

pub(in crate::store::conformance) async fn reg_24_an_update_ends_what_was_built_on_what_it_replaced(
    store: &Arc<dyn Store>,
) {
    let client = Sample::new("a").client();
    assert_eq!(store.update_client(client.clone(), NOW).await.unwrap(), None, "there is none");
    let id = client.id.clone();
    assert!(store.add_client(client.clone(), BOUNDS, NOW).await.unwrap().is_admitted);
    let (granted, pending) = in_use(store, &id).await;
    let used = RegisteredClient { last_granted_at: Some(NOW), ..client };
    let update = async |client: &RegisteredClient| {
        let ended = store.update_client(client.clone(), NOW).await.unwrap().unwrap();
        assert_eq!(store.find_client(&id).await.unwrap().as_ref(), Some(client));
        let left = left(store, &granted, &pending, &id).await;
        assert_eq!(ended, usize::from(!left[3]), "the grant, when it ended");
        left
    };
    let described = RegisteredClient { metadata: serde_json::Map::new(), may_refresh: false, ..used.clone() };
    assert_eq!(update(&described).await, [true; 4], "nothing that people saw has changed");
    let secret = Authentication::Secret(digest("another secret"));
    assert_eq!(update(&RegisteredClient { authentication: secret, ..used.clone() }).await, [true; 4]);
    let mut moved = used.clone();
    moved.redirect_uris.push("https://elsewhere.example/cb".to_owned());
    assert_eq!(update(&moved).await, [false, false, false, true]);
    assert_eq!(update(&RegisteredClient { authentication: Authentication::None, ..moved }).await, [false; 4]);
}

pub(in crate::store::conformance) async fn cimd_15_a_changed_document_ends_what_was_built_on_the_old_one(
    store: &Arc<dyn Store>,
) {
    let id = ClientId::new("https://client.example/x");
    let (granted, pending) = in_use(store, &id).await;
    let record = async |change| {
        let ended = store.record_document(&id, b"{}", change, NOW).await.unwrap();
        let left = left(store, &granted, &pending, &id).await;
        assert_eq!(ended, usize::from(!left[3]), "the grant, when it ended");
        left
    };
    assert_eq!(record(DocumentChange::None).await, [true; 4]);
    assert_eq!(record(DocumentChange::Destinations).await, [false, false, false, true]);
    assert_eq!(record(DocumentChange::Authentication).await, [false; 4]);
}
