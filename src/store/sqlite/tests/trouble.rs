//! Other processes on the file, and a disk that is full.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join3;
use futures_util::poll;
use rusqlite::Connection;

use crate::model::grant::Rotation;
use crate::store::conformance::{NOW, POLICY, Sample, minutes};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::tests::{folder, open, patient, try_open};
use crate::store::{ClientBounds, Clients as _, StoreError, Tokens as _};

#[tokio::test]
async fn crash_11_two_processes_share_the_file_and_their_revocations() {
    let (_folder, path) = folder();
    let (server, command) = (open(&path), open(&path));
    let sample = Sample::new("a");
    sample.grant(&*server).await;
    server.add_user(sample.user()).await.unwrap();
    let mut versions = server.revoked().subscribe();
    assert!(command.disable_user(&sample.user_id(), NOW).await.unwrap());
    tokio::time::timeout(Duration::from_secs(1), versions.changed()).await.expect("within a second").unwrap();
    assert!(server.revoked().has_grant(&sample.code().grant));
    assert_eq!(sample.rotate(&*server, 1, NOW).await, Rotation::Unknown);

    let person = Sample::at("https://idp.example", "person");
    assert!(server.record_account(person.account()).await.unwrap());
    server.add_session(person.session()).await.unwrap();
    person.grant(&*server).await;
    versions.mark_unchanged();
    assert!(command.disable_user(&person.user_id(), NOW).await.unwrap());
    tokio::time::timeout(Duration::from_secs(1), versions.changed()).await.expect("within a second").unwrap();
    assert!(server.revoked().has_grant(&person.code().grant));
    assert_eq!(server.find_session(&person.session().digest, NOW).await.unwrap(), None);

    command.revoke_access_token("jti", NOW + minutes(5)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), versions.changed()).await.expect("within a second").unwrap();
    assert!(server.revoked().has_token("jti"));
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_11_rotations_from_two_processes_make_one_chain() {
    let (_folder, path) = folder();
    let stores = [open(&path), open(&path)];
    let sample = Sample::new("a");
    sample.grant(&*stores[0]).await;
    for number in 1..=10 {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..20 {
            let (store, sample) = (Arc::clone(&stores[task % 2]), sample.clone());
            tasks.spawn(async move { sample.rotate(&*store, number, NOW).await });
        }
        let outcomes = tasks.join_all().await;
        let rotated = outcomes.iter().filter(|outcome| matches!(outcome, Rotation::Rotated(_))).count();
        let repeated = outcomes.iter().filter(|outcome| matches!(outcome, Rotation::Repeated { .. })).count();
        assert_eq!((rotated, repeated), (1, 19));
    }
}

#[test]
fn crash_11_processes_that_start_together_make_one_database() {
    let (_folder, path) = folder();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| try_open(&path))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for store in &opened {
        assert!(store.is_ok(), "{:?}", store.as_ref().err());
    }
}

#[tokio::test]
async fn crash_5_reg_28_a_full_disk_is_told_and_survived() {
    let (_folder, path) = folder();
    let store = patient(&path, minutes(1));
    let sample = Sample::new("a");
    sample.grant(&store).await;
    limit_pages(&store, 1).await;
    let bounds = ClientBounds { max_clients: 10_000, unused_expiry: minutes(1), expiry: None };
    let mut added = 0;
    let refused = loop {
        let client = Sample::new(&format!("client {added}")).client();
        match store.add_client(client, bounds, NOW).await {
            Ok(admission) => assert!(admission.is_admitted),
            Err(error) => break error,
        }
        added += 1;
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    let found = store.find_refresh(&sample.refresh(1)).await.unwrap();
    assert!(found.is_some(), "reading goes on");

    limit_pages(&store, 1_000_000).await;
    for number in 0..added + 50 {
        let client = Sample::new(&format!("client {number}")).client();
        let is_kept = store.find_client(&client.id).await.unwrap().is_some();
        assert_eq!(is_kept, number < added, "what was answered with yes, no less and no more");
        assert!(is_kept || store.add_client(client, bounds, NOW).await.unwrap().is_admitted);
    }
    assert!(matches!(sample.rotate(&store, 1, NOW).await, Rotation::Rotated(_)));
}

/// As if the disk ended there; what is used already stays.
async fn limit_pages(store: &Sqlite, pages: u32) {
    let sql = format!("PRAGMA max_page_count = {pages}");
    store.write(move |writing| writing.query_row(&sql, [], |_| Ok(()))).await.unwrap();
}

#[tokio::test]
async fn crash_5_a_write_that_fails_takes_back_itself_and_no_other() {
    let (_folder, path) = folder();
    let store = patient(&path, minutes(1));
    let write = |jti: &'static str, outcome: rusqlite::Result<()>| {
        store.write(move |writing| {
            writing.change("INSERT INTO revoked_access_tokens (jti, expires_at) VALUES (?1, 0)", [jti])?;
            outcome
        })
    };
    let fault = || Err(rusqlite::Error::QueryReturnedNoRows);
    assert!(write("alone", fault()).await.is_err());

    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut together = Box::pin(join3(write("first", Ok(())), write("between", fault()), write("last", Ok(()))));
    assert!(poll!(&mut together).is_pending(), "they wait, and so are one transaction");
    other.execute_batch("COMMIT").unwrap();
    let (first, between, last) = together.await;
    assert!(first.is_ok() && between.is_err() && last.is_ok());
    let sql = "SELECT group_concat(jti ORDER BY jti) FROM revoked_access_tokens";
    let found: String = other.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(found, "first,last");
}

#[tokio::test]
async fn crash_7_a_write_waits_for_another_process_and_then_gives_up() {
    let (_folder, path) = folder();
    let store = patient(&path, Duration::from_millis(100));
    let sample = Sample::new("a");
    sample.grant(&store).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..2 {
        let refused = store.rotate_refresh(&sample.refresh(1), sample.refresh(2), POLICY, NOW).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert!(store.find_refresh(&sample.refresh(1)).await.unwrap().is_some(), "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(sample.rotate(&store, 1, NOW).await, Rotation::Rotated(_)), "no rotation was lost");
}

#[tokio::test]
async fn crash_7_a_write_that_waits_is_done_when_the_other_process_ends() {
    let (_folder, path) = folder();
    let store = open(&path);
    let sample = Sample::new("a");
    sample.grant(&*store).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut rotation = Box::pin(sample.rotate(&*store, 1, NOW));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut rotation).await;
    assert!(early.is_err(), "it waits: {early:?}");
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(rotation.await, Rotation::Rotated(_)));
}
