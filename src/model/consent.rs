//! What a person allowed a client to do, remembered so that the same question is not asked twice.

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, UserId};
use crate::protocol::oauth::scope::ScopeSet;

/// Consent of one user to one client, for one redirect URI and one resource.
///
/// It covers a later request of the same four for the same or fewer scopes; anything else is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who consented.
    pub user: UserId,
    /// To which client.
    pub client_id: ClientId,
    /// The redirect URI that was shown.
    pub redirect_uri: String,
    /// The resource (RFC 8707) the tokens are for.
    pub resource: String,
    /// The scopes that were shown.
    pub scopes: ScopeSet,
    /// When.
    pub granted_at: Timestamp,
}
