//! The users of the configuration file, each under the canonical name, with a hash that may still be in the making.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::base::digest::Digest;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::username::canonical_username;
use crate::config::section::{BuiltinUser, PasswordSource};
use crate::identity::password::{self, HashAlgorithm, PasswordHash, Work};
use crate::identity::{ActiveUser, IdentityError};
use crate::model::enrolled::Enrolled;

/// One of `builtin.users`.
pub struct Configured {
    /// Who it is, logged in.
    pub user: ActiveUser,
    /// Whether logging in is not allowed.
    pub disabled: bool,
    /// What the password is checked against.
    pub credential: Credential,
    /// What grants depend on.
    pub enrolled: Enrolled,
    /// What it was made from.
    source: PasswordSource,
}

/// A password hash. One that is made from a plain password at start comes a quarter of a second later, so that the start does
/// not wait for it; whoever logs in meanwhile does.
#[derive(Clone)]
pub struct Credential(Arc<OnceLock<Option<PasswordHash>>>);

impl Credential {
    /// A hash that is there.
    pub fn ready(hash: PasswordHash) -> Self {
        Self(Arc::new(OnceLock::from(Some(hash))))
    }

    /// The hash, once it is made: not for an asynchronous thread. `None`: it could not be made.
    pub fn wait(&self) -> Option<&PasswordHash> {
        self.0.wait().as_ref()
    }
}

/// The users by name, and the most work among their hashes. Plain passwords are hashed on a thread of their own, unless
/// they were `before`. `digest_key`: see [`PasswordLogin`](crate::identity::PasswordLogin).
pub fn configured(
    (users, digest_key): (&[BuiltinUser], &Secret),
    before: Option<&HashMap<UserId, Configured>>,
) -> Result<(HashMap<UserId, Configured>, Work), IdentityError> {
    let mut configured = HashMap::new();
    let mut plain = Vec::new();
    let mut highest = Work::default();
    for user in users {
        let id = canonical_username(&user.username).ok_or_else(|| IdentityError::Username(user.username.clone()))?;
        let credential = match &user.password {
            PasswordSource::Hash(hash) => {
                let hash = PasswordHash::parse(hash).map_err(|_| IdentityError::Hash(id.clone()))?;
                highest = highest.max(hash.work());
                Credential::ready(hash)
            }
            PasswordSource::Plain(password) => {
                password::check_password(password, HashAlgorithm::Bcrypt)
                    .map_err(|fault| IdentityError::Password(id.clone(), fault))?;
                highest = highest.max(Work { cost: password::COST, ..Work::default() });
                let known = before.and_then(|before| before.get(&id)).filter(|known| known.source == user.password);
                known.map(|known| known.credential.clone()).unwrap_or_else(|| {
                    let credential = Credential(Arc::default());
                    plain.push((id.clone(), credential.clone(), password.clone()));
                    credential
                })
            }
        };
        let active = ActiveUser {
            id: id.clone(),
            name: id.as_str().to_owned(),
            scopes: user.scopes.clone(),
            email: user.email.clone(),
        };
        let (credential_digest, key) = digest(&id, &user.password, digest_key);
        let enrolled = Enrolled { id: id.clone(), credential: credential_digest, key, scopes: user.scopes.clone() };
        let (disabled, source) = (user.disabled, user.password.clone());
        let user = Configured { user: active, disabled, credential, enrolled, source };
        if configured.insert(id.clone(), user).is_some() {
            return Err(IdentityError::Duplicate(id));
        }
    }
    hash_in_background(plain)?;
    Ok((configured, highest))
}

/// A hash is slow to guess from already; a plain password, which has none that stays, is mixed with a key that is not in the
/// store. That of the key goes with it.
fn digest(id: &UserId, password: &PasswordSource, key: &Secret) -> (Digest, Option<Digest>) {
    let (parts, key) = match password {
        PasswordSource::Hash(hash) => (["hash", "", hash.expose()], None),
        PasswordSource::Plain(password) => ([key.expose(), id.as_str(), password.expose()], Some(Digest::of(key))),
    };
    (Digest::of_bytes(parts.join("\0").as_bytes()), key)
}

fn hash_in_background(plain: Vec<(UserId, Credential, Secret)>) -> Result<(), IdentityError> {
    if plain.is_empty() {
        return Ok(());
    }
    let work = move || {
        for (user, credential, password) in plain {
            let hash = password::hash_password(&password, HashAlgorithm::Bcrypt);
            let hash = hash.map(|hash| PasswordHash::parse(&hash).ok());
            if let Err(error) = &hash {
                tracing::error!(%user, %error, "the password of a configured user could not be hashed: the user cannot log in");
            }
            // Nobody else sets it.
            let _ = credential.0.set(hash.ok().flatten());
        }
    };
    std::thread::Builder::new().name("password hashes".to_owned()).spawn(work).map_err(IdentityError::Thread)?;
    Ok(())
}
