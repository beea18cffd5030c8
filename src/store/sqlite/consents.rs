//! Consents that were remembered.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::id::{ClientId, UserId};
use crate::model::consent::{Consent, Decided};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::writer::Writing;
use crate::store::{Consents, StoreError};

#[async_trait]
impl Consents for Sqlite {
    async fn find_consent(
        &self,
        user: &UserId,
        client_id: &ClientId,
        redirect_uri: &str,
        resource: &str,
    ) -> Result<Option<Consent>, StoreError> {
        let key = (user.clone(), client_id.clone(), redirect_uri.to_owned(), resource.to_owned());
        self.read(move |connection| find(connection, (&key.0, &key.1, &key.2, &key.3))).await
    }
}

fn find(connection: &Connection, key: (&UserId, &ClientId, &str, &str)) -> rusqlite::Result<Option<Consent>> {
    connection
        .prepare_cached(
            "SELECT user_id, client_id, redirect_uri, resource, scopes, granted_at FROM consents
             WHERE user_id = ?1 AND client_id = ?2 AND redirect_uri = ?3 AND resource = ?4",
        )?
        .query_row(key, read)
        .optional()
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Consent> {
    Ok(Consent {
        user: row.get(0)?,
        client_id: row.get(1)?,
        redirect_uri: row.get(2)?,
        resource: row.get(3)?,
        scopes: row.get(4)?,
        granted_at: row.get(5)?,
    })
}

/// The latest word counts, wider or narrower, on what it was about.
pub(super) fn remember(writing: &Writing<'_>, decided: Decided) -> rusqlite::Result<()> {
    let asked = &decided.consent;
    let before = find(writing, (&asked.user, &asked.client_id, &asked.redirect_uri, &asked.resource))?;
    let consent = decided.after(before);
    writing.change(
        "INSERT OR REPLACE INTO consents (user_id, client_id, redirect_uri, resource, scopes, granted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            consent.user,
            consent.client_id,
            consent.redirect_uri,
            consent.resource,
            consent.scopes,
            consent.granted_at
        ],
    )?;
    Ok(())
}
