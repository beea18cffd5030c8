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
    /// The most that grants give.
    pub scopes: ScopeSet,
}

impl Enrolled {
    /// Whether what was granted by `before` must not go on by this: with another credential it may be somebody else.
    #[must_use]
    pub fn ends(&self, before: &Self) -> bool {
        self.credential != before.credential || !self.scopes.allows_all(&before.scopes)
    }
}
