//! What the apps of a person have.

use async_trait::async_trait;
use rusqlite::params;

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, UserId};
use crate::model::connection::Connection;
use crate::model::consent::Consent;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::{consents, grants};
use crate::store::{Connections, StoreError};

#[async_trait]
impl Connections for Sqlite {
    async fn list_connections(
        &self,
        user: &UserId,
        tokens_since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StoreError> {
        let user = user.clone();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT client_id, scopes, created_at, coalesce(last_used_at, created_at) AS used,
                            max(coalesce(last_used_at, created_at), coalesce(called_at, 0))
                     FROM grants
                     WHERE user_id = ?1 AND revoked_at IS NULL
                       AND (used > ?2 OR EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.grant_id = grants.id
                                                 AND t.rotated_at IS NULL AND t.expires_at > ?3))
                     ORDER BY created_at, id",
                )?
                .query_map(params![user, tokens_since, now], |row| {
                    Ok(Connection {
                        client_id: row.get(0)?,
                        scopes: row.get(1)?,
                        connected_at: row.get(2)?,
                        used_at: row.get(4)?,
                    })
                })?
                .collect()
        })
        .await
    }

    async fn record_calls(&self) -> Result<(), StoreError> {
        let noted = self.calls.take();
        if noted.is_empty() {
            return Ok(());
        }
        let calls = noted.clone();
        let written = self.write(move |writing| {
            calls.iter().try_for_each(|(grant, at)| {
                let sql = "UPDATE grants SET called_at = ?2 WHERE id = ?1 AND coalesce(called_at, 0) < ?2";
                writing.change(sql, params![grant, at]).map(drop)
            })
        });
        written.await.inspect_err(|_| noted.iter().for_each(|(grant, at)| self.calls.note(grant, *at)))
    }

    async fn list_consents(&self, user: &UserId) -> Result<Vec<Consent>, StoreError> {
        let user = user.clone();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT user_id, client_id, redirect_uri, resource, scopes, granted_at FROM consents
                     WHERE user_id = ?1 ORDER BY granted_at, client_id, redirect_uri, resource",
                )?
                .query_map([user], consents::read)?
                .collect()
        })
        .await
    }

    async fn disconnect(&self, user: &UserId, client: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
        let (user, client) = (user.clone(), client.clone());
        self.write_at(now, move |writing| grants::disconnect(writing, &user, &client, now)).await
    }
}
