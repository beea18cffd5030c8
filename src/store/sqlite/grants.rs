//! Grants: making one, reading one, and every way to revoke.
//!
//! Whoever loses grants also loses what could still become one: codes that wait to be redeemed, flows past login, and the
//! logins that browsers remember. Otherwise a code that was issued a second earlier would outlive the revocation.

use std::time::Duration;

use rusqlite::{Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, GrantId, UserId};
use crate::model::grant::Grant;
use crate::store::sqlite::writer::Writing;

/// The number of columns that [`read`] takes: `id, user_id, client_id, resource, scopes, created_at, revoked_at`.
pub(super) const COLUMNS: usize = 7;

/// How exact it is when a grant was last used.
const SHORTEST: Duration = Duration::from_secs(60);

/// A grant from the first [`COLUMNS`] columns.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Grant> {
    Ok(Grant {
        id: row.get(0)?,
        user: row.get(1)?,
        client_id: row.get(2)?,
        resource: row.get(3)?,
        scopes: row.get(4)?,
        created_at: row.get(5)?,
        revoked_at: row.get(6)?,
    })
}

pub(super) fn insert(writing: &Writing<'_>, grant: &Grant) -> rusqlite::Result<()> {
    writing.change(
        "INSERT INTO grants (id, user_id, client_id, resource, scopes, created_at, revoked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            grant.id,
            grant.user,
            grant.client_id,
            grant.resource,
            grant.scopes,
            grant.created_at,
            grant.revoked_at
        ],
    )?;
    // A client that was used is never evicted.
    writing
        .change("UPDATE clients SET last_granted_at = ?2 WHERE id = ?1", params![grant.client_id, grant.created_at])?;
    Ok(())
}

/// `false`: it was revoked already, or never was.
pub(super) fn revoke(writing: &Writing<'_>, id: &GrantId, now: Timestamp) -> rusqlite::Result<bool> {
    let changed =
        writing.change("UPDATE grants SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", params![id, now])?;
    writing.note_revocation();
    Ok(changed > 0)
}

/// The grants of a client, and how many there were. Its codes and flows go with the client.
pub(super) fn revoke_of_client(writing: &Writing<'_>, client: &ClientId, now: Timestamp) -> rusqlite::Result<usize> {
    let ended = writing.change(
        "UPDATE grants SET revoked_at = ?2 WHERE client_id = ?1 AND revoked_at IS NULL",
        params![client, now],
    )?;
    writing.note_revocation();
    Ok(ended)
}

/// The grants of a user, and what could become one.
pub(super) fn revoke_of_user(writing: &Writing<'_>, user: &UserId, now: Timestamp) -> rusqlite::Result<()> {
    revoke_granted(writing, user, now).map(drop)?;
    writing.change("DELETE FROM flows WHERE user_id = ?1", [user])?;
    writing.change("DELETE FROM browser_sessions WHERE user_id = ?1", [user])?;
    Ok(())
}

/// The grants of a user, and the codes that wait to be redeemed. How many grants there were.
pub(super) fn revoke_granted(writing: &Writing<'_>, user: &UserId, now: Timestamp) -> rusqlite::Result<usize> {
    let ended = writing
        .change("UPDATE grants SET revoked_at = ?2 WHERE user_id = ?1 AND revoked_at IS NULL", params![user, now])?;
    writing.change("DELETE FROM codes WHERE user_id = ?1 AND redeemed_grant_id IS NULL", [user])?;
    writing.note_revocation();
    Ok(ended)
}

/// What one client has of a user, and what could become more of it. Whether there was anything.
pub(super) fn disconnect(
    writing: &Writing<'_>,
    user: &UserId,
    client: &ClientId,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut ended = writing.change(
        "UPDATE grants SET revoked_at = ?3 WHERE user_id = ?1 AND client_id = ?2 AND revoked_at IS NULL",
        params![user, client, now],
    )?;
    for waiting in [
        "DELETE FROM codes WHERE user_id = ?1 AND client_id = ?2 AND redeemed_grant_id IS NULL",
        "DELETE FROM flows WHERE user_id = ?1 AND client_id = ?2",
        "DELETE FROM consents WHERE user_id = ?1 AND client_id = ?2",
    ] {
        ended += writing.change(waiting, params![user, client])?;
    }
    writing.note_revocation();
    Ok(ended > 0)
}

/// Notes that a grant was used, at most once a minute: a client that refreshes all the time costs no further write.
pub(super) fn touch(writing: &Writing<'_>, grant: &Grant, now: Timestamp) -> rusqlite::Result<()> {
    writing.change(
        "UPDATE grants SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, created_at) <= ?3",
        params![grant.id, now, now - SHORTEST],
    )?;
    Ok(())
}
