//! Who was in the configuration when grants were last made by it.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::model::enrolled::Enrolled;
use crate::store::Review;
use crate::store::sqlite::grants;
use crate::store::sqlite::writer::Writing;

/// Ends what was granted to who is another now, or may do less, and takes down who is there. Whose it was.
pub(super) fn review(writing: &Writing<'_>, review: &Review, now: Timestamp) -> rusqlite::Result<Vec<UserId>> {
    let known = list(writing)?;
    let concerns = |id: &UserId| review.only.as_ref().is_none_or(|only| only.contains(id));
    let mut ended = Vec::new();
    for person in review.people.iter().filter(|person| concerns(&person.id)) {
        let before = known.get(&person.id);
        let is_other = match before {
            Some(before) => person.ends(before),
            // Who was known by this name until now was the one of the store.
            None => has_namesake(writing, &person.id)?,
        };
        if is_other {
            end(writing, &person.id, before.is_none(), now)?;
            ended.push(person.id.clone());
        }
        if before != Some(person) {
            record(writing, person)?;
        }
    }
    for id in known.keys().filter(|id| concerns(id) && !review.people.iter().any(|person| person.id == **id)) {
        end(writing, id, has_namesake(writing, id)?, now)?;
        writing.change("DELETE FROM configured WHERE id = ?1", [id])?;
        ended.push(id.clone());
    }
    Ok(ended)
}

pub(super) fn find(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<Enrolled>> {
    connection
        .prepare_cached("SELECT id, credential, scopes FROM configured WHERE id = ?1")?
        .query_row([id], read)
        .optional()
}

fn list(connection: &Connection) -> rusqlite::Result<HashMap<UserId, Enrolled>> {
    connection
        .prepare_cached("SELECT id, credential, scopes FROM configured")?
        .query_map([], |row| read(row).map(|person| (person.id.clone(), person)))?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Enrolled> {
    Ok(Enrolled { id: row.get(0)?, credential: row.get(1)?, scopes: row.get(2)? })
}

fn record(writing: &Writing<'_>, person: &Enrolled) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO configured (id, credential, scopes) VALUES (?1, ?2, ?3)";
    writing.change(sql, params![person.id, person.credential, person.scopes]).map(drop)
}

/// Whether there is a user of the store by this name: another person, with another password.
fn has_namesake(connection: &Connection, id: &UserId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?.exists([id])
}

/// With another person by this name, what the one allowed does not count for the other either.
fn end(writing: &Writing<'_>, id: &UserId, is_another_person: bool, now: Timestamp) -> rusqlite::Result<()> {
    grants::revoke_of_user(writing, id, now)?;
    if is_another_person {
        writing.change("DELETE FROM consents WHERE user_id = ?1", [id])?;
    }
    Ok(())
}
