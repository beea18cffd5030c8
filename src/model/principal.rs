//! Who is calling: the result of accepting a token, and all that code behind the edge ever sees of it.

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, GrantId, UserId};
use crate::protocol::oauth::scope::ScopeSet;

/// An authenticated caller. Sessions and requests belong to one; the token itself stays at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The person. `None` on an endpoint that asks for no authentication.
    pub user: Option<UserId>,
    /// The client the person uses. `None` on an endpoint that asks for no authentication.
    pub client_id: Option<ClientId>,
    /// The grant the token was made from, for immediate revocation.
    pub grant: Option<GrantId>,
    /// `jti` of the token, likewise.
    pub token_id: Option<String>,
    /// `kid` of the key that signed the token, for the day it is taken away.
    pub key_id: Option<String>,
    /// What the caller may do.
    pub scopes: ScopeSet,
    /// When the token ends; streams opened with it end then too. `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// The caller on an endpoint that asks for no authentication: nobody in particular, with every scope.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            user: None,
            client_id: None,
            grant: None,
            token_id: None,
            key_id: None,
            scopes: ScopeSet::everything(),
            expires_at: None,
        }
    }

    /// Whether two tokens speak for the same caller: the same person through the same client.
    ///
    /// A session belongs to this pair; a refreshed token of the same pair goes on with it.
    #[must_use]
    pub fn is_same_caller(&self, other: &Self) -> bool {
        self.user == other.user && self.client_id == other.client_id
    }
}
