//! A code becomes a grant, and the chain of refresh tokens that keeps it alive.

use std::sync::Arc;
use std::time::Duration;

use crate::model::grant::{Redemption, RefreshPolicy, Rotation};
use crate::store::Store;
use crate::store::conformance::sample::{NOW, POLICY, Sample, digest, minutes};

const SECOND: Duration = Duration::from_secs(1);

pub(in crate::store::conformance) async fn tok_1_a_replayed_code_revokes_its_grant(store: &Arc<dyn Store>) {
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

pub(in crate::store::conformance) async fn tok_4_an_expired_code_gives_nothing(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.approve(&**store).await;
    let code = sample.code();
    assert_eq!(store.redeem_code(&digest("never issued"), None, NOW).await.unwrap(), Redemption::Unknown);
    assert_eq!(store.redeem_code(&code.digest, None, code.expires_at).await.unwrap(), Redemption::Unknown);
    let last_second = store.redeem_code(&code.digest, None, NOW + SECOND * 59).await.unwrap();
    assert!(matches!(last_second, Redemption::Granted(grant) if grant.created_at == NOW + SECOND * 59));
}

pub(in crate::store::conformance) async fn rt_1_reuse_after_the_grace_revokes_the_grant(store: &Arc<dyn Store>) {
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

pub(in crate::store::conformance) async fn rt_4_a_repeated_rotation_gives_the_same_successor(store: &Arc<dyn Store>) {
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

pub(in crate::store::conformance) async fn rt_7_the_grace_ends_on_the_second(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    sample.rotate(&**store, 1, NOW).await;
    sample.rotate(&**store, 2, NOW).await;
    let repeated = Rotation::Repeated { grant: grant.clone(), successor: sample.refresh(2) };
    assert_eq!(sample.rotate(&**store, 1, NOW + POLICY.grace).await, repeated);
    assert_eq!(sample.rotate(&**store, 1, NOW + POLICY.grace + SECOND).await, Rotation::Reused(grant.id));
}

pub(in crate::store::conformance) async fn an_expired_refresh_token_gets_no_grace(store: &Arc<dyn Store>) {
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

pub(in crate::store::conformance) async fn a_chain_ends_with_the_absolute_lifetime(store: &Arc<dyn Store>) {
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
pub(in crate::store::conformance) async fn a_successor_may_be_of_a_shorter_life(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.grant(&**store).await;
    let shorter = RefreshPolicy { idle: minutes(5), ..POLICY };
    let rotated = store.rotate_refresh(&sample.refresh(1), sample.refresh(2), shorter, NOW).await.unwrap();
    assert!(matches!(rotated, Rotation::Rotated(_)));
    store.remove_expired(shorter, NOW + minutes(5)).await.unwrap();
    assert_eq!(store.find_refresh(&sample.refresh(2)).await.unwrap(), None);
    assert_eq!(sample.rotate(&**store, 1, NOW + minutes(6)).await, Rotation::Unknown, "it ended with its successor");
}
