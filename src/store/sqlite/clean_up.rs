//! Removing what no decision needs any more, a little at a time so that nobody waits for it.

use std::time::Duration;

use rusqlite::params;

use crate::base::clock::Timestamp;
use crate::model::grant::RefreshPolicy;
use crate::store::sqlite::writer::Writing;

/// How many rows a transaction removes at most.
const BATCH: u16 = 500;

/// How long ended things are kept for a clear answer, and as a margin for clocks that differ.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The steps, in this order: grants go after the refresh tokens that refer to them.
pub(super) const STEPS: [Step; 10] = [
    Step::Flows,
    Step::BrowserSessions,
    Step::Codes,
    Step::RefreshTokens,
    Step::AccessTokens,
    Step::SpentAssertions,
    Step::RevokedRefreshTokens,
    Step::RevokedGrants,
    Step::EndedGrants,
    Step::GrantsOfOneToken,
];

/// One kind of thing that ends.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Expired.
    Flows,
    /// Expired. The people stay known: a disabled one must not come back as a new one.
    BrowserSessions,
    /// Never redeemed. A redeemed code is kept as long as its grant, so that a replay is noticed and revokes it.
    Codes,
    /// Expired: refused whether the row is there or not.
    RefreshTokens,
    /// Revocations of access tokens that have ended.
    AccessTokens,
    /// Expired: refused for that.
    SpentAssertions,
    /// Of grants revoked so long ago. Their own step: a grant may have thousands.
    RevokedRefreshTokens,
    /// Grants revoked so long ago that none of their access tokens lives.
    RevokedGrants,
    /// Grants past their absolute lifetime with nothing left.
    EndedGrants,
    /// Grants that no code and no refresh token goes with, of clients that act for themselves and of assertions: each is
    /// for one access token.
    GrantsOfOneToken,
}

/// Removes one batch. Whether there may be more.
pub(super) fn run(writing: &Writing<'_>, step: Step, policy: RefreshPolicy, now: Timestamp) -> rusqlite::Result<bool> {
    let access_tokens_ended = now - writing.revocation_window().saturating_add(DAY);
    let (sql, ended_at) = match step {
        Step::Flows => {
            ("DELETE FROM flows WHERE rowid IN (SELECT rowid FROM flows WHERE expires_at <= ?1 LIMIT ?2)", now)
        }
        Step::BrowserSessions => (
            "DELETE FROM browser_sessions WHERE digest IN
               (SELECT digest FROM browser_sessions WHERE expires_at <= ?1 LIMIT ?2)",
            now,
        ),
        Step::Codes => (
            "DELETE FROM codes WHERE digest IN
               (SELECT digest FROM codes WHERE redeemed_grant_id IS NULL AND expires_at <= ?1 LIMIT ?2)",
            now - DAY,
        ),
        Step::RefreshTokens => (
            "DELETE FROM refresh_tokens WHERE digest IN
               (SELECT digest FROM refresh_tokens WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
            now,
        ),
        Step::AccessTokens => (
            "DELETE FROM revoked_access_tokens WHERE jti IN
               (SELECT jti FROM revoked_access_tokens WHERE expires_at <= ?1 LIMIT ?2)",
            now - DAY,
        ),
        Step::SpentAssertions => (
            "DELETE FROM spent_assertions WHERE (client_id, digest) IN
               (SELECT client_id, digest FROM spent_assertions WHERE expires_at <= ?1 LIMIT ?2)",
            now,
        ),
        Step::RevokedRefreshTokens => (
            "DELETE FROM refresh_tokens WHERE digest IN
               (SELECT t.digest FROM grants g JOIN refresh_tokens t ON t.grant_id = g.id
                WHERE g.revoked_at <= ?1 LIMIT ?2)",
            access_tokens_ended,
        ),
        Step::RevokedGrants => (
            "DELETE FROM grants WHERE rowid IN (SELECT rowid FROM grants WHERE revoked_at <= ?1 LIMIT ?2)",
            access_tokens_ended,
        ),
        Step::EndedGrants => (
            "DELETE FROM grants WHERE rowid IN
               (SELECT rowid FROM grants WHERE created_at <= ?1
                AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE grant_id = grants.id) LIMIT ?2)",
            access_tokens_ended - policy.absolute,
        ),
        Step::GrantsOfOneToken => (
            "DELETE FROM grants WHERE rowid IN
               (SELECT rowid FROM grants WHERE created_at <= ?1
                AND NOT EXISTS (SELECT 1 FROM codes WHERE redeemed_grant_id = grants.id)
                AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE grant_id = grants.id) LIMIT ?2)",
            access_tokens_ended,
        ),
    };
    Ok(writing.change(sql, params![ended_at, BATCH])? == usize::from(BATCH))
}
