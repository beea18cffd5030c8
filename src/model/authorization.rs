//! One authorization request on its way: the browser flow (login, consent) and the code it ends in.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, FlowId, GrantId, ProviderName, UserId};
use crate::protocol::oauth::scope::ScopeSet;

/// An authorization request that passed every check (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: ClientId,
    /// Where the answer goes: one that the client registered (any port, if loopback).
    pub redirect_uri: String,
    /// `state`, returned as it came.
    pub state: Option<String>,
    /// The S256 `code_challenge`.
    pub code_challenge: String,
    /// The canonical resource URL the token is for.
    pub resource: String,
    /// The scopes asked for that exist here; empty when the client asked for none in particular.
    pub scopes: ScopeSet,
    /// Whether the person is asked for consent even if it is remembered: another site sent the browser here, or the
    /// browser did not say; or the client wants it so (`prompt=consent`).
    pub asks_again: bool,
}

/// An authorization request in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its identifier, in the page's address.
    pub id: FlowId,
    /// Digest of the cookie that binds it to one browser; changes at login.
    pub browser: Digest,
    /// What was asked. `None`: no client asks anything, the person goes to the own account.
    pub request: Option<AuthorizationRequest>,
    /// How far it has come.
    pub stage: Stage,
    /// When it started.
    pub started_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// How far a flow has come. The next page follows from this alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Nobody has logged in yet, nor chosen where to.
    Login {
        /// Whether whoever is logged in at a provider is not the one that is wanted: the provider has to ask.
        // Not written when it is not so: then flows of a version without it are the same text, which the store compares.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        afresh: bool,
    },
    /// The person will log in at a provider, and is asked before that whether the client may: otherwise a provider that
    /// asks nothing would hand out codes to any client (MCP Security Best Practices, "Confused Deputy").
    Permission {
        /// Where the person will log in.
        provider: ProviderName,
        /// See [`Stage::Login`].
        afresh: bool,
    },
    /// The person allowed it and was sent to the provider with a `state` that follows from this browser's new cookie.
    Away {
        /// Where to.
        provider: ProviderName,
        /// What was allowed; who comes back may have less. Nothing, on the way to the own account.
        scopes: ScopeSet,
        /// See [`Stage::Login`].
        afresh: bool,
        /// Whether the browser stays signed in beyond its closing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays: bool,
        /// Until when the answer is taken.
        until: Timestamp,
    },
    /// The provider's answer came and its `state` is spent; the provider is being asked who it was.
    Returned {
        /// Where from.
        provider: ProviderName,
        /// What was allowed.
        scopes: ScopeSet,
        /// See [`Stage::Login`].
        afresh: bool,
        /// See [`Stage::Away`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays: bool,
    },
    /// `user` has logged in and is asked to allow `scopes`.
    Consent {
        /// Who logged in.
        user: UserId,
        /// What the user may grant of what was asked; never empty.
        scopes: ScopeSet,
    },
    /// Answered, one way or the other. A flow answers once.
    Finished,
}

/// An authorization code, as it is stored: everything it is bound to (RFC 6749 §4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// Digest of the code.
    pub digest: Digest,
    /// The grant that its redemption will make.
    pub grant: GrantId,
    /// To whom it was issued.
    pub client_id: ClientId,
    /// Who approved.
    pub user: UserId,
    /// The redirect URI it was sent to.
    pub redirect_uri: String,
    /// The S256 `code_challenge`.
    pub code_challenge: String,
    /// The resource of the tokens.
    pub resource: String,
    /// The scopes of the tokens.
    pub scopes: ScopeSet,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends, redeemed or not.
    pub expires_at: Timestamp,
}
