//! Whose database it is, and which migrations it has had. Migrations are append-only.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::store::sqlite::error::{OpenError, at};

/// `application_id` of our databases: "MCPB".
pub(super) const APPLICATION: i64 = 0x4D43_5042;

/// Each takes the schema one version further. Never change one that was released: add another, and keep what older
/// processes on the same file still use.
pub(super) const MIGRATIONS: [&str; 10] = [
    include_str!("migrations/0001_ground.sql"),
    include_str!("migrations/0002_federation.sql"),
    include_str!("migrations/0003_assertions.sql"),
    include_str!("migrations/0004_client_documents.sql"),
    include_str!("migrations/0005_account.sql"),
    include_str!("migrations/0006_operator_clients.sql"),
    include_str!("migrations/0007_client_management.sql"),
    include_str!("migrations/0008_configured.sql"),
    include_str!("migrations/0009_client_key_sets.sql"),
    include_str!("migrations/0010_configured_key.sql"),
];

/// The version after all migrations.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Refuses a database that is not ours, or comes from a later version.
pub(super) fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let application: i64 = pragma(connection, "application_id").map_err(at(path))?;
    if application != APPLICATION {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    check_version(version(connection).map_err(at(path))?, path)
}

/// Runs the migrations that are missing, all in one transaction.
pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = version(connection).map_err(at(path))?;
    check_version(found, path)?;
    if found < VERSION { run_migrations(connection).map_err(at(path)) } else { Ok(()) }
}

/// SQLite's quick check: every page, though not every index entry.
pub(super) fn check_pages(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let finding: String = pragma(connection, "quick_check(1)").map_err(at(path))?;
    if finding == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), finding }) }
}

fn check_version(found: i64, path: &Path) -> Result<(), OpenError> {
    if found <= VERSION {
        return Ok(());
    }
    Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION })
}

fn run_migrations(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been quicker.
    let done = usize::try_from(version(connection)?).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    pragma(connection, "user_version")
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}
