//! People and clients whom the configuration does not let in any more.

use rusqlite::{Connection, ToSql};

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, UserId};
use crate::store::Present;
use crate::store::sqlite::grants;
use crate::store::sqlite::value::Json;
use crate::store::sqlite::writer::Writing;

/// Ends what was granted to whoever is not among `present`, but was among those `before` if these are given, and what could
/// become a grant. Who is in `configured` is there by the configuration of this process or of another.
pub(super) fn revoke(
    writing: &Writing<'_>,
    (present, before): (&Present, Option<&Present>),
    now: Timestamp,
) -> rusqlite::Result<()> {
    for user in users(writing, present, before)? {
        grants::revoke_of_user(writing, &user, now)?;
    }
    for client in clients(writing, present, before)? {
        grants::revoke_of_client(writing, &client, now)?;
        writing.change("DELETE FROM codes WHERE client_id = ?1 AND redeemed_grant_id IS NULL", [&client])?;
        writing.change("DELETE FROM flows WHERE client_id = ?1", [&client])?;
    }
    Ok(())
}

fn users(connection: &Connection, present: &Present, before: Option<&Present>) -> rusqlite::Result<Vec<UserId>> {
    // A user of the configuration who was there before is told by the review from one of the store.
    const ABSENT: &str = "
        WITH concerned (id) AS (
            SELECT user_id FROM grants WHERE revoked_at IS NULL
            UNION SELECT user_id FROM codes WHERE redeemed_grant_id IS NULL
            UNION SELECT user_id FROM flows WHERE user_id IS NOT NULL
            UNION SELECT user_id FROM browser_sessions)
        SELECT id FROM concerned
        WHERE id NOT IN (
            SELECT id FROM configured
            UNION ALL SELECT id FROM users WHERE ?1 AND disabled = 0
            UNION ALL SELECT user_id FROM accounts WHERE disabled = 0 AND issuer IN (SELECT value FROM json_each(?2)))
        AND (?3 OR id IN (
            SELECT value FROM json_each(?4)
            UNION ALL SELECT id FROM users WHERE ?5
            UNION ALL SELECT user_id FROM accounts WHERE issuer IN (SELECT value FROM json_each(?6))))";
    let (is_start, before) = (before.is_none(), before.cloned().unwrap_or_default());
    let configured: Vec<&UserId> = before.configured.iter().map(|person| &person.id).collect();
    let (issuers, issuers_before) = (with_and_without_slash(&present.issuers), with_and_without_slash(&before.issuers));
    let values: [&dyn ToSql; 6] =
        [&present.stored, &Json(&issuers), &is_start, &Json(&configured), &before.stored, &Json(&issuers_before)];
    connection.prepare_cached(ABSENT)?.query_map(values, |row| row.get(0))?.collect()
}

fn clients(connection: &Connection, present: &Present, before: Option<&Present>) -> rusqlite::Result<Vec<ClientId>> {
    const ABSENT: &str = "
        WITH concerned (id) AS (
            SELECT client_id FROM grants WHERE revoked_at IS NULL
            UNION SELECT client_id FROM codes WHERE redeemed_grant_id IS NULL
            UNION SELECT client_id FROM flows WHERE client_id <> '')
        SELECT id FROM concerned
        WHERE id NOT IN (SELECT id FROM clients UNION ALL SELECT value FROM json_each(?1))
        AND NOT (?2 AND instr(id, '://') > 0)
        AND (?3 OR id IN (SELECT value FROM json_each(?4)) OR (?5 AND instr(id, '://') > 0))";
    let (is_start, before) = (before.is_none(), before.cloned().unwrap_or_default());
    let values: [&dyn ToSql; 5] =
        [&Json(&present.clients), &present.documents, &is_start, &Json(&before.clients), &before.documents];
    connection.prepare_cached(ABSENT)?.query_map(values, |row| row.get(0))?.collect()
}

/// Providers and operators disagree about one slash at the end, and mean the same.
fn with_and_without_slash(issuers: &[String]) -> Vec<String> {
    let bare = issuers.iter().map(|issuer| issuer.strip_suffix('/').unwrap_or(issuer));
    bare.flat_map(|issuer| [issuer.to_owned(), format!("{issuer}/")]).collect()
}
