//! What the operator sees and ends at the command line.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::model::client::RegisteredClient;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::clients;
use crate::store::sqlite::grants;
use crate::store::{ListedClient, ListedGrant, Oversight, StoreError};

#[async_trait]
impl Oversight for Sqlite {
    async fn list_clients(&self, now: Timestamp) -> Result<Vec<ListedClient>, StoreError> {
        self.read(move |connection| {
            let grants = live_grants(connection, now)?;
            let sql = format!("SELECT {} FROM clients ORDER BY registered_at, id", clients::COLUMN_NAMES);
            let mut clients = connection
                .prepare_cached(&sql)?
                .query_map([], |row| Ok(ListedClient { grants: 0, client: clients::read(row)? }))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut counts = HashMap::new();
            for found in &grants {
                *counts.entry(&found.grant.client_id).or_insert(0) += 1;
            }
            for listed in &mut clients {
                listed.grants = counts.get(&listed.client.id).copied().unwrap_or(0);
            }
            Ok(clients)
        })
        .await
    }

    async fn list_grants(&self, now: Timestamp) -> Result<Vec<ListedGrant>, StoreError> {
        self.read(move |connection| live_grants(connection, now)).await
    }

    async fn add_operators_client(&self, client: RegisteredClient) -> Result<(), StoreError> {
        self.write(move |writing| {
            clients::insert(writing, &client)?;
            writing.change("UPDATE clients SET by_operator = 1 WHERE id = ?1", [&client.id])?;
            Ok(())
        })
        .await
    }

    async fn revoke_grants_of_client(&self, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| {
            let was_there = live_grants(writing, now)?.iter().any(|found| found.grant.client_id == id);
            grants::revoke_of_client(writing, &id, now)?;
            let remembered = clients::forget(writing, &id)?;
            let document = writing.change("DELETE FROM client_documents WHERE client_id = ?1", [&id])?;
            Ok(was_there || remembered || document > 0)
        })
        .await
    }
}

/// Grants of which a token may still work: not revoked, and with a refresh token that has not ended, or so young that an
/// access token has not.
fn live_grants(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<ListedGrant>> {
    connection
        .prepare_cached(
            "SELECT g.id, g.user_id, g.client_id, g.resource, g.scopes, g.created_at, g.revoked_at,
                    (SELECT max(rotated_at) FROM refresh_tokens WHERE grant_id = g.id)
             FROM grants g
             WHERE g.revoked_at IS NULL
               AND (EXISTS (SELECT 1 FROM refresh_tokens WHERE grant_id = g.id AND expires_at > ?1)
                    OR g.created_at > ?1 - (SELECT coalesce(max(seconds), 0) FROM access_token_lifetimes))
             ORDER BY g.created_at, g.id",
        )?
        .query_map(params![now], |row| {
            Ok(ListedGrant { grant: grants::read(row)?, refreshed_at: row.get(grants::COLUMNS)? })
        })?
        .collect()
}
