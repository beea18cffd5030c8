//! Who was in the configuration when grants were last made by it.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::model::enrolled::Enrolled;
use crate::store::Review;
use crate::store::sqlite::grants;
use crate::store::sqlite::writer::Writing;

/// Takes down who is there, where nobody did since `before` was in force, and ends what was granted to who is another now or may
/// do less. `None`: all that is known is of before.
pub(super) fn review(
    writing: &Writing<'_>,
    (present, before): (&[Enrolled], Option<&[Enrolled]>),
    now: Timestamp,
) -> rusqlite::Result<Review> {
    let all = list(writing)?;
    let (known, after, before) = (by_name(&all), by_name(present), before.map(by_name));
    let names: BTreeSet<&UserId> =
        known.keys().chain(after.keys()).chain(before.iter().flat_map(HashMap::keys)).copied().collect();
    let mut review = Review::default();
    for id in names {
        let (known, after) = (known.get(id).copied(), after.get(id).copied());
        if let Some(before) = before.as_ref().map(|before| before.get(id).copied()) {
            if after == before {
                continue;
            }
            if !is_alike(known, before) && !is_alike(known, after) {
                review.of_others.push(id.clone());
                continue;
            }
        }
        if put(writing, id, (known, after), now)? {
            review.ended.push(id.clone());
        }
    }
    Ok(review)
}

/// Whether a client that acts for itself does so by what is in force.
pub(super) fn counts(connection: &Connection, client: &Enrolled) -> rusqlite::Result<bool> {
    Ok(find(connection, &client.id)?.is_some_and(|in_force| client.counts_by(&in_force)))
}

pub(super) fn find(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<Enrolled>> {
    connection
        .prepare_cached("SELECT id, credential, key, scopes FROM configured WHERE id = ?1")?
        .query_row([id], read)
        .optional()
}

fn list(connection: &Connection) -> rusqlite::Result<Vec<Enrolled>> {
    connection.prepare_cached("SELECT id, credential, key, scopes FROM configured")?.query_map([], read)?.collect()
}

fn by_name(people: &[Enrolled]) -> HashMap<&UserId, &Enrolled> {
    people.iter().map(|person| (&person.id, person)).collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Enrolled> {
    Ok(Enrolled { id: row.get(0)?, credential: row.get(1)?, key: row.get(2)?, scopes: row.get(3)? })
}

/// Whether two say the same. An older version does not note the key, which is in the credential, too.
fn is_alike(one: Option<&Enrolled>, other: Option<&Enrolled>) -> bool {
    one.map(|one| (&one.credential, &one.scopes)) == other.map(|other| (&other.credential, &other.scopes))
}

/// Takes down what is there of one name now in the place of what was known. Whether that is another, whose grants have ended.
fn put(
    writing: &Writing<'_>,
    id: &UserId,
    (known, after): (Option<&Enrolled>, Option<&Enrolled>),
    now: Timestamp,
) -> rusqlite::Result<bool> {
    if known == after {
        return Ok(false);
    }
    // Another person who is known by this name, before or from now on, is the one of the store.
    let has_namesake = (known.is_none() || after.is_none()) && has_namesake(writing, id)?;
    let is_other = match (known, after) {
        (Some(known), Some(after)) => after.ends(known),
        (Some(_), None) => true,
        (None, _) => has_namesake,
    };
    if is_other {
        grants::revoke_of_user(writing, id, now)?;
    }
    if has_namesake {
        // What the one allowed does not count for the other either.
        writing.change("DELETE FROM consents WHERE user_id = ?1", [id])?;
    }
    match after {
        Some(person) => {
            let sql = "INSERT OR REPLACE INTO configured (id, credential, key, scopes) VALUES (?1, ?2, ?3, ?4)";
            writing.change(sql, params![person.id, person.credential, person.key, person.scopes])?;
        }
        None => drop(writing.change("DELETE FROM configured WHERE id = ?1", [id])?),
    }
    Ok(is_other)
}

/// Whether there is a user of the store by this name: another person, with another password.
fn has_namesake(connection: &Connection, id: &UserId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?.exists([id])
}
