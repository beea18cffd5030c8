//! People known from identity providers.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::id::UserId;
use crate::model::account::Account;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::value::Json;
use crate::store::sqlite::writer::Writing;
use crate::store::{Accounts, StoreError};

#[async_trait]
impl Accounts for Sqlite {
    async fn find_account(&self, user: &UserId) -> Result<Option<Account>, StoreError> {
        let user = user.clone();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT user_id, issuer, subject, profile, refresh_token, disabled, created_at, confirmed_at
                     FROM accounts WHERE user_id = ?1",
                )?
                .query_row([user], read)
                .optional()
        })
        .await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT user_id, issuer, subject, profile, refresh_token, disabled, created_at, confirmed_at
                     FROM accounts ORDER BY user_id",
                )?
                .query_map([], read)?
                .collect()
        })
        .await
    }

    async fn record_account(&self, account: Account) -> Result<bool, StoreError> {
        self.write(move |writing| record(writing, &account)).await
    }
}

/// One statement, so that nobody who is being disabled meanwhile slips through, and no refresh token is lost.
pub(super) fn record(writing: &Writing<'_>, account: &Account) -> rusqlite::Result<bool> {
    let changed = writing.change(
        "INSERT INTO accounts (user_id, issuer, subject, profile, refresh_token, disabled, created_at, confirmed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (user_id) DO UPDATE SET
           issuer = excluded.issuer, subject = excluded.subject, profile = excluded.profile,
           refresh_token = COALESCE(excluded.refresh_token, refresh_token), confirmed_at = excluded.confirmed_at
         WHERE disabled = 0",
        params![
            account.user,
            account.issuer,
            account.subject,
            Json(&account.profile),
            account.refresh_token,
            account.disabled,
            account.created_at,
            account.confirmed_at,
        ],
    )?;
    Ok(changed == 1)
}

/// Adds somebody who is not known. `false`: the person is known, and disabled.
pub(super) fn meet(writing: &Writing<'_>, account: &Account) -> rusqlite::Result<bool> {
    let known: Option<bool> = writing
        .prepare_cached("SELECT disabled FROM accounts WHERE user_id = ?1")?
        .query_row([&account.user], |row| row.get(0))
        .optional()?;
    known.map_or_else(|| record(writing, account), |disabled| Ok(!disabled))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        user: row.get(0)?,
        issuer: row.get(1)?,
        subject: row.get(2)?,
        profile: row.get::<_, Json<_>>(3)?.0,
        refresh_token: row.get(4)?,
        disabled: row.get(5)?,
        created_at: row.get(6)?,
        confirmed_at: row.get(7)?,
    })
}

/// Whether a login of this user may lead to anything: nobody who is disabled, and nobody from an identity provider who is
/// not known (any more). Of the users of the configuration nothing is known here.
pub(super) fn may_come_in(connection: &Connection, user: &UserId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = ?1 AND disabled = 1)
                        AND (?2 = 0 OR EXISTS (SELECT 1 FROM accounts WHERE user_id = ?1 AND disabled = 0))",
        )?
        .exists(params![user, user.is_federated()])
}
