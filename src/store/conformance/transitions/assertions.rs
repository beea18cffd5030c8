//! Assertions of an enterprise's identity provider, which become grants of its people.

use std::sync::Arc;

use crate::model::account::{Account, Profile};
use crate::model::grant::{AssertionOutcome, Description};
use crate::store::Store;
use crate::store::conformance::sample::{NOW, POLICY, Sample, minutes};

const ISSUER: &str = "https://idp.example";

pub(in crate::store::conformance) async fn ema_6_an_assertion_gives_one_grant(store: &Arc<dyn Store>) {
    let sample = Sample::at(ISSUER, "a");
    let (first, other) = (sample.assertion("one"), sample.assertion("two"));
    assert_eq!(store.redeem_assertion(first.clone(), NOW).await.unwrap(), AssertionOutcome::Granted);
    let known = store.find_account(&sample.user_id()).await.unwrap();
    assert_eq!(known, Some(sample.account()), "the person can be listed, and disabled");
    assert_eq!(store.redeem_assertion(first.clone(), NOW).await.unwrap(), AssertionOutcome::Replayed);
    assert_eq!(store.redeem_assertion(other.clone(), NOW).await.unwrap(), AssertionOutcome::Granted);
    assert!(store.revoke_grant(&first.grant.id, NOW).await.unwrap());
    assert!(store.revoked().has_grant(&first.grant.id) && !store.revoked().has_grant(&other.grant.id));
}

pub(in crate::store::conformance) async fn ema_who_is_disabled_gets_no_grant(store: &Arc<dyn Store>) {
    for description in [Description::Latest, Description::OfStranger] {
        let sample = Sample::at(ISSUER, &format!("{description:?}"));
        let assertion = |name: &str| {
            let mut assertion = sample.assertion(name);
            assertion.description = description;
            assertion
        };
        let before = assertion("before");
        assert_eq!(store.redeem_assertion(before.clone(), NOW).await.unwrap(), AssertionOutcome::Granted);
        assert!(store.disable_user(&sample.user_id(), NOW).await.unwrap());
        assert!(store.revoked().has_grant(&before.grant.id));
        let meanwhile = assertion("meanwhile");
        assert_eq!(store.redeem_assertion(meanwhile.clone(), NOW).await.unwrap(), AssertionOutcome::Disabled);
        assert!(!store.revoke_grant(&meanwhile.grant.id, NOW).await.unwrap(), "there is none");
        assert!(store.find_account(&sample.user_id()).await.unwrap().unwrap().disabled);
        assert!(store.enable_user(&sample.user_id()).await.unwrap());
        assert_eq!(store.redeem_assertion(assertion("after"), NOW).await.unwrap(), AssertionOutcome::Granted);
    }
}

pub(in crate::store::conformance) async fn an_assertion_says_little_of_whom_others_described(store: &Arc<dyn Store>) {
    let sample = Sample::at(ISSUER, "a");
    assert!(store.record_account(sample.account()).await.unwrap());
    let told = Account { profile: Profile::default(), refresh_token: None, ..sample.account() };
    let assertion = |name: &str, description| {
        let mut assertion = sample.assertion(name);
        (assertion.account, assertion.description) = (told.clone(), description);
        assertion
    };
    store.redeem_assertion(assertion("one", Description::OfStranger), NOW).await.unwrap();
    assert_eq!(store.find_account(&sample.user_id()).await.unwrap(), Some(sample.account()));
    store.redeem_assertion(assertion("two", Description::Latest), NOW).await.unwrap();
    let known = store.find_account(&sample.user_id()).await.unwrap().unwrap();
    assert_eq!((known.profile, known.refresh_token), (told.profile, sample.account().refresh_token));
}

pub(in crate::store::conformance) async fn clean_up_removes_what_assertions_gave(store: &Arc<dyn Store>) {
    let (sample, other) = (Sample::at(ISSUER, "a"), Sample::new("with a code"));
    let assertion = sample.assertion("one");
    assert_eq!(store.redeem_assertion(assertion.clone(), NOW).await.unwrap(), AssertionOutcome::Granted);
    let kept = other.grant(&**store).await;
    store.remove_expired(POLICY, NOW + minutes(4)).await.unwrap();
    assert_eq!(store.redeem_assertion(assertion.clone(), NOW).await.unwrap(), AssertionOutcome::Replayed);
    store.remove_expired(POLICY, NOW + minutes(24 * 60 + 16)).await.unwrap();
    assert!(!store.revoke_grant(&assertion.grant.id, NOW).await.unwrap(), "it went with its only access token");
    assert!(store.revoke_grant(&kept.id, NOW).await.unwrap(), "this one's code could still be replayed");
    assert!(store.find_account(&sample.user_id()).await.unwrap().is_some(), "people stay known");
}
