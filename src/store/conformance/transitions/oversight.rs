//! What the operator sees and ends.

use std::sync::Arc;

use crate::base::id::ClientId;
use crate::model::client::RegisteredClient;
use crate::store::conformance::sample::{ACCESS_TOKEN_LIFETIME, BOUNDS, NOW, POLICY, Sample, minutes};
use crate::store::{ClientBounds, DocumentChange, ListedClient, Store};

pub(in crate::store::conformance) async fn reg_17_the_operators_clients_never_make_room(store: &Arc<dyn Store>) {
    let kept = Sample::new("kept").client();
    store.add_operators_client(kept.clone()).await.unwrap();
    let other = Sample::new("other");
    store.add_operators_client(other.client()).await.unwrap();
    let bounds = ClientBounds { max_clients: 2, ..BOUNDS };
    let later = NOW + BOUNDS.unused_expiry + minutes(1);
    for name in ["a", "b", "c", "d"] {
        let client = RegisteredClient { registered_at: later, ..Sample::new(name).client() };
        assert!(store.add_client(client, bounds, later).await.unwrap().is_admitted);
    }
    let listed = store.list_clients(later).await.unwrap();
    let names: Vec<_> = listed.iter().map(|listed| (listed.client.id.as_str(), listed.client.by_operator)).collect();
    assert_eq!(names, [("kept", true), ("other", true), ("c", false), ("d", false)]);
    assert_eq!(listed[0], ListedClient { client: RegisteredClient { by_operator: true, ..kept }, grants: 0 });
    assert!(store.remove_client(&ClientId::new("kept"), None, later).await.unwrap());
}

pub(in crate::store::conformance) async fn a_grant_is_listed_while_a_token_of_it_may_work(store: &Arc<dyn Store>) {
    let (ann, ben) = (Sample::new("ann"), Sample::new("ben"));
    let grants = [ann.grant(&**store).await, ben.grant(&**store).await];
    let list = async |now| store.list_grants(now).await.unwrap();
    let both = list(NOW).await;
    assert_eq!(both.iter().map(|listed| &listed.grant).collect::<Vec<_>>(), grants.iter().collect::<Vec<_>>());
    assert!(both.iter().all(|listed| listed.refreshed_at.is_none()));
    ann.rotate(&**store, 1, NOW + minutes(3)).await;
    assert_eq!(list(NOW + minutes(3)).await[0].refreshed_at, Some(NOW + minutes(3)));
    let idle = NOW + POLICY.idle.max(ACCESS_TOKEN_LIFETIME);
    assert_eq!(
        list(idle).await.iter().map(|listed| &listed.grant).collect::<Vec<_>>(),
        [&grants[0]],
        "ben's has ended"
    );
    assert!(store.revoke_grant(&grants[0].id, NOW).await.unwrap());
    assert_eq!(list(NOW).await.len(), 1);
    assert_eq!(store.list_clients(NOW).await.unwrap().iter().map(|listed| listed.grants).sum::<usize>(), 1);
}

pub(in crate::store::conformance) async fn rt_10_what_a_client_was_granted_ends_and_the_client_stays(
    store: &Arc<dyn Store>,
) {
    let (ended, other) = (Sample::new("ended"), Sample::new("other"));
    let grant = ended.grant(&**store).await;
    let kept = other.grant(&**store).await;
    let id = ClientId::new("ended");
    store.record_document(&id, b"{}", DocumentChange::None, NOW).await.unwrap();
    assert!(store.revoke_grants_of_client(&id, NOW).await.unwrap());
    assert!(store.revoked().has_grant(&grant.id) && !store.revoked().has_grant(&kept.id));
    let (user, uri, resource) = (ended.user_id(), ended.consent().redirect_uri, ended.consent().resource);
    assert_eq!(store.find_consent(&user, &id, &uri, &resource).await.unwrap(), None, "the person is asked again");
    assert_eq!(store.find_document(&id).await.unwrap(), None);
    assert!(store.find_client(&id).await.unwrap().is_some());
    assert!(!store.revoke_grants_of_client(&id, NOW).await.unwrap(), "nothing is left");
    assert!(!store.revoke_grants_of_client(&ClientId::new("nobody"), NOW).await.unwrap());
}
