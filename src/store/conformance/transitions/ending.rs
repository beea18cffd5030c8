//! Every way a grant ends, and what is cleared away after it.

use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::id::{ClientId, FlowId, GrantId, UserId};
use crate::model::grant::{Grant, Redemption, RefreshPolicy, Rotation};
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::conformance::sample::{ACCESS_TOKEN_LIFETIME, NOW, POLICY, Sample, digest, enrolled, minutes};
use crate::store::{DocumentChange, Present, Store};

pub(in crate::store::conformance) async fn a_removed_client_takes_everything_along(store: &Arc<dyn Store>) {
    let (gone, stays) = (Sample::new("gone"), Sample::new("stays"));
    gone.grant(&**store).await;
    stays.grant(&**store).await;
    let mut flow = gone.flow();
    flow.id = FlowId::new("second");
    store.add_flow(flow.clone(), NOW).await.unwrap();

    assert!(store.remove_client(&ClientId::new("gone"), None, NOW).await.unwrap());
    assert!(store.find_client(&gone.client().id).await.unwrap().is_none());
    assert!(store.revoked().has_grant(&gone.code().grant) && !store.revoked().has_grant(&stays.code().grant));
    assert_eq!(gone.rotate(&**store, 1, NOW).await, Rotation::Unknown);
    assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), None);
    let asked = gone.consent();
    let found = store.find_consent(&asked.user, &asked.client_id, &asked.redirect_uri, &asked.resource).await;
    assert_eq!(found.unwrap(), None);
    assert!(matches!(stays.rotate(&**store, 1, NOW).await, Rotation::Rotated(_)));
}

/// Each leaves a refresh token, a code, a flow and a browser session behind, none of which may work afterwards.
pub(in crate::store::conformance) async fn rt_10_every_way_out_revokes_and_takes_pending_codes_along(
    store: &Arc<dyn Store>,
) {
    for (way, active) in ["password", "disable", "remove", "grants"].map(|way| (way, Sample::new(way))) {
        assert!(store.add_user(active.user()).await.unwrap());
        every_trace_goes(store, way, &active).await;
    }
    let at_provider = |way| (way, Sample::at("https://idp.example", &format!("federated {way}")));
    for (way, active) in ["disable", "remove", "grants"].map(at_provider) {
        assert!(store.record_account(active.account()).await.unwrap());
        every_trace_goes(store, way, &active).await;
    }
    every_trace_goes(store, "grants", &Sample::new("only configured")).await;
}

async fn every_trace_goes(store: &Arc<dyn Store>, way: &str, active: &Sample) {
    let (name, stays) = (&active.name, Sample::new(&format!("{} stays", active.name)).session());
    active.grant(&**store).await;
    let code = pending_code_of(store, active, &Sample::new(&format!("{name} pending"))).await;
    let mut flow = active.flow();
    flow.id = FlowId::new(format!("{name} flow"));
    flow.stage = active.consenting();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    for session in [active.session(), stays.clone()] {
        store.add_session(session).await.unwrap();
    }

    leave(store, way, &active.user_id()).await;
    assert!(store.revoked().has_grant(&active.code().grant), "{name}");
    assert_eq!(active.rotate(&**store, 1, NOW).await, Rotation::Unknown, "{name}");
    assert_eq!(store.redeem_code(&code, None, NOW).await.unwrap(), Redemption::Unknown, "{name}");
    assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), None, "{name}");
    assert_eq!(store.find_session(&active.session().digest, NOW).await.unwrap(), None, "{name}");
    assert!(store.find_session(&stays.digest, NOW).await.unwrap().is_some(), "{name}: of somebody else");
    let asked = active.consent();
    let consent = store.find_consent(&asked.user, &asked.client_id, &asked.redirect_uri, &asked.resource).await;
    assert_eq!(consent.unwrap().is_none(), way == "remove", "{name}");
}

async fn leave(store: &Arc<dyn Store>, way: &str, id: &UserId) {
    let done = match way {
        "password" => store.set_password(id, "$2b$10$new".to_owned().into(), NOW).await,
        "disable" => store.disable_user(id, NOW).await,
        "remove" => store.remove_user(id, NOW).await,
        _ => store.revoke_grants_of(id, NOW).await.map(|()| true),
    };
    assert!(done.unwrap(), "{way}");
}

/// A code that `person` approved and nobody has redeemed.
pub(super) async fn pending_code_of(store: &Arc<dyn Store>, person: &Sample, client: &Sample) -> Digest {
    let flow = client.flow();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let mut code = client.code();
    code.user = person.user_id();
    assert!(store.approve_flow(&flow, code.clone(), client.decided()).await.unwrap());
    code.digest
}

pub(in crate::store::conformance) async fn a_disabled_user_gets_no_code(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    store.add_user(sample.user()).await.unwrap();
    store.disable_user(&sample.user_id(), NOW).await.unwrap();
    let mut flow = sample.flow();
    flow.stage = sample.consenting();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    assert!(!store.approve_flow(&flow, sample.code(), sample.decided()).await.unwrap());
    assert_eq!(store.find_code(&sample.code().digest).await.unwrap(), None);
}

pub(in crate::store::conformance) async fn absent_users_are_out(store: &Arc<dyn Store>) {
    let names = ["configured", "kept", "disabled", "absent"];
    let samples = names.map(Sample::new);
    let [configured, kept, disabled, absent] = &samples;
    for sample in &samples {
        sample.grant(&**store).await;
    }
    store.add_user(kept.user()).await.unwrap();
    let mut locked_out = disabled.user();
    locked_out.disabled = true;
    store.add_user(locked_out).await.unwrap();
    let code = pending_code_of(store, absent, &Sample::new("pending")).await;

    store
        .review_present(
            Present {
                configured: [configured.user_id(), UserId::new("it's \"quoted\"")].map(|id| enrolled(&id, "")).to_vec(),
                stored: true,
                clients: [configured, kept].map(|sample| sample.client().id).to_vec(),
                ..Present::default()
            },
            None,
            NOW,
        )
        .await
        .unwrap();
    for (sample, is_out) in [(configured, false), (kept, false), (disabled, true), (absent, true)] {
        assert_eq!(store.revoked().has_grant(&sample.code().grant), is_out, "{}", sample.name);
    }
    assert_eq!(store.find_code(&code).await.unwrap(), None);
}

pub(in crate::store::conformance) async fn a_revoked_grant_is_listed_before_the_answer(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await.id;
    let mut versions = store.revoked().subscribe();
    assert!(store.revoke_grant(&grant, NOW).await.unwrap());
    assert!(store.revoked().has_grant(&grant) && versions.has_changed().unwrap());
    versions.mark_unchanged();
    assert!(!store.revoke_grant(&grant, NOW).await.unwrap(), "once");

    store.revoke_access_token("jti", NOW + minutes(5)).await.unwrap();
    assert!(store.revoked().has_token("jti") && versions.has_changed().unwrap());
    // When all access tokens of the grant have ended there is nothing to refuse; a later revocation clears the list.
    let later = NOW + ACCESS_TOKEN_LIFETIME + minutes(2);
    assert!(!store.revoke_grant(&sample.code().grant, later).await.unwrap());
    assert!(!store.revoked().has_grant(&grant) && !store.revoked().has_token("jti"));
}

pub(in crate::store::conformance) async fn clean_up_keeps_what_reuse_detection_needs(store: &Arc<dyn Store>) {
    let (replayed, reused) = (Sample::new("replayed"), Sample::new("reused"));
    for sample in [&replayed, &reused] {
        sample.grant(&**store).await;
        sample.rotate(&**store, 1, NOW).await;
        sample.rotate(&**store, 2, NOW + minutes(30)).await;
    }
    store.remove_expired(POLICY, NOW + minutes(50)).await.unwrap();
    let reuse = reused.rotate(&**store, 1, NOW + minutes(50)).await;
    assert_eq!(reuse, Rotation::Reused(reused.code().grant));

    // Kept alive for two days, by which time code and first tokens have long expired.
    let long = RefreshPolicy { absolute: POLICY.absolute * 3, ..POLICY };
    for (number, minute) in (3..).zip((60..48 * 60).step_by(50)) {
        let (token, successor, now) = (replayed.refresh(number), replayed.refresh(number + 1), NOW + minutes(minute));
        let rotation = store.rotate_refresh(&token, successor, long, now).await.unwrap();
        assert!(matches!(rotation, Rotation::Rotated(_)));
        store.remove_expired(long, now).await.unwrap();
    }
    assert_eq!(store.find_refresh(&replayed.refresh(1)).await.unwrap(), None, "expired, and gone");
    let replay = store.redeem_code(&replayed.code().digest, None, NOW + minutes(48 * 60)).await.unwrap();
    assert_eq!(replay, Redemption::Replayed(replayed.code().grant));
}

pub(in crate::store::conformance) async fn clean_up_removes_what_has_ended(store: &Arc<dyn Store>) {
    let (ended, unredeemed, revoked) = (Sample::new("ended"), Sample::new("unredeemed"), Sample::new("revoked"));
    ended.grant(&**store).await;
    unredeemed.approve(&**store).await;
    revoked.grant(&**store).await;
    store.revoke_grant(&revoked.code().grant, NOW).await.unwrap();
    store.remove_expired(POLICY, NOW + minutes(10)).await.unwrap();
    assert_eq!(store.find_flow(&ended.flow().id, NOW).await.unwrap(), None, "though it is asked for as of earlier");
    for sample in [&ended, &unredeemed, &revoked] {
        assert!(store.find_code(&sample.code().digest).await.unwrap().is_some(), "{}", sample.name);
    }
    store.remove_expired(POLICY, NOW + POLICY.absolute * 3).await.unwrap();
    for sample in [&ended, &unredeemed, &revoked] {
        assert_eq!(store.find_code(&sample.code().digest).await.unwrap(), None, "{}", sample.name);
        assert_eq!(store.find_refresh(&sample.refresh(1)).await.unwrap(), None, "{}", sample.name);
        assert!(store.find_client(&sample.client().id).await.unwrap().is_some(), "clients are not its concern");
    }
    assert!(!store.revoke_grant(&ended.code().grant, NOW).await.unwrap(), "the grant is gone");
}

/// A grant of a client that acts for itself.
pub(super) fn grant_of(client: &ClientId, id: &str) -> Grant {
    Grant {
        id: GrantId::new(id),
        user: UserId::of_client(client),
        client_id: client.clone(),
        resource: "https://mcp.example.com/mcp".to_owned(),
        scopes: ScopeSet::everything(),
        created_at: NOW,
        revoked_at: None,
    }
}

/// A grant of a client of the configuration that acts for itself, which is enrolled for it.
async fn act_alone(store: &Arc<dyn Store>, client: &ClientId, grant: &str) {
    let by = enrolled(&UserId::of_client(client), "");
    let present = Present { configured: vec![by.clone()], ..Present::default() };
    store.review_present(present, Some(Present::default()), NOW).await.unwrap();
    assert!(store.add_grant(grant_of(client, grant), by).await.unwrap());
}

pub(in crate::store::conformance) async fn absent_clients_are_out(store: &Arc<dyn Store>) {
    let (kept, gone) = (ClientId::new("kept"), ClientId::new("gone"));
    for client in [&kept, &gone] {
        act_alone(store, client, client.as_str()).await;
    }
    let registered = Sample::new("registered");
    registered.grant(&**store).await;
    let configured = [registered.user_id(), UserId::of_client(&kept), UserId::of_client(&gone)];
    let configured = configured.map(|id| enrolled(&id, "")).to_vec();
    let present = Present { configured, clients: vec![kept], ..Present::default() };
    store.review_present(present, None, NOW).await.unwrap();
    let is_out = |id: &GrantId| store.revoked().has_grant(id);
    assert!(is_out(&GrantId::new("gone")) && !is_out(&GrantId::new("kept")) && !is_out(&registered.code().grant));
}

pub(in crate::store::conformance) async fn clean_up_removes_what_clients_used(store: &Arc<dyn Store>) {
    let client = ClientId::new("client");
    act_alone(store, &client, "grant").await;
    let jti = digest("jti");
    let spend = async |now| store.spend_assertion(&client, &jti, NOW + minutes(5), now).await.unwrap();
    assert!(spend(NOW).await);
    store.remove_expired(POLICY, NOW + minutes(4)).await.unwrap();
    assert!(!spend(NOW + minutes(4)).await, "it could still be presented");
    store.remove_expired(POLICY, NOW + minutes(5)).await.unwrap();
    assert!(spend(NOW + minutes(5)).await, "it is forgotten, having expired");
    store.remove_expired(POLICY, NOW + minutes(48 * 60)).await.unwrap();
    assert!(!store.revoke_grant(&GrantId::new("grant"), NOW).await.unwrap(), "the grant is gone with its token");
}

pub(in crate::store::conformance) async fn documents_of_clients_in_use_make_room_last(store: &Arc<dyn Store>) {
    let id = |number: u64| ClientId::new(format!("https://client.example/{number}"));
    act_alone(store, &id(0), "grant").await;
    for number in 0..=1001 {
        store.record_document(&id(number), b"{}", DocumentChange::None, NOW + minutes(number)).await.unwrap();
    }
    let mut kept = Vec::new();
    for number in 0..=4 {
        kept.push(store.find_document(&id(number)).await.unwrap().is_some());
    }
    assert_eq!(kept, [true, false, false, true, true], "the oldest goes, unless it is in use");
}

pub(in crate::store::conformance) async fn key_sets_of_clients_in_use_make_room_last(store: &Arc<dyn Store>) {
    let url = |number: u64| url::Url::parse(&format!("https://client.example/{number}")).unwrap();
    let id = |number: u64| ClientId::new(number.to_string());
    act_alone(store, &id(0), "grant").await;
    for number in 0..=201 {
        store.record_key_set(&url(number), b"{}", &id(number), NOW + minutes(number)).await.unwrap();
    }
    let mut kept = Vec::new();
    for number in 0..=4 {
        kept.push(store.find_key_set(&url(number)).await.unwrap().is_some());
    }
    assert_eq!(kept, [true, false, false, true, true], "the oldest goes, unless its client is in use");
}
