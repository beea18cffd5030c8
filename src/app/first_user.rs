//! The user of the first start, so that the bridge is of use before anything is configured.

use crate::app::StartError;
use crate::audit::{Audit, Event, UserChange};
use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::base::random;
use crate::base::secret::Secret;
use crate::config::section::{Mode, OauthServer};
use crate::identity::password::{HashAlgorithm, hash_password};
use crate::model::user::User;
use crate::store::Store;

/// A user that was just made.
#[derive(Debug)]
pub struct FirstUser {
    /// The user name.
    pub name: UserId,
    /// The password. Only its hash is kept.
    pub password: Secret,
}

/// Makes the user `admin` if that is wanted and there is no user at all.
pub(super) async fn create(
    section: &OauthServer,
    store: &dyn Store,
    audit: &Audit,
    now: Timestamp,
) -> Result<Option<FirstUser>, StartError> {
    // Nobody would be asked for the password.
    if section.mode == Mode::Federated {
        return Ok(None);
    }
    let failed = |error: crate::store::StoreError| StartError::Io(error.to_string());
    if !section.users.is_empty() || !store.list_users().await.map_err(failed)?.is_empty() {
        return Ok(None);
    }
    if !section.create_first_user {
        if section.providers.is_empty() {
            tracing::warn!("nobody can log in yet; add a user with: mcp-bridge user add NAME");
        }
        return Ok(None);
    }
    let name = UserId::new("admin");
    let password = Secret::new(random::identifier());
    let password_hash =
        hash_password(&password, HashAlgorithm::Bcrypt).map_err(|error| StartError::Failed(error.to_string()))?;
    let scopes = section.scopes_supported.keys().cloned().collect();
    let user = User { id: name.clone(), password_hash, scopes, email: None, disabled: false, created_at: now };
    // Two processes may start at once: who comes second has no password to print.
    if !store.add_user(user).await.map_err(failed)? {
        return Ok(None);
    }
    audit.record(Event::UserChanged { user: &name, change: UserChange::Added }).await.map_err(failed)?;
    Ok(Some(FirstUser { name, password }))
}
