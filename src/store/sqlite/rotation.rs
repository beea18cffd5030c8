//! What happens when a refresh token is presented. [RFC 9700 §4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)

use rusqlite::{Connection, OptionalExtension, params};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::GrantId;
use crate::model::grant::{Grant, RefreshPolicy, Rotation};
use crate::store::NewRefreshToken;
use crate::store::sqlite::grants;
use crate::store::sqlite::writer::Writing;

/// A refresh token presented, and what shall replace it.
pub(super) struct Request {
    pub(super) token: Digest,
    pub(super) successor: Digest,
    pub(super) policy: RefreshPolicy,
    pub(super) now: Timestamp,
}

/// A refresh token as it is found, with its place in the chain.
struct Link {
    grant: Grant,
    expires_at: Timestamp,
    rotated: Option<Rotated>,
}

struct Rotated {
    at: Timestamp,
    successor: Digest,
    is_successor_used: bool,
}

/// Rotates, repeats or revokes. One transaction, so that of many at once the first decides and the others see it.
pub(super) fn rotate(writing: &Writing<'_>, request: &Request) -> rusqlite::Result<Rotation> {
    let Some(link) = find(writing, &request.token)? else { return Ok(Rotation::Unknown) };
    let ends_at = link.grant.created_at + request.policy.absolute;
    // An expired token gets no grace, rotated or not.
    if link.grant.revoked_at.is_some() || link.expires_at <= request.now || ends_at <= request.now {
        return Ok(Rotation::Unknown);
    }
    let Some(rotated) = link.rotated else {
        store_successor(writing, request, &link, ends_at.min(request.now + request.policy.idle))?;
        grants::touch(writing, &link.grant, request.now)?;
        return Ok(Rotation::Rotated(link.grant));
    };
    // A successor that was never used may never have arrived, so its predecessor goes on working.
    if !rotated.is_successor_used || request.now.since(rotated.at) <= request.policy.grace {
        return Ok(Rotation::Repeated { grant: link.grant, successor: rotated.successor });
    }
    // RFC 9700 §4.14.2: whoever of the two holders is honest cannot be known, so both lose the grant.
    grants::revoke(writing, &link.grant.id, request.now)?;
    Ok(Rotation::Reused(link.grant.id))
}

fn store_successor(
    writing: &Writing<'_>,
    request: &Request,
    link: &Link,
    expires_at: Timestamp,
) -> rusqlite::Result<()> {
    insert_refresh(writing, &link.grant.id, NewRefreshToken { digest: request.successor, expires_at })?;
    writing.change(
        "UPDATE refresh_tokens SET rotated_at = ?2, successor = ?3 WHERE digest = ?1",
        params![request.token, request.now, request.successor],
    )?;
    // A predecessor never outlives its successor, even when the lifetimes were shortened meanwhile: so the clean-up takes
    // chains from their old end, and whether the successor was used is always known. Not a part of the statement above, which
    // would then write the index of these times anew for each rotation.
    if link.expires_at > expires_at {
        writing.change(
            "UPDATE refresh_tokens SET expires_at = ?2 WHERE digest = ?1",
            params![request.token, expires_at],
        )?;
    }
    Ok(())
}

fn find(connection: &Connection, token: &Digest) -> rusqlite::Result<Option<Link>> {
    connection
        .prepare_cached(
            "SELECT g.id, g.user_id, g.client_id, g.resource, g.scopes, g.created_at, g.revoked_at,
                    t.expires_at, t.rotated_at, t.successor, s.rotated_at IS NOT NULL
             FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id
             LEFT JOIN refresh_tokens s ON s.digest = t.successor
             WHERE t.digest = ?1",
        )?
        .query_row([token], |row| {
            let at: Option<Timestamp> = row.get(grants::COLUMNS + 1)?;
            let successor: Option<Digest> = row.get(grants::COLUMNS + 2)?;
            let is_successor_used = row.get(grants::COLUMNS + 3)?;
            let rotated = at.zip(successor).map(|(at, successor)| Rotated { at, successor, is_successor_used });
            Ok(Link { grant: grants::read(row)?, expires_at: row.get(grants::COLUMNS)?, rotated })
        })
        .optional()
}

pub(super) fn insert_refresh(writing: &Writing<'_>, grant: &GrantId, token: NewRefreshToken) -> rusqlite::Result<()> {
    writing.change(
        "INSERT INTO refresh_tokens (digest, grant_id, expires_at) VALUES (?1, ?2, ?3)",
        params![token.digest, grant, token.expires_at],
    )?;
    Ok(())
}
