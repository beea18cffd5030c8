//! Browsers in which somebody has logged in.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::UserId;
use crate::model::browser_session::BrowserSession;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::accounts;
use crate::store::sqlite::writer::Writing;
use crate::store::{BrowserSessions, StoreError};

#[async_trait]
impl BrowserSessions for Sqlite {
    async fn add_session(&self, session: BrowserSession) -> Result<(), StoreError> {
        self.write(move |writing| {
            // Otherwise a login that was under way when the user was disabled would count once the user is enabled again.
            if accounts::may_come_in(writing, &session.user)? {
                insert(writing, &session)?;
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
                    "SELECT digest, user_id, device, created_at, coalesce(used_at, created_at), expires_at
                     FROM browser_sessions WHERE digest = ?1 AND expires_at > ?2",
                )?
                .query_row(params![cookie, now], read)
                .optional()
        })
        .await
    }

    async fn list_sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<BrowserSession>, StoreError> {
        let user = user.clone();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT digest, user_id, device, created_at, coalesce(used_at, created_at) AS used, expires_at
                     FROM browser_sessions WHERE user_id = ?1 AND expires_at > ?2 ORDER BY used DESC, digest",
                )?
                .query_map(params![user, now], read)?
                .collect()
        })
        .await
    }

    async fn touch_session(&self, cookie: &Digest, now: Timestamp) -> Result<(), StoreError> {
        let cookie = *cookie;
        self.write(move |writing| {
            writing.change("UPDATE browser_sessions SET used_at = ?2 WHERE digest = ?1", params![cookie, now])?;
            Ok(())
        })
        .await
    }

    async fn remove_session(&self, cookie: &Digest) -> Result<bool, StoreError> {
        let cookie = *cookie;
        self.write(move |writing| Ok(writing.change("DELETE FROM browser_sessions WHERE digest = ?1", [cookie])? == 1))
            .await
    }

    async fn remove_sessions_elsewhere(
        &self,
        user: &UserId,
        here: &Digest,
        only: Option<Digest>,
    ) -> Result<usize, StoreError> {
        let (user, here) = (user.clone(), *here);
        self.write(move |writing| remove_elsewhere(writing, &user, &here, only)).await
    }
}

fn insert(writing: &Writing<'_>, session: &BrowserSession) -> rusqlite::Result<()> {
    writing.change(
        "INSERT INTO browser_sessions (digest, user_id, device, created_at, used_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![session.digest, session.user, session.device, session.created_at, session.used_at, session.expires_at],
    )?;
    Ok(())
}

/// Which browser a flow is in is not known here, so a question that waits for a yes in this one ends as well: it can be asked
/// again, where one left open elsewhere could be answered by whoever was to be kept out. So do codes that wait: whoever sits
/// there could have fetched one a second before.
pub(super) fn remove_elsewhere(
    writing: &Writing<'_>,
    user: &UserId,
    here: &Digest,
    only: Option<Digest>,
) -> rusqlite::Result<usize> {
    let removed = writing.change(
        "DELETE FROM browser_sessions WHERE user_id = ?1 AND digest <> ?2 AND (?3 IS NULL OR digest = ?3)",
        params![user, here, only],
    )?;
    writing.change("DELETE FROM flows WHERE user_id = ?1", [user])?;
    writing.change("DELETE FROM codes WHERE user_id = ?1 AND redeemed_grant_id IS NULL", [user])?;
    Ok(removed)
}

fn read(row: &Row<'_>) -> rusqlite::Result<BrowserSession> {
    Ok(BrowserSession {
        digest: row.get(0)?,
        user: row.get(1)?,
        device: row.get(2)?,
        created_at: row.get(3)?,
        used_at: row.get(4)?,
        expires_at: row.get(5)?,
    })
}
