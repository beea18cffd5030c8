//! What a restart finds.

use std::fs;

use crate::config::section::Storage;
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
