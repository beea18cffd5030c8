//! What a restart finds.

use std::fs;

use crate::config::section::Storage;
use crate::model::authorization::Flow;
use crate::model::grant::{Redemption, Rotation};
use crate::store::conformance::{NOW, Sample, minutes};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::tests::{folder, open};

#[tokio::test]
async fn rt_9_a_restart_keeps_everything() {
    let (_folder, path) = folder();
    let (kept, killed) = (Sample::new("kept"), Sample::new("killed"));
    let store = open(&path);
    for sample in [&kept, &killed] {
        sample.grant(&*store).await;
        sample.rotate(&*store, 1, NOW).await;
        sample.rotate(&*store, 2, NOW).await;
    }
    store.add_user(kept.user()).await.unwrap();
    store.revoke_grant(&killed.code().grant, NOW).await.unwrap();
    store.revoke_access_token("jti", NOW + minutes(5)).await.unwrap();
    drop(store);

    let store = open(&path);
    assert!(store.revoked().has_grant(&killed.code().grant) && store.revoked().has_token("jti"));
    assert_eq!(killed.rotate(&*store, 3, NOW).await, Rotation::Unknown);
    assert!(matches!(kept.rotate(&*store, 3, NOW).await, Rotation::Rotated(_)));
    assert_eq!(store.find_user(&kept.user_id()).await.unwrap(), Some(kept.user()));
    let asked = kept.consent();
    let found = store.find_consent(&asked.user, &asked.client_id, &asked.redirect_uri, &asked.resource).await;
    assert_eq!(found.unwrap(), Some(asked));
    assert_eq!(kept.rotate(&*store, 1, NOW + minutes(5)).await, Rotation::Reused(kept.code().grant));
    drop(store);
    let store = open(&path);
    assert!(store.revoked().has_grant(&kept.code().grant));
    assert_eq!(kept.rotate(&*store, 4, NOW + minutes(5)).await, Rotation::Unknown);
    assert!(matches!(kept.redeem(&*store).await, Redemption::Replayed(_)));
}

#[tokio::test]
async fn a_restart_keeps_people_and_their_browsers() {
    let (_folder, path) = folder();
    let [kept, disabled, removed] = ["kept", "disabled", "removed"].map(|name| Sample::at("https://idp.example", name));
    let away = Flow { stage: Sample::away(), ..kept.flow() };
    let store = open(&path);
    store.add_flow(away.clone(), NOW).await.unwrap();
    for sample in [&kept, &disabled, &removed] {
        assert!(store.record_account(sample.account()).await.unwrap());
        store.add_session(sample.session()).await.unwrap();
    }
    assert!(store.disable_user(&disabled.user_id(), NOW).await.unwrap());
    assert!(store.remove_user(&removed.user_id(), NOW).await.unwrap());
    drop(store);

    let store = open(&path);
    let mut locked_out = disabled.account();
    locked_out.disabled = true;
    assert_eq!(store.list_accounts().await.unwrap(), [locked_out, kept.account()]);
    assert!(!store.record_account(disabled.account()).await.unwrap(), "still disabled");
    assert_eq!(store.find_session(&kept.session().digest, NOW).await.unwrap(), Some(kept.session()));
    for sample in [&disabled, &removed] {
        assert_eq!(store.find_session(&sample.session().digest, NOW).await.unwrap(), None, "{}", sample.name);
    }
    // The provider sends the browser back: the answer is taken once, and it ends in a code.
    assert!(store.advance_flow(&away, away.browser, Sample::returned(), NOW).await.unwrap());
    assert!(!store.advance_flow(&away, away.browser, Sample::returned(), NOW).await.unwrap());
    let returned = Flow { stage: Sample::returned(), ..away };
    assert!(store.approve_flow(&returned, kept.code(), kept.decided()).await.unwrap());
}

/// An operator who fears for the tokens revokes them, shortens their life and restarts.
#[tokio::test]
async fn rt_10_a_shorter_lifetime_brings_no_revoked_token_back() {
    let (_folder, path) = folder();
    let storage = Storage::Sqlite { path: path.clone() };
    let open_for = |lifetime, now| Sqlite::open(&storage, now, lifetime).unwrap_or_else(|error| panic!("{error}"));
    let sample = Sample::new("a");
    let store = open_for(minutes(60), NOW);
    sample.grant(&*store).await;
    store.revoke_grant(&sample.code().grant, NOW).await.unwrap();
    drop(store);
    for minute in [1, 59] {
        let store = open_for(minutes(5), NOW + minutes(minute));
        assert!(store.revoked().has_grant(&sample.code().grant), "minute {minute}");
    }
    let store = open_for(minutes(5), NOW + minutes(63));
    assert!(!store.revoked().has_grant(&sample.code().grant), "the longer tokens have ended");
}

/// The same while it runs, and the other way round.
#[tokio::test]
async fn rt_10_a_lifetime_that_changes_while_it_runs_loses_no_revocation() {
    let (_folder, path) = folder();
    let storage = Storage::Sqlite { path };
    let store = Sqlite::open(&storage, NOW, minutes(5)).unwrap_or_else(|error| panic!("{error}"));
    let samples = [Sample::new("a"), Sample::new("b"), Sample::new("c")];
    for sample in &samples {
        sample.grant(&*store).await;
    }
    store.expect_lifetime(minutes(60), NOW).await.unwrap();
    store.revoke_grant(&samples[0].code().grant, NOW).await.unwrap();
    // What is revoked later has the lists read anew.
    store.revoke_grant(&samples[1].code().grant, NOW + minutes(30)).await.unwrap();
    assert!(store.revoked().has_grant(&samples[0].code().grant), "its tokens may live for an hour");
    store.expect_lifetime(minutes(5), NOW + minutes(31)).await.unwrap();
    assert!(store.revoked().has_grant(&samples[0].code().grant), "those of before live on");
    store.revoke_grant(&samples[2].code().grant, NOW + minutes(63)).await.unwrap();
    assert!(!store.revoked().has_grant(&samples[0].code().grant), "they have ended");
}

/// The files as `kill -9` would leave them: copied while the store is open, without the shared memory.
#[tokio::test]
async fn crash_1_what_was_answered_is_in_the_files() {
    let (_folder, path) = folder();
    let store = open(&path);
    let sample = Sample::new("a");
    sample.grant(&*store).await;
    for number in 1..=20 {
        sample.rotate(&*store, number, NOW).await;
        let (_copy_folder, copy) = folder();
        for suffix in ["", "-wal"] {
            fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
        }
        let copy = open(&copy);
        assert!(matches!(sample.rotate(&*copy, number + 1, NOW).await, Rotation::Rotated(_)));
        let reuse = sample.rotate(&*copy, number, NOW + minutes(2)).await;
        assert!(matches!(reuse, Rotation::Reused(_)), "{reuse:?}");
    }
}
