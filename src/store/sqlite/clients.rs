//! Registered clients.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::model::client::RegisteredClient;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::grants;
use crate::store::sqlite::value::Json;
use crate::store::sqlite::writer::Writing;
use crate::store::{ClientBounds, Clients, StoreError};

#[async_trait]
impl Clients for Sqlite {
    async fn find_client(&self, id: &ClientId) -> Result<Option<RegisteredClient>, StoreError> {
        let id = id.clone();
        self.read(move |connection| find(connection, &id)).await
    }

    async fn add_client(
        &self,
        client: RegisteredClient,
        bounds: ClientBounds,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write_at(now, move |writing| {
            let has_room = make_room(writing, bounds, now)?;
            if has_room {
                insert(writing, &client)?;
            }
            Ok(has_room)
        })
        .await
    }

    async fn remove_client(&self, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| {
            if writing.change("DELETE FROM clients WHERE id = ?1", [&id])? == 0 {
                return Ok(false);
            }
            grants::revoke_of_client(writing, &id, now)?;
            forget(writing, &id)?;
            Ok(true)
        })
        .await
    }
}

fn find(connection: &Connection, id: &ClientId) -> rusqlite::Result<Option<RegisteredClient>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMN_NAMES} FROM clients WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// What [`read`] takes.
pub(super) const COLUMN_NAMES: &str =
    "id, name, redirect_uris, secret, may_refresh, metadata, registered_at, last_granted_at";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<RegisteredClient> {
    Ok(RegisteredClient {
        id: row.get(0)?,
        name: row.get(1)?,
        redirect_uris: row.get::<_, Json<_>>(2)?.0,
        secret: row.get(3)?,
        may_refresh: row.get(4)?,
        metadata: row.get::<_, Json<_>>(5)?.0,
        registered_at: row.get(6)?,
        last_granted_at: row.get(7)?,
    })
}

pub(super) fn insert(writing: &Writing<'_>, client: &RegisteredClient) -> rusqlite::Result<()> {
    writing.change(
        "INSERT INTO clients (id, name, redirect_uris, secret, may_refresh, metadata, registered_at, last_granted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            client.id,
            client.name,
            Json(&client.redirect_uris),
            client.secret,
            client.may_refresh,
            Json(&client.metadata),
            client.registered_at,
            client.last_granted_at,
        ],
    )?;
    Ok(())
}

/// Whether there is room for one more, having removed who was never used for too long, or else longest, and when that is
/// not enough, whose grants have all ended.
fn make_room(writing: &Writing<'_>, bounds: ClientBounds, now: Timestamp) -> rusqlite::Result<bool> {
    evict(
        writing,
        "DELETE FROM clients WHERE last_granted_at IS NULL AND by_operator = 0 AND registered_at <= ?1 RETURNING id",
        now - bounds.unused_expiry,
    )?;
    let used = count(writing, "SELECT count(*) FROM clients WHERE last_granted_at IS NOT NULL AND by_operator = 0")?;
    let unused = count(writing, "SELECT count(*) FROM clients WHERE last_granted_at IS NULL AND by_operator = 0")?;
    let excess = used + unused + 1 - i64::from(bounds.max_clients);
    if excess <= 0 {
        return Ok(true);
    }
    // Counted only when it matters: of these there may be many, and of those never used the index finds the oldest at once.
    let ended = if unused < excess { count(writing, &format!("SELECT count(*) {ENDED}"))? } else { 0 };
    if unused + ended < excess {
        return Ok(false);
    }
    evict(
        writing,
        "DELETE FROM clients WHERE rowid IN
           (SELECT rowid FROM clients WHERE last_granted_at IS NULL AND by_operator = 0
            ORDER BY registered_at, rowid LIMIT ?1)
         RETURNING id",
        excess,
    )?;
    let oldest = format!("SELECT rowid {ENDED} ORDER BY last_granted_at, rowid LIMIT max(?1, 0)");
    evict(writing, &format!("DELETE FROM clients WHERE rowid IN ({oldest}) RETURNING id"), excess - unused)?;
    Ok(true)
}

/// Clients that were used, and of whose grants none is left. Many clients register anew for every connection: if these
/// were kept for ever, one day nobody could register any more.
const ENDED: &str = "FROM clients WHERE last_granted_at IS NOT NULL AND by_operator = 0
                     AND NOT EXISTS (SELECT 1 FROM grants WHERE client_id = clients.id)";

/// Removes the clients that `sql` deletes and returns, with all that refers to them.
fn evict(writing: &Writing<'_>, sql: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    let evicted: Vec<ClientId> =
        writing.prepare_cached(sql)?.query_map([value], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    evicted.iter().try_for_each(|id| forget(writing, id).map(drop))
}

/// What refers to a client that is gone. Its grants, if it had any, are revoked and fade away. Whether there was anything.
pub(super) fn forget(writing: &Writing<'_>, id: &ClientId) -> rusqlite::Result<bool> {
    let flows = writing.change("DELETE FROM flows WHERE client_id = ?1", [id])?;
    let codes = writing.change("DELETE FROM codes WHERE client_id = ?1", [id])?;
    let consents = writing.change("DELETE FROM consents WHERE client_id = ?1", [id])?;
    Ok(flows + codes + consents > 0)
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
