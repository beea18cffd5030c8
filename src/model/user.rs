//! A person who can log in with a password kept by us.

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::protocol::oauth::scope::ScopeSet;

/// A user kept in the store and managed with `mcp-bridge user`; users of the configuration file take the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The canonical user name.
    pub id: UserId,
    /// The hash: bcrypt, `$2a$`, `$2b$` or `$2y$`, or `$argon2id$`.
    pub password_hash: Secret,
    /// What the user may grant to clients.
    pub scopes: ScopeSet,
    /// E-mail address, for display and for upstreams.
    pub email: Option<String>,
    /// A disabled user cannot log in, and every grant is revoked.
    pub disabled: bool,
    /// When the user was added.
    pub created_at: Timestamp,
}
