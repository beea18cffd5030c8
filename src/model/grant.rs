//! What an approval gave: a grant, and the chain of refresh tokens that keeps it alive.

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, GrantId, UserId};
use crate::model::account::Account;
use crate::protocol::oauth::scope::ScopeSet;

/// A grant: one person, one client, one resource. Its refresh tokens form one chain with one live end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its identifier; access tokens carry it.
    pub id: GrantId,
    /// Who approved.
    pub user: UserId,
    /// Which client holds the tokens.
    pub client_id: ClientId,
    /// The resource (`aud`) of the tokens.
    pub resource: String,
    /// The most a token of this grant may carry.
    pub scopes: ScopeSet,
    /// When the code was redeemed; the absolute lifetime counts from here.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A refresh token, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Digest of the token.
    pub digest: Digest,
    /// The grant it belongs to.
    pub grant: Grant,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
    /// Whether it has a successor.
    pub is_rotated: bool,
}

/// The lifetimes that a rotation obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// How long an unused refresh token lives.
    pub idle: std::time::Duration,
    /// How long a grant lives, however often it is refreshed.
    pub absolute: std::time::Duration,
    /// How long after its rotation a token is still answered with the same successor.
    pub grace: std::time::Duration,
}

/// What came of presenting an authorization code whose binding was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// The first: the grant was made.
    Granted(Grant),
    /// The code had been redeemed before: what it had produced is revoked (RFC 6749 §4.1.2).
    Replayed(GrantId),
    /// No such code, or it has expired.
    Unknown,
}

/// An assertion about a person, all of it checked, that is about to become a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAssertion {
    /// Digest of what tells it from every other: its issuer and its `jti`.
    pub digest: Digest,
    /// Until when it could be presented again.
    pub expires_at: Timestamp,
    /// Whom it is about.
    pub account: Account,
    /// What is kept of that.
    pub description: Description,
    /// What it gives.
    pub grant: Grant,
}

/// What is kept of what an assertion says of its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Description {
    /// It takes the place of what was known.
    Latest,
    /// It is kept of somebody who was not known; others told more of everybody else.
    OfStranger,
}

/// What came of presenting an assertion that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionOutcome {
    /// The grant was made.
    Granted,
    /// It had been presented before.
    Replayed,
    /// The person is disabled.
    Disabled,
}

/// What came of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The successor given is now the live end of the chain.
    Rotated(Grant),
    /// It had been rotated before; the holder gets the successor of then, whose digest this is.
    Repeated {
        /// The grant.
        grant: Grant,
        /// The successor that was stored at the first rotation.
        successor: Digest,
    },
    /// Used again after the grace period, when its successor was in use: the grant is revoked (RFC 9700 §4.14.2).
    Reused(GrantId),
    /// Not known, expired or revoked.
    Unknown,
}
