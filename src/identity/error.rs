//! Why nobody was logged in, or could ever be.

use crate::base::id::UserId;
use crate::identity::federated::Failure;
use crate::identity::password::{self, PasswordError};
use crate::identity::throttle::RetryAfter;
use crate::store::StoreError;

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown user, wrong password or disabled user: one answer for the three, in text and in time.
    #[error("wrong user name or password")]
    Wrong {
        /// Whose name it was, for the audit trail alone: an unknown one may be a password.
        known: Option<UserId>,
    },
    /// Too many failures lately. The password was not looked at.
    #[error("too many failed logins")]
    Throttled {
        /// Whose name it was, if it stands in the configuration: it was not looked up.
        known: Option<UserId>,
        /// When the next attempt will be heard.
        retry_after: RetryAfter,
    },
    /// Too many logins at once. The password was not looked at.
    #[error("too many logins at once")]
    Busy {
        /// When to try again.
        retry_after: RetryAfter,
    },
    /// The users could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nobody was logged in at a provider.
#[derive(Debug, thiserror::Error)]
pub enum FederatedError {
    /// The person did not get in.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// People could not be read or remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A configured user who could never log in. The text names the user and never shows what was written as password or hash.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Empty, over 128 characters, or with invisible ones.
    #[error("{0:?} is no user name: 1 to 128 visible characters are needed")]
    Username(String),
    /// Two users whose names differ in case, width or blanks only.
    #[error("user {0} is configured twice (names are compared without regard to case)")]
    Duplicate(UserId),
    /// `password_hash` is no bcrypt hash.
    #[error("the password hash of user {0} is {fault}; make one with: mcp-bridge hash-password", fault = password::InvalidHash)]
    Hash(UserId),
    /// A plain password that cannot be hashed.
    #[error("the password of user {0} cannot be used: {1}")]
    Password(UserId, PasswordError),
    /// No thread to hash plain passwords on.
    #[error("no thread for hashing passwords: {0}")]
    Thread(std::io::Error),
}
