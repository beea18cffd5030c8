//! What was revoked lately, in memory, so that every request can be checked against it.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::base::id::GrantId;

/// Grants and single access tokens whose access tokens may not have ended yet. Copies share one list.
#[derive(Clone, Debug, Default)]
pub struct Revoked(Arc<ArcSwap<Lists>>);

#[derive(Clone, Debug, Default)]
struct Lists {
    grants: HashSet<GrantId>,
    tokens: HashSet<String>,
}

impl Revoked {
    /// Whether tokens of this grant are refused.
    #[must_use]
    pub fn has_grant(&self, grant: &GrantId) -> bool {
        self.0.load().grants.contains(grant)
    }

    /// Whether the access token with this `jti` is refused.
    #[must_use]
    pub fn has_token(&self, jti: &str) -> bool {
        self.0.load().tokens.contains(jti)
    }

    /// Replaces the lists by what the database says.
    pub fn replace(&self, grants: HashSet<GrantId>, tokens: HashSet<String>) {
        self.0.store(Arc::new(Lists { grants, tokens }));
    }
}
