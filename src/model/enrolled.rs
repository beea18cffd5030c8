//! Somebody of the configuration, as far as grants depend on it.

use crate::base::digest::Digest;
use crate::base::id::UserId;
use crate::protocol::oauth::scope::ScopeSet;

/// A user of the configuration, or a client of it that acts for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Who.
    pub id: UserId,
    /// Of the password hash, or of how the client proves itself. Nothing that can be presented or guessed from.
    pub credential: Digest,
    /// Of the installation's secret that went into `credential`; `None`: none did.
    pub key: Option<Digest>,
    /// The most that grants give.
    pub scopes: ScopeSet,
}

impl Enrolled {
    /// Whether what was granted by `before` must not go on by this: with another credential it may be somebody else.
    #[must_use]
    pub fn ends(&self, before: &Self) -> bool {
        // Two that another key went into differ in any case, which says nothing of the passwords.
        let is_comparable = self.key == before.key || self.key.is_none() || before.key.is_none();
        (is_comparable && self.credential != before.credential) || !self.scopes.allows_all(&before.scopes)
    }

    /// Whether who was let in by this may be by what is `in_force`. What cannot be compared does not count.
    #[must_use]
    pub fn counts_by(&self, in_force: &Self) -> bool {
        self.credential == in_force.credential && in_force.scopes.allows_all(&self.scopes)
    }
}
