//! Each decision, one at a time.

use std::sync::Arc;
use std::time::Duration;

use crate::base::id::{ClientId, FlowId, UserId};
use crate::model::authorization::Stage;
use crate::model::client::Client;
use crate::model::grant::{Redemption, RefreshPolicy, Rotation};
use crate::store::conformance::sample::{ACCESS_TOKEN_LIFETIME, BOUNDS, NOW, POLICY, Sample, digest, minutes};
use crate::store::{ClientBounds, Store, StoreError};

const SECOND: Duration = Duration::from_secs(1);

fn client_at(name: &str, minute: u64) -> Client {
    Client { registered_at: NOW + minutes(minute), ..Sample::new(name).client() }
}

async fn exists(store: &Arc<dyn Store>, name: &str) -> bool {
    store.find_client(&ClientId::new(name)).await.unwrap().is_some()
}

pub(super) async fn reg_17_only_clients_never_used_make_room(store: &Arc<dyn Store>) {
    let used = Sample::new("used");
    used.grant(&**store).await;
    for (name, minute) in [("b", 2), ("a", 1), ("c", 3)] {
        assert!(store.add_client(client_at(name, minute), BOUNDS, NOW + minutes(3)).await.unwrap());
    }
    assert!(!exists(store, "a").await, "the oldest never used made room");
    assert!(exists(store, "b").await && exists(store, "c").await && exists(store, "used").await);

    let one = ClientBounds { max_clients: 1, ..BOUNDS };
    assert!(!store.add_client(client_at("d", 4), one, NOW + minutes(4)).await.unwrap(), "everyone left was used");
    assert!(!exists(store, "d").await);
    assert!(exists(store, "b").await && exists(store, "c").await && exists(store, "used").await);
}

pub(super) async fn clients_never_used_expire(store: &Arc<dyn Store>) {
    Sample::new("used").grant(&**store).await;
    let waiting = Sample::new("waiting");
    waiting.approve(&**store).await;
    assert!(store.add_client(client_at("young", 1), BOUNDS, NOW + minutes(1)).await.unwrap());
    assert!(store.add_client(client_at("new", 60), BOUNDS, NOW + minutes(60)).await.unwrap());
    assert!(!exists(store, "waiting").await && exists(store, "young").await && exists(store, "used").await);
    assert_eq!(store.find_code(&waiting.code().digest).await.unwrap(), None, "its code has gone with it");
}

pub(super) async fn a_removed_client_takes_everything_along(store: &Arc<dyn Store>) {
    let (gone, stays) = (Sample::new("gone"), Sample::new("stays"));
    gone.grant(&**store).await;
    stays.grant(&**store).await;
    let mut flow = gone.flow();
    flow.id = FlowId::new("second");
    store.add_flow(flow.clone(), NOW).await.unwrap();

    assert!(store.remove_client(&ClientId::new("gone"), NOW).await.unwrap());
    assert!(!exists(store, "gone").await);
    assert!(store.revoked().has_grant(&gone.code().grant) && !store.revoked().has_grant(&stays.code().grant));
    assert_eq!(gone.rotate(&**store, 1, NOW).await, Rotation::Unknown);
    assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), None);
    let asked = gone.consent();
    let found = store.find_consent(&asked.user, &asked.client_id, &asked.redirect_uri, &asked.resource).await;
    assert_eq!(found.unwrap(), None);
    assert!(matches!(stays.rotate(&**store, 1, NOW).await, Rotation::Rotated(_)));
}

pub(super) async fn a_flow_moves_on_from_where_it_was_found(store: &Arc<dyn Store>) {
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

pub(super) async fn cons_10_a_flow_answers_once(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.approve(&**store).await;
    let finished = store.find_flow(&FlowId::new("a"), NOW).await.unwrap().unwrap();
    assert_eq!(finished.stage, Stage::Finished);
    let mut code = sample.code();
    code.digest = digest("second code");
    assert!(!store.approve_flow(&finished, code.clone(), sample.consent()).await.unwrap());
    assert!(!store.advance_flow(&finished, finished.browser, Stage::Login, NOW).await.unwrap());
    assert_eq!(store.find_code(&code.digest).await.unwrap(), None);

    let denied = Sample::new("denied").flow();
    store.add_flow(denied.clone(), NOW).await.unwrap();
    assert!(store.advance_flow(&denied, denied.browser, Stage::Finished, NOW).await.unwrap());
    assert!(!store.approve_flow(&denied, code.clone(), sample.consent()).await.unwrap());
    assert_eq!(store.find_code(&code.digest).await.unwrap(), None);
}

/// The flow has moved already when the code turns out to be taken.
pub(super) async fn an_approval_that_fails_changes_nothing(store: &Arc<dyn Store>) {
    let (first, second) = (Sample::new("first"), Sample::new("second"));
    first.approve(&**store).await;
    let flow = second.flow();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let failed = store.approve_flow(&flow, first.code(), second.consent()).await;
    assert!(matches!(failed, Err(StoreError::Broken(_))), "{failed:?}");
    assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), Some(flow.clone()));
    assert!(store.approve_flow(&flow, second.code(), second.consent()).await.unwrap());
}

pub(super) async fn flows_are_bounded(store: &Arc<dyn Store>) {
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

pub(super) async fn tok_1_a_replayed_code_revokes_its_grant(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    assert!(!store.revoked().has_grant(&grant.id));
    let late = NOW + minutes(30);
    let replay = store.redeem_code(&sample.code().digest, None, late).await.unwrap();
    assert_eq!(replay, Redemption::Replayed(grant.id.clone()), "noticed after the code has expired as well");
    assert!(store.revoked().has_grant(&grant.id));
    assert_eq!(sample.rotate(&**store, 1, late).await, Rotation::Unknown);
    let found = store.find_refresh(&sample.refresh(1)).await.unwrap().unwrap();
    assert_eq!(found.grant.revoked_at, Some(late));
}

pub(super) async fn tok_4_an_expired_code_gives_nothing(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.approve(&**store).await;
    let code = sample.code();
    assert_eq!(store.redeem_code(&digest("never issued"), None, NOW).await.unwrap(), Redemption::Unknown);
    assert_eq!(store.redeem_code(&code.digest, None, code.expires_at).await.unwrap(), Redemption::Unknown);
    let last_second = store.redeem_code(&code.digest, None, NOW + SECOND * 59).await.unwrap();
    assert!(matches!(last_second, Redemption::Granted(grant) if grant.created_at == NOW + SECOND * 59));
}

pub(super) async fn rt_1_reuse_after_the_grace_revokes_the_grant(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    assert_eq!(sample.rotate(&**store, 1, NOW).await, Rotation::Rotated(grant.clone()));
    assert_eq!(sample.rotate(&**store, 2, NOW).await, Rotation::Rotated(grant.clone()));
    assert_eq!(sample.rotate(&**store, 1, NOW + minutes(5)).await, Rotation::Reused(grant.id.clone()));
    assert!(store.revoked().has_grant(&grant.id));
    assert_eq!(sample.rotate(&**store, 3, NOW + minutes(5)).await, Rotation::Unknown, "the live end is dead");
    assert_eq!(sample.rotate(&**store, 1, NOW + minutes(5)).await, Rotation::Unknown);
    assert_eq!(store.find_refresh(&sample.refresh(4)).await.unwrap(), None, "and nothing was made");
}

pub(super) async fn rt_4_a_repeated_rotation_gives_the_same_successor(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    sample.rotate(&**store, 1, NOW).await;
    // The answer was lost. An hour later less a minute, long after the grace, the successor was still never used.
    let repeated = Rotation::Repeated { grant, successor: sample.refresh(2) };
    let late = NOW + minutes(59);
    let again = store.rotate_refresh(&sample.refresh(1), digest("another successor"), POLICY, late).await.unwrap();
    assert_eq!(again, repeated);
    assert_eq!(store.find_refresh(&digest("another successor")).await.unwrap(), None, "one chain, one live end");
    assert!(matches!(sample.rotate(&**store, 2, late).await, Rotation::Rotated(_)));
}

pub(super) async fn rt_7_the_grace_ends_on_the_second(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    sample.rotate(&**store, 1, NOW).await;
    sample.rotate(&**store, 2, NOW).await;
    let repeated = Rotation::Repeated { grant: grant.clone(), successor: sample.refresh(2) };
    assert_eq!(sample.rotate(&**store, 1, NOW + POLICY.grace).await, repeated);
    assert_eq!(sample.rotate(&**store, 1, NOW + POLICY.grace + SECOND).await, Rotation::Reused(grant.id));
}

pub(super) async fn an_expired_refresh_token_gets_no_grace(store: &Arc<dyn Store>) {
    let (idle, racing) = (Sample::new("idle"), Sample::new("racing"));
    idle.grant(&**store).await;
    racing.grant(&**store).await;
    let end = NOW + POLICY.idle;
    assert!(matches!(racing.rotate(&**store, 1, end - SECOND).await, Rotation::Rotated(_)));
    assert_eq!(racing.rotate(&**store, 1, end).await, Rotation::Unknown, "rotated a second ago, but expired");
    assert_eq!(idle.rotate(&**store, 1, end).await, Rotation::Unknown);
    assert!(!store.revoked().has_grant(&racing.code().grant), "which is no reason to revoke");
    assert!(matches!(racing.rotate(&**store, 2, end).await, Rotation::Rotated(_)));
}

pub(super) async fn a_chain_ends_with_the_absolute_lifetime(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    let end = grant.created_at + POLICY.absolute;
    let mut number = 1;
    for minute in (50..24 * 60).step_by(50) {
        assert!(matches!(sample.rotate(&**store, number, NOW + minutes(minute)).await, Rotation::Rotated(_)));
        number += 1;
    }
    let last = store.find_refresh(&sample.refresh(number)).await.unwrap().unwrap();
    assert_eq!(last.expires_at, end, "the last token ends with the grant");
    assert_eq!(sample.rotate(&**store, number, end).await, Rotation::Unknown);
    let longer_idle = RefreshPolicy { idle: POLICY.absolute * 2, ..POLICY };
    let other = Sample::new("b");
    other.grant(&**store).await;
    store.rotate_refresh(&other.refresh(1), other.refresh(2), longer_idle, NOW).await.unwrap();
    assert_eq!(store.find_refresh(&other.refresh(2)).await.unwrap().unwrap().expires_at, end);
}

/// The operator shortens the lifetimes while chains live.
pub(super) async fn a_successor_may_be_of_a_shorter_life(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.grant(&**store).await;
    let shorter = RefreshPolicy { idle: minutes(5), ..POLICY };
    let rotated = store.rotate_refresh(&sample.refresh(1), sample.refresh(2), shorter, NOW).await.unwrap();
    assert!(matches!(rotated, Rotation::Rotated(_)));
    store.remove_expired(shorter, NOW + minutes(5)).await.unwrap();
    assert_eq!(store.find_refresh(&sample.refresh(2)).await.unwrap(), None);
    assert_eq!(sample.rotate(&**store, 1, NOW + minutes(6)).await, Rotation::Unknown, "it ended with its successor");
}

/// Each leaves a refresh token, a code and a flow behind, none of which may work afterwards.
pub(super) async fn rt_10_every_way_out_revokes_and_takes_pending_codes_along(store: &Arc<dyn Store>) {
    for way in ["password", "disable", "remove"] {
        let (active, pending) = (Sample::new(way), Sample::new(&format!("{way} pending")));
        active.grant(&**store).await;
        assert!(store.add_user(active.user()).await.unwrap());
        let code = pending_code_of(store, &active, &pending).await;
        let mut flow = active.flow();
        flow.id = FlowId::new(format!("{way} flow"));
        flow.stage = active.consenting();
        store.add_flow(flow.clone(), NOW).await.unwrap();

        let id = active.user_id();
        let done = match way {
            "password" => store.set_password(&id, "$2b$10$new".to_owned().into(), NOW).await,
            "disable" => store.disable_user(&id, NOW).await,
            _ => store.remove_user(&id, NOW).await,
        };
        assert!(done.unwrap(), "{way}");
        assert!(store.revoked().has_grant(&active.code().grant), "{way}");
        assert_eq!(active.rotate(&**store, 1, NOW).await, Rotation::Unknown, "{way}");
        assert_eq!(store.redeem_code(&code, None, NOW).await.unwrap(), Redemption::Unknown, "{way}");
        assert_eq!(store.find_flow(&flow.id, NOW).await.unwrap(), None, "{way}");
        let asked = active.consent();
        let consent = store.find_consent(&asked.user, &asked.client_id, &asked.redirect_uri, &asked.resource).await;
        assert_eq!(consent.unwrap().is_none(), way == "remove", "{way}");
    }
}

/// A code that `person` approved and nobody has redeemed.
async fn pending_code_of(store: &Arc<dyn Store>, person: &Sample, client: &Sample) -> crate::base::digest::Digest {
    let flow = client.flow();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let mut code = client.code();
    code.user = person.user_id();
    assert!(store.approve_flow(&flow, code.clone(), client.consent()).await.unwrap());
    code.digest
}

pub(super) async fn a_disabled_user_gets_no_code(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    store.add_user(sample.user()).await.unwrap();
    store.disable_user(&sample.user_id(), NOW).await.unwrap();
    let mut flow = sample.flow();
    flow.stage = sample.consenting();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    assert!(!store.approve_flow(&flow, sample.code(), sample.consent()).await.unwrap());
    assert_eq!(store.find_code(&sample.code().digest).await.unwrap(), None);
}

pub(super) async fn absent_users_are_out(store: &Arc<dyn Store>) {
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

    store.revoke_absent_users(&[configured.user_id(), UserId::new("it's \"quoted\"")], NOW).await.unwrap();
    for (sample, is_out) in [(configured, false), (kept, false), (disabled, true), (absent, true)] {
        assert_eq!(store.revoked().has_grant(&sample.code().grant), is_out, "{}", sample.name);
    }
    assert_eq!(store.find_code(&code).await.unwrap(), None);
}

pub(super) async fn a_revoked_grant_is_listed_before_the_answer(store: &Arc<dyn Store>) {
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

pub(super) async fn clean_up_keeps_what_reuse_detection_needs(store: &Arc<dyn Store>) {
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

pub(super) async fn clean_up_removes_what_has_ended(store: &Arc<dyn Store>) {
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
        assert!(exists(store, &sample.name).await, "clients are not its concern");
    }
    assert!(!store.revoke_grant(&ended.code().grant, NOW).await.unwrap(), "the grant is gone");
}
