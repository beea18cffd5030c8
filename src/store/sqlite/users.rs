//! Users with a password that are managed with `mcp-bridge user`.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::model::enrolled::Enrolled;
use crate::model::user::User;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::absent;
use crate::store::sqlite::browser_sessions;
use crate::store::sqlite::configured;
use crate::store::sqlite::grants;
use crate::store::sqlite::writer::Writing;
use crate::store::{Ended, PasswordChange, Present, Review, StoreError, Users};

#[async_trait]
impl Users for Sqlite {
    async fn find_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.read(move |connection| find(connection, &id)).await
    }

    async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT id, password_hash, scopes, email, disabled, created_at FROM users ORDER BY id")?
                .query_map([], read)?
                .collect()
        })
        .await
    }

    async fn add_user(&self, user: User) -> Result<bool, StoreError> {
        self.write(move |writing| {
            let added = writing.change(
                "INSERT INTO users (id, password_hash, scopes, email, disabled, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING",
                params![user.id, user.password_hash.expose(), user.scopes, user.email, user.disabled, user.created_at],
            )?;
            Ok(added == 1)
        })
        .await
    }

    async fn set_password(&self, id: &UserId, password_hash: Secret, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| {
            let values = params![id, password_hash.expose()];
            if writing.change("UPDATE users SET password_hash = ?2 WHERE id = ?1", values)? == 0 {
                return Ok(false);
            }
            grants::revoke_of_user(writing, &id, now)?;
            Ok(true)
        })
        .await
    }

    async fn change_password(&self, change: PasswordChange, now: Timestamp) -> Result<Option<Ended>, StoreError> {
        self.write_at(now, move |writing| {
            let values = params![change.user, change.new.expose(), change.old.expose()];
            // Compared here, so that of two changes at once, or one by the operator, the later finds that it was too late.
            let changed = writing.change(
                "UPDATE users SET password_hash = ?2 WHERE id = ?1 AND password_hash = ?3 AND disabled = 0",
                values,
            )?;
            if changed == 0 {
                return Ok(None);
            }
            let grants = if change.disconnects { grants::revoke_granted(writing, &change.user, now)? } else { 0 };
            let sessions = browser_sessions::remove_elsewhere(writing, &change.user, &change.here, None)?;
            Ok(Some(Ended { grants, sessions }))
        })
        .await
    }

    async fn disable_user(&self, id: &UserId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| {
            if !set_disabled(writing, &id, true)? {
                return Ok(false);
            }
            grants::revoke_of_user(writing, &id, now)?;
            Ok(true)
        })
        .await
    }

    async fn enable_user(&self, id: &UserId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |writing| set_disabled(writing, &id, false)).await
    }

    async fn remove_user(&self, id: &UserId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| {
            let of_users = writing.change("DELETE FROM users WHERE id = ?1", [&id])?;
            if of_users + writing.change("DELETE FROM accounts WHERE user_id = ?1", [&id])? == 0 {
                return Ok(false);
            }
            grants::revoke_of_user(writing, &id, now)?;
            writing.change("DELETE FROM consents WHERE user_id = ?1", [&id])?;
            Ok(true)
        })
        .await
    }

    async fn revoke_grants_of(&self, id: &UserId, now: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        self.write_at(now, move |writing| grants::revoke_of_user(writing, &id, now)).await
    }

    async fn review_present(
        &self,
        present: Present,
        before: Option<Present>,
        now: Timestamp,
    ) -> Result<Review, StoreError> {
        self.write_at(now, move |writing| {
            let configured_before = before.as_ref().map(|before| before.configured.as_slice());
            let review = configured::review(writing, (&present.configured, configured_before), now)?;
            absent::revoke(writing, (&present, before.as_ref()), now)?;
            Ok(review)
        })
        .await
    }

    async fn find_configured(&self, id: &UserId) -> Result<Option<Enrolled>, StoreError> {
        let id = id.clone();
        self.read(move |connection| configured::find(connection, &id)).await
    }
}

/// `false`: no such user. Users and people of identity providers share no identifier.
fn set_disabled(writing: &Writing<'_>, id: &UserId, disabled: bool) -> rusqlite::Result<bool> {
    let of_users = writing.change("UPDATE users SET disabled = ?2 WHERE id = ?1", params![id, disabled])?;
    let of_accounts = writing.change("UPDATE accounts SET disabled = ?2 WHERE user_id = ?1", params![id, disabled])?;
    Ok(of_users + of_accounts > 0)
}

pub(super) fn find(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<User>> {
    connection
        .prepare_cached("SELECT id, password_hash, scopes, email, disabled, created_at FROM users WHERE id = ?1")?
        .query_row([id], read)
        .optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        password_hash: Secret::from(row.get::<_, String>(1)?),
        scopes: row.get(2)?,
        email: row.get(3)?,
        disabled: row.get(4)?,
        created_at: row.get(5)?,
    })
}
