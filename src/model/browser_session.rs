//! A browser in which somebody has logged in lately, so that the next app needs no second login.

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::UserId;

/// Somebody's login, remembered in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserSession {
    /// Digest of the cookie.
    pub digest: Digest,
    /// Who logged in.
    pub user: UserId,
    /// The browser, in words that tell a person which of several it is: `Firefox on Linux`.
    pub device: String,
    /// When the person logged in.
    pub created_at: Timestamp,
    /// When the person was last seen there; written at most every ten minutes.
    pub used_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}
