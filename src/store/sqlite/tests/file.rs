//! The file: whose it is, who may read it, what is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, StatementStatus};

use crate::base::digest::Digest;
use crate::base::random;
use crate::model::client::Authentication;
use crate::store::conformance::{NOW, POLICY, Sample, minutes};
use crate::store::sqlite::tests::{folder, open, patient, try_open};
use crate::store::sqlite::tokens::{FIND_REFRESH, find_refresh};
use crate::store::sqlite::{OpenError, schema};
use crate::store::{ClientBounds, Clients, NewRefreshToken};

#[test]
fn crash_9_sqlite_is_recent() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test]
async fn sqlite_is_compiled_as_asked_and_plans_a_statement_once() {
    let (_folder, path) = folder();
    let store = patient(&path, Duration::from_secs(5));
    let asked = store.read(|connection| {
        let has = "SELECT count(*) FROM pragma_compile_options WHERE compile_options = 'DEFAULT_MEMSTATUS=0'";
        connection.query_row(has, [], |row| row.get::<_, u32>(0))
    });
    assert_eq!(asked.await.unwrap(), 1, ".cargo/config.toml was not read");
    let planned = store.read(|connection| {
        for number in 0..5_u8 {
            assert_eq!(find_refresh(connection, Digest::of_bytes(&[number]))?, None);
        }
        Ok(connection.prepare_cached(FIND_REFRESH)?.get_status(StatementStatus::RePrepare))
    });
    assert_eq!(planned.await.unwrap(), 0);
}

#[tokio::test]
async fn reads_that_wait_together_see_what_was_answered_before() {
    let (_folder, path) = folder();
    let store = Arc::new(patient(&path, Duration::from_secs(5)));
    for number in 0..50 {
        let client = Sample::new(&number.to_string()).client();
        let bounds = ClientBounds { max_clients: 100, unused_expiry: minutes(60), expiry: None };
        assert!(store.add_client(client.clone(), bounds, NOW).await.unwrap().is_admitted);
        let readers = (0..20).map(|_| {
            let (store, id) = (Arc::clone(&store), client.id.clone());
            tokio::spawn(async move { store.find_client(&id).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert!(reader.await.unwrap().unwrap().is_some(), "{number}");
        }
    }
    let faulty = store.read(|connection| connection.query_row("SELECT 1 FROM nothing", [], |_| Ok(())));
    assert!(faulty.await.is_err());
    assert!(store.find_client(&Sample::new("0").client().id).await.unwrap().is_some());
}

#[test]
fn crash_8_files_are_the_owners_alone_under_any_umask() {
    let inner = "store::sqlite::tests::file::files_are_made_for_the_owner_alone";
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

/// Why opening fails; the file must be what it was.
fn refusal(path: &Path) -> OpenError {
    let before = fs::read(path).unwrap();
    let error = try_open(path).err().expect("it must not open");
    assert_eq!(fs::read(path).unwrap(), before, "it was left as it was");
    error
}

#[tokio::test]
async fn tok_18_reg_14_no_plaintext_is_in_the_files() {
    let (folder, path) = folder();
    let store = open(&path);
    let [code, refresh, successor, secret, cookie, session] = [(); 6].map(|()| random::token());
    let sample = Sample::new("a");
    let mut client = sample.client();
    client.authentication = Authentication::Secret(Digest::of(&secret));
    let bounds = ClientBounds { max_clients: 10, unused_expiry: minutes(1), expiry: None };
    store.add_client(client, bounds, NOW).await.unwrap();
    let mut flow = sample.flow();
    flow.browser = Digest::of(&cookie);
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let mut issued = sample.code();
    issued.digest = Digest::of(&code);
    assert!(store.approve_flow(&flow, issued, sample.decided()).await.unwrap());
    let first = NewRefreshToken { digest: Digest::of(&refresh), expires_at: NOW + POLICY.idle };
    store.redeem_code(&Digest::of(&code), Some(first), NOW).await.unwrap();
    store.rotate_refresh(&Digest::of(&refresh), Digest::of(&successor), POLICY, NOW).await.unwrap();
    let mut browser = sample.session();
    browser.digest = Digest::of(&session);
    store.add_session(browser).await.unwrap();

    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    for secret in [&code, &refresh, &successor, &secret, &cookie, &session] {
        assert!(holds(Digest::of(secret).as_bytes()), "the digest is there, so the search works");
        assert!(!holds(secret.expose().as_bytes()));
    }
}
