//! Browsers in which somebody has logged in.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::model::browser_session::BrowserSession;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::users;
use crate::store::{BrowserSessions, StoreError};

#[async_trait]
impl BrowserSessions for Sqlite {
    async fn add_session(&self, session: BrowserSession) -> Result<(), StoreError> {
        self.write(move |writing| {
            // Otherwise a login that was under way when the user was disabled would count once the user is enabled again.
            if users::may_come_in(writing, &session.user)? {
                writing.change(
                    "INSERT INTO browser_sessions (digest, user_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
                    params![session.digest, session.user, session.created_at, session.expires_at],
                )?;
            }
            Ok(())
        })
        .await
    }

    async fn find_session(&self, cookie: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError> {
        let cookie = *cookie;
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT digest, user_id, created_at, expires_at FROM browser_sessions
                     WHERE digest = ?1 AND expires_at > ?2",
                )?
                .query_row(params![cookie, now], |row| {
                    Ok(BrowserSession {
                        digest: row.get(0)?,
                        user: row.get(1)?,
                        created_at: row.get(2)?,
                        expires_at: row.get(3)?,
                    })
                })
                .optional()
        })
        .await
    }

    async fn remove_session(&self, cookie: &Digest) -> Result<bool, StoreError> {
        let cookie = *cookie;
        self.write(move |writing| Ok(writing.change("DELETE FROM browser_sessions WHERE digest = ?1", [cookie])? == 1))
            .await
    }
}
