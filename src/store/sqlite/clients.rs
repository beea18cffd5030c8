//! Registered clients.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::model::client::{Authentication, RegisteredClient};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::grants;
use crate::store::sqlite::value::Json;
use crate::store::sqlite::writer::Writing;
use crate::store::{Admission, ClientBounds, Clients, Renewal, StoreError};

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
    ) -> Result<Admission, StoreError> {
        self.write_at(now, move |writing| {
            let expired = remove_expired(writing, bounds, now)?;
            let made_room = make_room(writing, bounds, now)?;
            if made_room.is_some() {
                insert(writing, &client)?;
            }
            Ok(Admission { is_admitted: made_room.is_some(), expired, made_room: made_room.unwrap_or_default() })
        })
        .await
    }

    async fn renew_client(&self, fingerprint: &Digest, now: Timestamp) -> Result<Renewal, StoreError> {
        let fingerprint = *fingerprint;
        let find_known = move |connection: &Connection| {
            let sql =
                "SELECT id, management IS NOT NULL FROM clients WHERE fingerprint = ?1 AND last_granted_at IS NULL
                       ORDER BY 2 LIMIT 1";
            let read = |row: &Row<'_>| Ok((row.get::<_, ClientId>(0)?, row.get::<_, bool>(1)?));
            connection.prepare_cached(sql)?.query_row([fingerprint], read).optional()
        };
        // Most often there is none, and then nothing is written.
        match self.read(find_known).await? {
            None => return Ok(Renewal::None),
            Some((_, true)) => return Ok(Renewal::Managed),
            Some((_, false)) => {}
        }
        self.write_at(now, move |writing| {
            // Looked for again: a grant may have been made meanwhile.
            let Some((id, false)) = find_known(writing)? else { return Ok(Renewal::None) };
            writing.change("UPDATE clients SET registered_at = ?2 WHERE id = ?1", params![id, now])?;
            Ok(find(writing, &id)?.map_or(Renewal::None, |client| Renewal::Done(Box::new(client))))
        })
        .await
    }

    async fn update_client(&self, client: RegisteredClient, now: Timestamp) -> Result<Option<usize>, StoreError> {
        self.write_at(now, move |writing| {
            let before = find(writing, &client.id)?;
            // Somebody else may have registered it meanwhile.
            let Some(before) = before.filter(|before| before.management == client.management) else { return Ok(None) };
            update(writing, &client)?;
            if (&before.name, &before.redirect_uris) != (&client.name, &client.redirect_uris) {
                end_pending(writing, &client.id)?;
            }
            if before.authentication.is_alike(&client.authentication) {
                return Ok(Some(0));
            }
            end_pending(writing, &client.id)?;
            grants::revoke_of_client(writing, &client.id, now).map(Some)
        })
        .await
    }

    async fn remove_expired_clients(&self, bounds: ClientBounds, now: Timestamp) -> Result<Vec<ClientId>, StoreError> {
        self.write_at(now, move |writing| remove_expired(writing, bounds, now)).await
    }

    async fn remove_client(
        &self,
        id: &ClientId,
        managed_by: Option<Digest>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| {
            let sql = "DELETE FROM clients WHERE id = ?1 AND (?2 IS NULL OR management = ?2)";
            if writing.change(sql, params![id, managed_by])? == 0 {
                return Ok(false);
            }
            grants::revoke_of_client(writing, &id, now)?;
            forget(writing, &id)?;
            Ok(true)
        })
        .await
    }
}

pub(super) fn find(connection: &Connection, id: &ClientId) -> rusqlite::Result<Option<RegisteredClient>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMN_NAMES} FROM clients WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// What [`read`] takes.
pub(super) const COLUMN_NAMES: &str = "id, name, redirect_uris, secret, may_refresh, metadata, registered_at, last_granted_at, keys, management, fingerprint, by_operator";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<RegisteredClient> {
    Ok(RegisteredClient {
        id: row.get(0)?,
        name: row.get(1)?,
        redirect_uris: row.get::<_, Json<_>>(2)?.0,
        authentication: match (row.get::<_, Option<Json<_>>>(8)?, row.get(3)?) {
            (Some(keys), _) => Authentication::PrivateKey { keys: keys.0, is_optional: false },
            (None, Some(secret)) => Authentication::Secret(secret),
            (None, None) => Authentication::None,
        },
        may_refresh: row.get(4)?,
        metadata: row.get::<_, Json<_>>(5)?.0,
        registered_at: row.get(6)?,
        last_granted_at: row.get(7)?,
        management: row.get(9)?,
        fingerprint: row.get(10)?,
        by_operator: row.get(11)?,
    })
}

pub(super) fn insert(writing: &Writing<'_>, client: &RegisteredClient) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO clients (id, name, redirect_uris, secret, may_refresh, metadata, keys, management, fingerprint,
                                    registered_at, last_granted_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    write(writing, sql, client, params![client.registered_at, client.last_granted_at])
}

fn update(writing: &Writing<'_>, client: &RegisteredClient) -> rusqlite::Result<()> {
    let sql =
        "UPDATE clients SET name = ?2, redirect_uris = ?3, secret = ?4, may_refresh = ?5, metadata = ?6, keys = ?7,
                                  management = ?8, fingerprint = ?9 WHERE id = ?1";
    write(writing, sql, client, &[])
}

/// Runs `sql` with what an update may change of `client`, and `more`.
fn write(
    writing: &Writing<'_>,
    sql: &str,
    client: &RegisteredClient,
    more: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<()> {
    let (secret, keys) = match &client.authentication {
        Authentication::None => (None, None),
        Authentication::Secret(digest) => (Some(*digest), None),
        // An older process on the same file knows nothing of keys; to it this is a client whose secret nobody has, and no
        // public one. There is no text of this digest.
        Authentication::PrivateKey { keys, .. } => (Some(Digest::from_bytes([0; 32])), Some(Json(keys))),
    };
    let (uris, metadata) = (Json(&client.redirect_uris), Json(&client.metadata));
    let changeable = params![
        client.id,
        client.name,
        uris,
        secret,
        client.may_refresh,
        metadata,
        keys,
        client.management,
        client.fingerprint
    ];
    writing.change(sql, &*[changeable, more].concat()).map(drop)
}

/// Makes room for one more: who was never used goes, the oldest first; when that is not enough, whose grants have all ended;
/// and only then who is in the middle of a first login, or about to begin it. Gives who went; `None`: there is no room.
fn make_room(writing: &Writing<'_>, bounds: ClientBounds, now: Timestamp) -> rusqlite::Result<Option<Vec<ClientId>>> {
    let used = count(writing, "SELECT count(*) FROM clients WHERE last_granted_at IS NOT NULL AND by_operator = 0")?;
    let unused = count(writing, &format!("SELECT count(*) {UNUSED}"))?;
    let mut excess = used + unused + 1 - i64::from(bounds.max_clients);
    if excess <= 0 {
        return Ok(Some(Vec::new()));
    }
    // Counted only when it matters: of these there may be many, and of those never used the index finds the oldest at once.
    let ended = if unused < excess { count(writing, &format!("SELECT count(*) {ENDED}"))? } else { 0 };
    if unused + ended < excess {
        return Ok(None);
    }
    let idle = format!("{UNUSED} AND NOT {LOGGING_IN}");
    let mut gone = Vec::new();
    let newest = "SELECT rowid FROM clients WHERE last_granted_at IS NULL AND by_operator = 0
                  ORDER BY registered_at DESC, rowid DESC LIMIT ?3";
    let most_about_to = i64::from(bounds.max_clients / ABOUT_TO_LOG_IN_OF_ALL).max(1);
    let whose = [
        (&*idle, "registered_at", now - ABOUT_TO_LOG_IN),
        (ENDED, "last_granted_at", Timestamp::from_unix(i64::MAX)),
        (UNUSED, "registered_at", Timestamp::from_unix(i64::MAX)),
    ];
    for (whose, age, registered_until) in whose {
        if excess > 0 {
            let oldest = format!(
                "SELECT rowid {whose} AND (registered_at <= ?2 OR rowid NOT IN ({newest})) ORDER BY {age}, rowid LIMIT ?1"
            );
            let sql = format!("DELETE FROM clients WHERE rowid IN ({oldest}) RETURNING id");
            let went = evict(writing, &sql, params![excess, registered_until, most_about_to])?;
            excess -= i64::try_from(went.len()).unwrap_or(i64::MAX);
            gone.extend(went);
        }
    }
    Ok(Some(gone))
}

/// Removes who has not been used for too long. Gives who that was.
fn remove_expired(writing: &Writing<'_>, bounds: ClientBounds, now: Timestamp) -> rusqlite::Result<Vec<ClientId>> {
    let unused =
        "DELETE FROM clients WHERE last_granted_at IS NULL AND by_operator = 0 AND registered_at <= ?1 RETURNING id";
    let mut gone = evict(writing, unused, params![now - bounds.unused_expiry])?;
    if let Some(expiry) = bounds.expiry {
        let ended = format!("SELECT rowid {ENDED} AND last_granted_at <= ?1");
        gone.extend(evict(
            writing,
            &format!("DELETE FROM clients WHERE rowid IN ({ended}) RETURNING id"),
            params![now - expiry],
        )?);
    }
    Ok(gone)
}

/// Who registered this lately is about to log in: the two come one after the other, and others register in between.
const ABOUT_TO_LOG_IN: Duration = Duration::from_secs(60);
/// One in so many of all clients counts as such at most: a flood of registrations puts out itself, and nobody who may come back.
const ABOUT_TO_LOG_IN_OF_ALL: u32 = 10;

/// Clients that were never used.
const UNUSED: &str = "FROM clients WHERE last_granted_at IS NULL AND by_operator = 0";

/// Whether somebody is on the way to use a client.
const LOGGING_IN: &str = "(EXISTS (SELECT 1 FROM flows WHERE client_id = clients.id)
                           OR EXISTS (SELECT 1 FROM codes WHERE client_id = clients.id))";

/// Clients that were used, and of whose grants none is left but revoked ones. Many clients register anew for every
/// connection: if these were kept for ever, one day nobody could register any more.
const ENDED: &str = "FROM clients WHERE last_granted_at IS NOT NULL AND by_operator = 0
                     AND NOT EXISTS (SELECT 1 FROM grants WHERE client_id = clients.id AND revoked_at IS NULL)";

/// Removes the clients that `sql` deletes and returns, with all that refers to them. Gives who they are.
fn evict(writing: &Writing<'_>, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<ClientId>> {
    let evicted: Vec<ClientId> =
        writing.prepare_cached(sql)?.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    evicted.iter().try_for_each(|id| forget(writing, id).map(drop))?;
    Ok(evicted)
}

/// What refers to a client that is gone. Its grants, if it had any, are revoked and fade away. Whether there was anything.
pub(super) fn forget(writing: &Writing<'_>, id: &ClientId) -> rusqlite::Result<bool> {
    let flows = writing.change("DELETE FROM flows WHERE client_id = ?1", [id])?;
    let codes = writing.change("DELETE FROM codes WHERE client_id = ?1", [id])?;
    let consents = writing.change("DELETE FROM consents WHERE client_id = ?1", [id])?;
    Ok(flows + codes + consents > 0)
}

/// What is on its way to a grant, and what people allowed a client to do that is another now. Codes that were redeemed stay:
/// by them a replay is noticed.
pub(super) fn end_pending(writing: &Writing<'_>, id: &ClientId) -> rusqlite::Result<()> {
    writing.change("DELETE FROM flows WHERE client_id = ?1", [id])?;
    writing.change("DELETE FROM codes WHERE client_id = ?1 AND redeemed_grant_id IS NULL", [id])?;
    writing.change("DELETE FROM consents WHERE client_id = ?1", [id])?;
    Ok(())
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
