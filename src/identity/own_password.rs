//! A person's own password: where it is kept, and changing it.

use std::net::IpAddr;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::identity::password::{self, PasswordError, PasswordHash};
use crate::identity::{BUSY, Identity, LoginError};
use crate::store::{Ended, PasswordChange, StoreError};

/// What somebody chooses has at least so many characters (NIST SP 800-63B §3.1.1.2).
pub const SHORTEST: usize = 8;

/// Where somebody's password is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnPassword {
    /// In the store: the person can change it.
    Stored,
    /// In the configuration: the operator can.
    Configured,
    /// At an identity provider that people call so; nobody knows it here.
    At(String),
}

/// A password that its user wants to replace.
#[derive(Debug)]
pub struct NewPassword<'a> {
    /// Whose.
    pub user: &'a UserId,
    /// The password until now, as it was typed.
    pub old: &'a Secret,
    /// The new one.
    pub new: &'a Secret,
    /// The address of the browser.
    pub address: IpAddr,
    /// The browser session that stays.
    pub here: Digest,
    /// Whether the apps lose their access, too.
    pub disconnects: bool,
}

/// Why a password stays what it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is kept elsewhere.
    #[error("the password of this user is not kept in the store")]
    Elsewhere,
    /// Fewer than [`SHORTEST`] characters.
    #[error("the new password has fewer than {SHORTEST} characters")]
    TooShort,
    /// The new one cannot be hashed whole.
    #[error(transparent)]
    Unfit(PasswordError),
    /// The new one is the old one.
    #[error("the new password is the old one")]
    Same,
    /// The old one could not be checked, or is wrong.
    #[error(transparent)]
    Old(#[from] LoginError),
    /// It was changed meanwhile, or the user may not come in any more.
    #[error("the password was changed meanwhile")]
    Moved,
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Old(error.into())
    }
}

impl Identity {
    /// Where the password of this person is kept.
    #[must_use]
    pub fn own_password(&self, user: &UserId) -> OwnPassword {
        if user.is_federated() {
            let label = self.provider_of(user).map(|provider| provider.label().to_owned());
            return OwnPassword::At(label.unwrap_or_else(|| "your identity provider".to_owned()));
        }
        if self.configured.contains_key(user) { OwnPassword::Configured } else { OwnPassword::Stored }
    }

    /// Replaces a person's password, and says what ended with it. The old one is checked as at a login, and wrong ones count as there: whoever sits down at
    /// somebody's open browser guesses no faster.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change_password(&self, change: NewPassword<'_>, now: Timestamp) -> Result<Ended, ChangeError> {
        if self.own_password(change.user) != OwnPassword::Stored {
            return Err(ChangeError::Elsewhere);
        }
        if change.new.expose().chars().count() < SHORTEST {
            return Err(ChangeError::TooShort);
        }
        let known = self.prove(change.user.as_str(), change.old, change.address).await?;
        let old = known.stored.ok_or(ChangeError::Elsewhere)?;
        // Said only to who knows the old one.
        if change.new == change.old {
            return Err(ChangeError::Same);
        }
        let algorithm = PasswordHash::parse(&old).map(|hash| hash.algorithm()).unwrap_or_default();
        password::check_password(change.new, algorithm).map_err(ChangeError::Unfit)?;
        let new = change.new.clone();
        let hashed = self.pool.run(move || password::hash_password(&new, algorithm)).await;
        let new = hashed.map_err(|_| LoginError::Busy { retry_after: BUSY })?.map_err(ChangeError::Unfit)?;
        let (user, here, disconnects) = (change.user.clone(), change.here, change.disconnects);
        let changed = self.store.change_password(PasswordChange { user, old, new, here, disconnects }, now).await;
        let ended = changed.map_err(LoginError::from)?.ok_or(ChangeError::Moved)?;
        tracing::info!(user = %change.user, disconnects, "the password was changed by its user");
        Ok(ended)
    }
}
