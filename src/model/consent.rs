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

/// What a person has just decided, to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What was allowed now.
    pub consent: Consent,
    /// All that was asked about.
    pub offered: ScopeSet,
    /// An earlier yes counts if it came after this.
    pub counts_since: Timestamp,
}

impl Decided {
    /// What is remembered from now on. Scopes that were not asked about this time stay what they were, for as long as they
    /// would have: an answer about something else does not renew them.
    #[must_use]
    pub fn after(self, before: Option<Consent>) -> Consent {
        let Self { mut consent, offered, counts_since } = self;
        let Some(before) = before.filter(|before| before.granted_at > counts_since) else { return consent };
        let refused: Vec<_> = offered.iter().filter(|scope| !consent.scopes.contains(scope)).collect();
        // What would give a refused scope with it goes too: it would be given unasked the next time.
        let gives_refused = |scope: &str| {
            let one: ScopeSet = std::iter::once(scope).collect();
            refused.iter().any(|refused| one.allows(refused))
        };
        let is_kept = |scope: &&str| !offered.contains(scope) && !gives_refused(scope);
        let kept: Vec<_> = before.scopes.iter().filter(is_kept).collect();
        if !kept.is_empty() {
            consent.scopes = kept.into_iter().chain(consent.scopes.iter()).collect();
            consent.granted_at = before.granted_at;
        }
        consent
    }
}
