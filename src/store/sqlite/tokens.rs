//! Codes, grants and refresh tokens.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, GrantId};
use crate::model::authorization::AuthorizationCode;
use crate::model::enrolled::Enrolled;
use crate::model::grant::{
    AssertionOutcome, CheckedAssertion, Grant, Redemption, RefreshPolicy, RefreshToken, Rotation,
};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::assertions;
use crate::store::sqlite::clean_up;
use crate::store::sqlite::clients;
use crate::store::sqlite::configured;
use crate::store::sqlite::grants;
use crate::store::sqlite::rotation;
use crate::store::sqlite::users;
use crate::store::sqlite::writer::Writing;
use crate::store::{NewRefreshToken, Refreshing, StoreError, Tokens};

#[async_trait]
impl Tokens for Sqlite {
    async fn find_code(&self, code: &Digest) -> Result<Option<AuthorizationCode>, StoreError> {
        let code = *code;
        self.read(move |connection| Ok(find_code(connection, &code)?.map(|found| found.code))).await
    }

    async fn redeem_code(
        &self,
        code: &Digest,
        refresh: Option<NewRefreshToken>,
        now: Timestamp,
    ) -> Result<Redemption, StoreError> {
        let code = *code;
        self.write_at(now, move |writing| redeem(writing, &code, refresh, now)).await
    }

    async fn find_refresh(&self, token: &Digest) -> Result<Option<RefreshToken>, StoreError> {
        let token = *token;
        self.read(move |connection| find_refresh(connection, token)).await
    }

    async fn find_refreshing(&self, token: &Digest, client: &ClientId) -> Result<Refreshing, StoreError> {
        let (token, client) = (*token, client.clone());
        self.read(move |connection| find_refreshing(connection, token, &client)).await
    }

    async fn rotate_refresh(
        &self,
        token: &Digest,
        successor: Digest,
        policy: RefreshPolicy,
        now: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let request = rotation::Request { token: *token, successor, policy, now };
        self.write_at(now, move |writing| rotation::rotate(writing, &request)).await
    }

    async fn add_grant(&self, grant: Grant, client: Enrolled) -> Result<bool, StoreError> {
        self.write(move |writing| {
            let counts = configured::counts(writing, &client)?;
            if counts {
                grants::insert(writing, &grant)?;
            }
            Ok(counts)
        })
        .await
    }

    async fn spend_assertion(
        &self,
        client: &ClientId,
        jti: &Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (client, jti) = (client.clone(), *jti);
        self.write_at(now, move |writing| assertions::spend(writing, &client, &jti, expires_at)).await
    }

    async fn redeem_assertion(
        &self,
        assertion: CheckedAssertion,
        now: Timestamp,
    ) -> Result<AssertionOutcome, StoreError> {
        self.write_at(now, move |writing| assertions::redeem(writing, &assertion)).await
    }

    async fn revoke_grant(&self, grant: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
        let grant = grant.clone();
        self.write_at(now, move |writing| grants::revoke(writing, &grant, now)).await
    }

    async fn revoke_access_token(&self, jti: &str, expires_at: Timestamp) -> Result<(), StoreError> {
        let jti = jti.to_owned();
        self.write(move |writing| {
            writing.change(
                "INSERT INTO revoked_access_tokens (jti, expires_at) VALUES (?1, ?2)
                 ON CONFLICT (jti) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
                params![jti, expires_at],
            )?;
            writing.note_revocation();
            Ok(())
        })
        .await
    }

    async fn expect_lifetime(&self, access_tokens: Duration, now: Timestamp) -> Result<(), StoreError> {
        self.write_at(now, move |writing| writing.expect_lifetime(now, access_tokens)).await
    }

    async fn remove_expired(&self, policy: RefreshPolicy, now: Timestamp) -> Result<(), StoreError> {
        for step in clean_up::STEPS {
            while self.write_at(now, move |writing| clean_up::run(writing, step, policy, now)).await? {}
        }
        Ok(())
    }
}

/// A code, and whether it was redeemed.
struct StoredCode {
    code: AuthorizationCode,
    is_redeemed: bool,
}

fn find_code(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<StoredCode>> {
    connection
        .prepare_cached(
            "SELECT digest, grant_id, client_id, user_id, redirect_uri, code_challenge, resource, scopes, issued_at,
                    expires_at, redeemed_grant_id IS NOT NULL
             FROM codes WHERE digest = ?1",
        )?
        .query_row([digest], |row| {
            let code = AuthorizationCode {
                digest: row.get(0)?,
                grant: row.get(1)?,
                client_id: row.get(2)?,
                user: row.get(3)?,
                redirect_uri: row.get(4)?,
                code_challenge: row.get(5)?,
                resource: row.get(6)?,
                scopes: row.get(7)?,
                issued_at: row.get(8)?,
                expires_at: row.get(9)?,
            };
            Ok(StoredCode { code, is_redeemed: row.get(10)? })
        })
        .optional()
}

pub(super) fn insert_code(writing: &Writing<'_>, code: &AuthorizationCode) -> rusqlite::Result<()> {
    writing.change(
        "INSERT INTO codes (digest, grant_id, client_id, user_id, redirect_uri, code_challenge, resource, scopes,
                            issued_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            code.digest,
            code.grant,
            code.client_id,
            code.user,
            code.redirect_uri,
            code.code_challenge,
            code.resource,
            code.scopes,
            code.issued_at,
            code.expires_at,
        ],
    )?;
    Ok(())
}

fn redeem(
    writing: &Writing<'_>,
    digest: &Digest,
    refresh: Option<NewRefreshToken>,
    now: Timestamp,
) -> rusqlite::Result<Redemption> {
    let Some(StoredCode { code, is_redeemed }) = find_code(writing, digest)? else { return Ok(Redemption::Unknown) };
    if is_redeemed {
        // RFC 6749 §4.1.2: a code used twice SHOULD revoke the tokens it gave.
        grants::revoke(writing, &code.grant, now)?;
        return Ok(Redemption::Replayed(code.grant));
    }
    if code.expires_at <= now {
        return Ok(Redemption::Unknown);
    }
    let grant = Grant {
        id: code.grant,
        user: code.user,
        client_id: code.client_id,
        resource: code.resource,
        scopes: code.scopes,
        created_at: now,
        revoked_at: None,
    };
    grants::insert(writing, &grant)?;
    writing.change("UPDATE codes SET redeemed_grant_id = grant_id WHERE digest = ?1", [digest])?;
    if let Some(token) = refresh {
        rotation::insert_refresh(writing, &grant.id, token)?;
    }
    Ok(Redemption::Granted(grant))
}

fn find_refreshing(connection: &Connection, token: Digest, client: &ClientId) -> rusqlite::Result<Refreshing> {
    // One transaction, so that nothing is from before a change and something else from after it.
    let moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let token = find_refresh(connection, token)?;
    let user = token.as_ref().map(|token| users::find(connection, &token.grant.user)).transpose()?.flatten();
    let client = clients::find(connection, client)?;
    moment.map(Transaction::commit).transpose()?;
    Ok(Refreshing { token, user, client })
}

pub(super) const FIND_REFRESH: &str =
    "SELECT g.id, g.user_id, g.client_id, g.resource, g.scopes, g.created_at, g.revoked_at, t.expires_at,
            t.successor IS NOT NULL
     FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id WHERE t.digest = ?1";

pub(super) fn find_refresh(connection: &Connection, token: Digest) -> rusqlite::Result<Option<RefreshToken>> {
    connection
        .prepare_cached(FIND_REFRESH)?
        .query_row([token], |row| {
            Ok(RefreshToken {
                digest: token,
                grant: grants::read(row)?,
                expires_at: row.get(grants::COLUMNS)?,
                is_rotated: row.get(grants::COLUMNS + 1)?,
            })
        })
        .optional()
}
