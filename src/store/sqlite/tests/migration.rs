//! Databases that an earlier version made, and processes of it that go on.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::base::digest::Digest;
use crate::model::authorization::{Flow, Stage};
use crate::model::grant::Rotation;
use crate::store::conformance::{NOW, Sample, minutes};
use crate::store::sqlite::schema;
use crate::store::sqlite::tests::{folder, open};

/// A database as the first version left it.
fn made_by_the_first(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(schema::MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "application_id", schema::APPLICATION).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
}

/// A released migration is what older databases have had; a change to it would reach new ones alone.
#[test]
fn released_migrations_stay_byte_for_byte() {
    let digests = schema::MIGRATIONS.map(|migration| Digest::of_bytes(migration.as_bytes()).base64url());
    assert_eq!(digests[0], "yUduX6LuFdPgQzH_18H4l5x_j2D3u5VNWXKehaEscBs");
}

#[tokio::test]
async fn crash_10_a_database_of_an_older_schema_is_migrated() {
    let (_folder, path) = folder();
    drop(made_by_the_first(&path));
    let store = open(&path);
    let (user, person) = (Sample::new("user"), Sample::at("https://idp.example", "person"));
    user.grant(&*store).await;
    assert!(store.record_account(person.account()).await.unwrap());
    store.add_session(person.session()).await.unwrap();
    drop(store);
    let version: i64 = Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::VERSION);
    let store = open(&path);
    assert_eq!(store.find_account(&person.user_id()).await.unwrap(), Some(person.account()));
    assert!(matches!(user.rotate(&*store, 1, NOW).await, Rotation::Rotated(_)));
}

/// Written by the version before the stages of federated login; the person types the password after the update.
#[tokio::test]
async fn ops_11_a_login_that_was_under_way_goes_on_after_an_update() {
    let (_folder, path) = folder();
    let older = made_by_the_first(&path);
    let flow = Sample::new("a").flow();
    older
        .execute(
            "INSERT INTO flows (id, browser, client_id, request, stage, started_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, '{\"stage\":\"login\"}', ?5, ?6)",
            params![
                flow.id,
                flow.browser,
                flow.request.as_ref().unwrap().client_id,
                serde_json::to_string(&flow.request).unwrap(),
                flow.started_at,
                flow.expires_at
            ],
        )
        .unwrap();
    let store = open(&path);
    let found: Flow = store.find_flow(&flow.id, NOW).await.unwrap().unwrap();
    assert_eq!(found, flow);
    assert!(store.advance_flow(&found, found.browser, Stage::Finished, NOW).await.unwrap());
}

/// `mcp-bridge user list` of a new version, beside a server of the one before.
#[tokio::test]
async fn ops_11_an_older_process_goes_on_beside_a_newer_one() {
    let (_folder, path) = folder();
    let older = made_by_the_first(&path);
    let mut add = older
        .prepare("INSERT INTO users (id, password_hash, scopes, disabled, created_at) VALUES (?1, '$2b$', '', 0, 0)")
        .unwrap();
    let mut revoke = older.prepare("UPDATE grants SET revoked_at = ?1 WHERE revoked_at IS NULL").unwrap();
    let mut count = older.prepare("SELECT count(*) FROM users").unwrap();
    add.execute(["before"]).unwrap();

    let newer = open(&path);
    let sample = Sample::new("a");
    sample.grant(&*newer).await;
    assert!(newer.add_user(sample.user()).await.unwrap());
    add.execute(["after"]).unwrap();
    assert_eq!(count.query_row([], |row| row.get::<_, i64>(0)).unwrap(), 3);
    assert_eq!(revoke.execute([NOW.unix()]).unwrap(), 1);
    assert_eq!(sample.rotate(&*newer, 1, NOW + minutes(1)).await, Rotation::Unknown);
    assert_eq!(newer.list_users().await.unwrap().len(), 3);
}
