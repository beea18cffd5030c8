//! People of identity providers, and the browsers in which somebody has logged in.

use std::sync::Arc;

use crate::base::id::UserId;
use crate::model::account::Account;
use crate::model::authorization::{Flow, Stage};
use crate::store::conformance::sample::{NOW, POLICY, Sample, digest, enrolled, minutes};
use crate::store::{Present, Store};

const ISSUER: &str = "https://idp.example/realm";

pub(in crate::store::conformance) async fn a_disabled_person_is_not_recorded(store: &Arc<dyn Store>) {
    let account = Sample::at(ISSUER, "a").account();
    assert!(store.record_account(account.clone()).await.unwrap());
    assert!(store.disable_user(&account.user, NOW).await.unwrap());
    let again = Account { confirmed_at: NOW + minutes(5), refresh_token: Some("other".to_owned()), ..account.clone() };
    assert!(!store.record_account(again.clone()).await.unwrap());
    let kept = Account { disabled: true, ..account.clone() };
    assert_eq!(store.find_account(&account.user).await.unwrap(), Some(kept));
    assert!(store.enable_user(&account.user).await.unwrap());
    assert!(store.record_account(again.clone()).await.unwrap());
    assert_eq!(store.find_account(&account.user).await.unwrap(), Some(again));
}

/// A flow that came back from a provider, and whose `state` is spent.
async fn back_from_provider(store: &Arc<dyn Store>, sample: &Sample) -> Flow {
    let login = sample.flow();
    store.add_flow(login.clone(), NOW).await.unwrap();
    assert!(store.advance_flow(&login, digest("cookie of then"), Sample::away(), NOW).await.unwrap());
    let away = Flow { browser: digest("cookie of then"), stage: Sample::away(), ..login };
    assert!(store.advance_flow(&away, away.browser, Sample::returned(), NOW).await.unwrap());
    Flow { stage: Sample::returned(), ..away }
}

pub(in crate::store::conformance) async fn who_was_disabled_or_removed_while_away_gets_no_code(store: &Arc<dyn Store>) {
    for way in ["never known", "disabled", "removed", "enabled again", "untouched"] {
        let sample = Sample::at(ISSUER, way);
        let (flow, id) = (back_from_provider(store, &sample).await, sample.user_id());
        if way != "never known" {
            assert!(store.record_account(sample.account()).await.unwrap());
        }
        match way {
            "disabled" => assert!(store.disable_user(&id, NOW).await.unwrap()),
            "removed" => assert!(store.remove_user(&id, NOW).await.unwrap()),
            "enabled again" => {
                assert!(store.disable_user(&id, NOW).await.unwrap());
                assert!(store.enable_user(&id).await.unwrap());
            }
            _ => {}
        }
        let may = matches!(way, "enabled again" | "untouched");
        assert_eq!(store.approve_flow(&flow, sample.code(), sample.decided()).await.unwrap(), may, "{way}");
        assert_eq!(store.find_code(&sample.code().digest).await.unwrap().is_some(), may, "{way}");
        let stage = store.find_flow(&flow.id, NOW).await.unwrap().unwrap().stage;
        assert_eq!(stage, if may { Stage::Finished } else { Sample::returned() }, "{way}");
    }
}

pub(in crate::store::conformance) async fn who_was_disabled_or_removed_meanwhile_gets_no_browser_session(
    store: &Arc<dyn Store>,
) {
    let (user, person, stranger) = (Sample::new("user"), Sample::at(ISSUER, "person"), Sample::at(ISSUER, "stranger"));
    assert!(store.add_user(user.user()).await.unwrap());
    assert!(store.record_account(person.account()).await.unwrap());
    for sample in [&user, &person] {
        assert!(store.disable_user(&sample.user_id(), NOW).await.unwrap());
    }
    for sample in [&user, &person, &stranger] {
        store.add_session(sample.session()).await.unwrap();
    }
    for sample in [&user, &person] {
        assert!(store.enable_user(&sample.user_id()).await.unwrap());
    }
    for sample in [&user, &person, &stranger] {
        assert_eq!(store.find_session(&sample.session().digest, NOW).await.unwrap(), None, "{}", sample.name);
    }
}

pub(in crate::store::conformance) async fn absent_people_are_out_with_their_provider(store: &Arc<dyn Store>) {
    let [kept, slash, disabled] = ["kept", "slash", "disabled"].map(|name| Sample::at(ISSUER, name));
    let slash = Sample::at(&format!("{ISSUER}/"), &slash.name);
    let (other, forgotten) = (Sample::at("https://idp.example", "other"), Sample::at(ISSUER, "forgotten"));
    let (configured, user) = (Sample::new("configured"), Sample::new("user"));
    let people = [(&kept, false), (&slash, false), (&disabled, true), (&other, true), (&forgotten, true)];
    store.add_user(user.user()).await.unwrap();
    for (sample, _) in people {
        assert!(store.record_account(sample.account()).await.unwrap());
    }
    for sample in [&kept, &slash, &disabled, &other, &forgotten, &configured, &user] {
        sample.grant(&**store).await;
        store.add_session(sample.session()).await.unwrap();
    }
    store.remove_user(&forgotten.user_id(), NOW).await.unwrap();
    store.disable_user(&disabled.user_id(), NOW).await.unwrap();

    let is_out = async |sample: &Sample| {
        let without_session = store.find_session(&sample.session().digest, NOW).await.unwrap().is_none();
        let without_grant = store.revoked().has_grant(&sample.code().grant);
        assert_eq!(without_session, without_grant, "{}", sample.name);
        without_grant
    };
    // One list names the issuer with a slash at the end, the other without; either means both.
    for issuer in [format!("{ISSUER}/"), ISSUER.to_owned()] {
        let present = Present {
            configured: vec![enrolled(&configured.user_id(), "")],
            stored: true,
            issuers: vec![issuer],
            ..Present::default()
        };
        store.review_present(present, None, NOW).await.unwrap();
        for (sample, out) in people.into_iter().chain([(&configured, false), (&user, false)]) {
            assert_eq!(is_out(sample).await, out, "{}", sample.name);
        }
    }
    let present = Present {
        configured: vec![enrolled(&UserId::new("else"), "")],
        stored: false,
        issuers: vec![ISSUER.to_owned()],
        ..Present::default()
    };
    store.review_present(present, None, NOW).await.unwrap();
    for (sample, out) in [(&kept, false), (&slash, false), (&configured, true), (&user, true)] {
        assert_eq!(is_out(sample).await, out, "{}: nobody has a password any more", sample.name);
    }
    store.review_present(Present::default(), None, NOW).await.unwrap();
    assert!(is_out(&kept).await && is_out(&slash).await);
    assert_eq!(store.list_accounts().await.unwrap().len(), 4, "they stay known, should the provider come back");
}

pub(in crate::store::conformance) async fn clean_up_ends_browser_sessions_and_keeps_people(store: &Arc<dyn Store>) {
    let sample = Sample::at(ISSUER, "a");
    assert!(store.record_account(sample.account()).await.unwrap());
    let mut longer = sample.session();
    (longer.digest, longer.expires_at) = (digest("longer"), NOW + POLICY.absolute * 4);
    for session in [sample.session(), longer.clone()] {
        store.add_session(session).await.unwrap();
    }
    // As many as need several batches.
    for number in 0..1200 {
        let session = Sample::new(&number.to_string()).session();
        store.add_session(session).await.unwrap();
    }
    store.remove_expired(POLICY, NOW + POLICY.absolute * 3).await.unwrap();
    for session in [sample.session(), Sample::new("0").session(), Sample::new("1199").session()] {
        assert_eq!(
            store.find_session(&session.digest, NOW).await.unwrap(),
            None,
            "though it is asked for as of earlier"
        );
    }
    assert_eq!(store.find_session(&longer.digest, NOW).await.unwrap(), Some(longer));
    assert!(store.find_account(&sample.user_id()).await.unwrap().is_some());
}
