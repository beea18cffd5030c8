//! What an app of a person has now, as the person is told.

use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::protocol::oauth::scope::ScopeSet;

/// One grant that is alive: with a refresh token that is good, or an access token that may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who holds its tokens.
    pub client_id: ClientId,
    /// The most that they allow.
    pub scopes: ScopeSet,
    /// When it was made.
    pub connected_at: Timestamp,
    /// When the client last came with a token of it, or fetched one; of other processes late by a minute at most.
    pub used_at: Timestamp,
}
