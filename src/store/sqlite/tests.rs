//! What only SQLite has to show: the file, other processes, faults of the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::base::digest::Digest;
use crate::base::random;
use crate::config::section::Storage;
use crate::model::grant::{Redemption, Rotation};
use crate::store::conformance::{ACCESS_TOKEN_LIFETIME, NOW, POLICY, Sample, minutes};
use crate::store::sqlite::{OpenError, Sqlite, schema};
use crate::store::{ClientBounds, Clients as _, NewRefreshToken, Store, StoreError, Tokens as _};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp-bridge.db");
    (folder, path)
}

fn open(path: &Path) -> Arc<dyn Store> {
    try_open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn try_open(path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    Sqlite::open(&Storage::Sqlite { path: path.to_owned() }, NOW, ACCESS_TOKEN_LIFETIME)
}

/// Why opening fails; the file must be what it was.
fn refusal(path: &Path) -> OpenError {
    let before = fs::read(path).unwrap();
    let error = try_open(path).err().expect("it must not open");
    assert_eq!(fs::read(path).unwrap(), before, "it was left as it was");
    error
}

#[test]
fn crash_9_sqlite_is_recent() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn crash_8_files_are_the_owners_alone_under_any_umask() {
    let inner = "store::sqlite::tests::files_are_made_for_the_owner_alone";
    for umask in ["000", "022", "277"] {
        let output = Command::new("sh")
            .args(["-c", "umask $0 && exec \"$@\"", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", inner, "--ignored"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "umask {umask}: {said}");
    }
}

#[tokio::test]
#[ignore = "run by crash_8_files_are_the_owners_alone_under_any_umask, in a process with its own umask"]
async fn files_are_made_for_the_owner_alone() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let base = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = base.path().join("data/mcp-bridge.db");
    let files = ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", path.display())));

    let store = open(&path);
    Sample::new("a").grant(&*store).await;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
    drop(store);

    // A copy from elsewhere may come with any mode.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&path);
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
    let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 3, "no draft is left");
}

#[test]
fn crash_6_what_is_not_ours_is_left_alone() {
    let (_folder, path) = folder();
    fs::write(&path, "").unwrap();
    assert!(matches!(refusal(&path), OpenError::Foreign { .. }), "empty: perhaps cut off");
    fs::write(&path, "notes to myself\n".repeat(500)).unwrap();
    assert!(matches!(refusal(&path), OpenError::Foreign { .. }), "a text");
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Foreign { .. }), "another program's database: {error}");
}

#[test]
fn crash_6_a_log_without_its_database_is_not_swallowed() {
    let (folder, path) = folder();
    fs::write(folder.path().join("mcp-bridge.db-wal"), "frames").unwrap();
    assert!(matches!(try_open(&path).err(), Some(OpenError::Orphaned { .. })));
    assert!(!path.exists());
}

#[tokio::test]
async fn crash_6_damage_is_found_at_start() {
    let (_folder, path) = folder();
    let store = open(&path);
    Sample::new("a").grant(&*store).await;
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }), "overwritten");
    bytes.truncate(half);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }), "cut off");
}

#[test]
fn crash_10_a_database_of_a_newer_schema_is_refused() {
    let (_folder, path) = folder();
    drop(open(&path));
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(connection);
    let message = refusal(&path).to_string();
    assert!(message.contains("run the newer mcp-bridge"), "{message}");
}

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
        let (_copy_folder, copy) = self::folder();
        for suffix in ["", "-wal"] {
            fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
        }
        let copy = open(&copy);
        assert!(matches!(sample.rotate(&*copy, number + 1, NOW).await, Rotation::Rotated(_)));
        let reuse = sample.rotate(&*copy, number, NOW + minutes(2)).await;
        assert!(matches!(reuse, Rotation::Reused(_)), "{reuse:?}");
    }
}

#[tokio::test]
async fn tok_18_reg_14_no_plaintext_is_in_the_files() {
    let (folder, path) = folder();
    let store = open(&path);
    let [code, refresh, successor, secret, cookie] = [(); 5].map(|()| random::token());
    let sample = Sample::new("a");
    let mut client = sample.client();
    client.secret = Some(Digest::of(&secret));
    let bounds = ClientBounds { max_clients: 10, unused_expiry: minutes(1) };
    store.add_client(client, bounds, NOW).await.unwrap();
    let mut flow = sample.flow();
    flow.browser = Digest::of(&cookie);
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let mut issued = sample.code();
    issued.digest = Digest::of(&code);
    assert!(store.approve_flow(&flow, issued, sample.consent()).await.unwrap());
    let first = NewRefreshToken { digest: Digest::of(&refresh), expires_at: NOW + POLICY.idle };
    store.redeem_code(&Digest::of(&code), Some(first), NOW).await.unwrap();
    store.rotate_refresh(&Digest::of(&refresh), Digest::of(&successor), POLICY, NOW).await.unwrap();

    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    for secret in [&code, &refresh, &successor, &secret, &cookie] {
        assert!(holds(Digest::of(secret).as_bytes()), "the digest is there, so the search works");
        assert!(!holds(secret.expose().as_bytes()));
    }
}

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
async fn crash_5_a_full_disk_is_told_and_survived() {
    let (_folder, path) = folder();
    let store = patient(&path, minutes(1));
    let sample = Sample::new("a");
    sample.grant(&store).await;
    limit_pages(&store, 1).await;
    let bounds = ClientBounds { max_clients: 10_000, unused_expiry: minutes(1) };
    let mut added = 0;
    let refused = loop {
        let client = Sample::new(&format!("client {added}")).client();
        match store.add_client(client, bounds, NOW).await {
            Ok(done) => assert!(done),
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
        assert!(is_kept || store.add_client(client, bounds, NOW).await.unwrap());
    }
    assert!(matches!(sample.rotate(&store, 1, NOW).await, Rotation::Rotated(_)));
}

/// As if the disk ended there; what is used already stays.
async fn limit_pages(store: &Sqlite, pages: u32) {
    let sql = format!("PRAGMA max_page_count = {pages}");
    store.write(move |writing| writing.query_row(&sql, [], |_| Ok(()))).await.unwrap();
}

fn patient(path: &Path, patience: Duration) -> Sqlite {
    let storage = Storage::Sqlite { path: path.to_owned() };
    Sqlite::open_patiently(&storage, NOW, ACCESS_TOKEN_LIFETIME, patience).unwrap_or_else(|error| panic!("{error}"))
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
