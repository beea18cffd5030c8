//! Who a person is: users with a password, from the configuration file or kept in the store, and people of identity
//! providers.
//!
//! Owns user names, password hashes, the throttling of logins, and all that is asked of identity providers. What a login leads
//! to, and the browser it happens in, are not known here.

mod credential;
mod error;
mod own_password;
mod pool;
pub mod federated;
pub mod password;
pub mod throttle;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, ProviderName, UserId};
use crate::base::limit::Limit;
use crate::base::random;
use crate::base::secret::Secret;
use crate::base::username::canonical_username;
use crate::config::section::{BuiltinUser, Lockout};
use crate::identity::credential::{Configured, Credential};
use crate::identity::federated::{Asserted, Attempt, Callback, Failure, Federation, Provider};
use crate::identity::password::{Ceiling, Outcome, PasswordHash, Work};
use crate::identity::pool::Pool;
use crate::identity::throttle::{LoginThrottle, RetryAfter};
use crate::model::enrolled::Enrolled;
use crate::model::user::User;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::{Present, StoreError, Users};

pub use error::{FederatedError, IdentityError, LoginError};
pub use own_password::{ChangeError, NewPassword, OwnPassword, SHORTEST};

/// The bounds of logins with a password, for the operator.
#[must_use]
pub fn limits() -> Vec<Limit> {
    [&pool::LIMITS[..], &throttle::LIMITS].concat()
}

/// What a login that found no free thread is told to wait.
const BUSY: RetryAfter = RetryAfter(std::time::Duration::from_secs(5));

/// The people who may log in.
pub struct Identity {
    configured: HashMap<UserId, Configured>,
    /// Whether passwords are accepted at all.
    passwords: bool,
    federation: Arc<Federation>,
    store: Arc<dyn Users>,
    throttle: Arc<LoginThrottle>,
    pool: Arc<Pool>,
    /// The most work among known hashes: every attempt takes as long as the slowest would.
    ceiling: Ceiling,
    /// Rounds of bcrypt that attempts have cost so far,
    rounds: AtomicU64,
    /// and blocks of argon2id.
    blocks: AtomicU64,
    /// Makes digests of unknown user names worthless to anyone who only has the log.
    log_salt: [u8; 32],
}

/// How people log in with a password.
#[derive(Clone, Copy, Debug)]
pub struct PasswordLogin<'a> {
    /// Whether they do. Where people log in at identity providers alone, a password is never right, and those who have one
    /// are nobody.
    pub accepted: bool,
    /// The users of the configuration.
    pub users: &'a [BuiltinUser],
    /// How much guessing is slowed.
    pub lockout: Lockout,
    /// No attempt makes less work than bcrypt of this cost: [`password::COST`], since that is what users of the store have;
    /// tests that log in a hundred times take less.
    pub least_cost: u32,
    /// Goes into the digests by which another plain password is noticed after a restart: with the store alone nobody can guess
    /// from them.
    pub digest_key: &'a Secret,
}

/// A user who may log in and hold grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveUser {
    /// The canonical user name.
    pub id: UserId,
    /// The name under which pages speak of the user.
    pub name: String,
    /// What the user may grant to clients.
    pub scopes: ScopeSet,
    /// E-mail address.
    pub email: Option<String>,
}

/// Whether a grant of somebody may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active(ActiveUser),
    /// The user is gone or disabled, the provider or the configuration does not let the person in any more, or the person
    /// has to log in again; for the log, in words.
    Ended(String),
    /// The provider that would know cannot be asked, and has not been for too long.
    Unknown(String),
}

/// Whom an attempt may turn out to be.
struct Candidate {
    id: UserId,
    disabled: bool,
    credential: Credential,
    /// The hash as it stands in the store; `None` for one of the configuration.
    stored: Option<Secret>,
}

/// Somebody who gave the right password.
#[derive(Debug)]
pub struct Proven {
    /// Who.
    pub user: UserId,
    /// The hash that it matched, of a user of the store.
    stored: Option<Secret>,
}

impl Identity {
    /// The users of the configuration, behind them those of the store, and the people of identity providers. Plain
    /// passwords are hashed in the background.
    ///
    /// # Errors
    /// A user of the configuration could never log in.
    pub fn new(
        passwords: PasswordLogin<'_>,
        store: Arc<dyn Users>,
        federation: Federation,
    ) -> Result<Self, IdentityError> {
        Self::make(passwords, store, federation, None)
    }

    /// The same for another configuration, with what is known of guesses and with the work under way of the one `before`.
    ///
    /// # Errors
    /// As [`Identity::new`].
    pub fn reloaded(
        passwords: PasswordLogin<'_>,
        store: Arc<dyn Users>,
        federation: Federation,
        before: &Self,
    ) -> Result<Self, IdentityError> {
        Self::make(passwords, store, federation.after(&before.federation), Some(before))
    }

    fn make(
        passwords: PasswordLogin<'_>,
        store: Arc<dyn Users>,
        federation: Federation,
        before: Option<&Self>,
    ) -> Result<Self, IdentityError> {
        let (configured, highest) =
            credential::configured((passwords.users, passwords.digest_key), before.map(|before| &before.configured))?;
        let ceiling = Ceiling::new(highest.max(Work { cost: passwords.least_cost, ..Work::default() }));
        if let Some(before) = before {
            // What was learnt of users of the store holds.
            ceiling.raise(before.ceiling.get());
        }
        let throttle = before.map(|before| &before.throttle).filter(|throttle| throttle.is_of(passwords.lockout));
        Ok(Self {
            configured,
            passwords: passwords.accepted,
            federation: Arc::new(federation),
            store,
            throttle: throttle.map_or_else(|| Arc::new(LoginThrottle::new(passwords.lockout)), Arc::clone),
            pool: before.map_or_else(|| Arc::new(Pool::new()), |before| Arc::clone(&before.pool)),
            ceiling,
            rounds: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            log_salt: before.map_or_else(random::bytes, |before| before.log_salt),
        })
    }

    /// Logs a person in with a password, from an address. Costs the same work whoever it is and whatever the password.
    ///
    /// # Errors
    /// See [`LoginError`]; only [`LoginError::Wrong`] says anything about the password.
    pub async fn log_in(&self, username: &str, password: &Secret, address: IpAddr) -> Result<Proven, LoginError> {
        let Candidate { id, stored, .. } = self.prove(username, password, address).await?;
        self.log(Some(&id), username, "login succeeded");
        Ok(Proven { user: id, stored })
    }

    /// Whether the password is still what it was when it was looked at. Checking it takes as long as changing it: asked when
    /// everything that follows from the login is written, since a change ends what is there by then.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn still_counts(&self, proven: &Proven) -> Result<bool, StoreError> {
        let enrolled = self.store.find_configured(&proven.user).await?;
        let Some(hash) = &proven.stored else {
            // Another one may be in force since, by a reload or in a process that is to replace this one.
            let mine = self.configured.get(&proven.user).map(|user| &user.enrolled);
            let counts = mine.zip(enrolled.as_ref()).is_some_and(|(mine, in_force)| mine.counts_by(in_force));
            if !counts {
                tracing::warn!(user = %proven.user, "a right password was refused: the user is another in the configuration that came into force on this store last, by a reload or a start of another bridge; if that was taken back, restart this one");
            }
            return Ok(counts);
        };
        if enrolled.is_some() {
            // By this name there is somebody else now.
            return Ok(false);
        }
        let user = self.store.find_user(&proven.user).await?;
        Ok(user.is_some_and(|user| !user.disabled && user.password_hash == *hash))
    }

    /// Looks at the hashes in the store, so that the first attempt already takes as long as every other.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn meet_stored(&self) -> Result<(), StoreError> {
        for user in self.store.list_users().await? {
            if let Ok(hash) = PasswordHash::parse(&user.password_hash) {
                self.ceiling.raise(hash.work());
            }
        }
        Ok(())
    }

    async fn prove(&self, username: &str, password: &Secret, address: IpAddr) -> Result<Candidate, LoginError> {
        let name = canonical_username(username);
        let reservation = match self.throttle.reserve(name.as_ref(), address, Instant::now()) {
            Ok(reservation) => reservation,
            Err(retry_after) => {
                let known = self.find_named(name).await?;
                self.log(known.as_ref(), username, "login refused: too many failures");
                return Err(LoginError::Throttled { known, retry_after });
            }
        };
        let candidate = match self.candidate(name).await {
            Ok(candidate) => candidate,
            Err(error) => {
                reservation.give_back();
                return Err(error.into());
            }
        };
        let Some(outcome) = self.check(password, candidate.as_ref().map(|known| known.credential.clone())).await else {
            reservation.give_back();
            return Err(LoginError::Busy { retry_after: BUSY });
        };
        match candidate {
            Some(user) if outcome.matches && !user.disabled => {
                reservation.succeeded();
                Ok(user)
            }
            candidate => {
                let disabled = candidate.as_ref().is_some_and(|user| user.disabled);
                let message = if disabled { "login failed: the user is disabled" } else { "login failed" };
                self.log(candidate.as_ref().map(|user| &user.id), username, message);
                Err(LoginError::Wrong { known: candidate.map(|user| user.id) })
            }
        }
    }

    /// The user, if known, not disabled, and one who can still log in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_active(&self, user: &UserId) -> Result<Option<ActiveUser>, StoreError> {
        if user.is_federated() {
            return self.federation.find_active(user).await;
        }
        let is_stored = self.passwords && !self.configured.contains_key(user);
        let stored = if is_stored { self.store.find_user(user).await? } else { None };
        Ok(self.active(user, stored))
    }

    /// One who logs in with a password. `stored`: what the store has of this name; a user of the configuration hides it.
    fn active(&self, user: &UserId, stored: Option<User>) -> Option<ActiveUser> {
        if !self.passwords {
            return None;
        }
        if let Some(configured) = self.configured.get(user) {
            return (!configured.disabled).then(|| configured.user.clone());
        }
        stored.filter(|stored| !stored.disabled).map(|stored| ActiveUser {
            name: stored.id.as_str().to_owned(),
            id: stored.id,
            scopes: stored.scopes,
            email: stored.email,
        })
    }

    /// Whether people can log in with a password.
    #[must_use]
    pub fn has_passwords(&self) -> bool {
        self.passwords
    }

    /// The identity providers, in the order of the configuration.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        self.federation.providers()
    }

    /// The identity provider of this name.
    #[must_use]
    pub fn provider(&self, name: &ProviderName) -> Option<&Provider> {
        self.providers().iter().find(|provider| provider.name() == name)
    }

    /// The identity provider that a person comes from.
    #[must_use]
    pub fn provider_of(&self, user: &UserId) -> Option<&Provider> {
        let (issuer, _) = user.as_str().split_once('#').filter(|_| user.is_federated())?;
        self.providers().iter().find(|provider| provider.is_issuer(issuer))
    }

    /// Logs in the person that a provider sent back: asks the provider who it is, whether that person may come in, and
    /// remembers the person.
    ///
    /// # Errors
    /// [`FederatedError`].
    pub async fn log_in_at(
        &self,
        provider: &Provider,
        callback: &Callback,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<ActiveUser, FederatedError> {
        self.federation.log_in_at(provider, callback, attempt, now).await
    }

    /// Of whom an assertion of an enterprise's identity provider is, presented by `client`, and what that person may grant.
    ///
    /// # Errors
    /// It is none that counts, or the issuer's keys cannot be had.
    pub async fn read_assertion(
        &self,
        assertion: &Secret,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Asserted, Failure> {
        self.federation.read_assertion(assertion, client, now).await
    }

    /// Whether assertions of such an identity provider are taken at all.
    #[must_use]
    pub fn takes_assertions(&self) -> bool {
        self.federation.takes_assertions()
    }

    /// Whether a grant of this user may go on: for somebody from a provider, by asking there.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn confirm(&self, user: &UserId, now: Timestamp) -> Result<Standing, StoreError> {
        match user.is_federated() {
            true => self.federation.confirm(user, now).await,
            false => self.own_standing(user).await,
        }
    }

    /// The same for a caller who has read from the store, together with other things, what it has of this user.
    ///
    /// # Errors
    /// As [`Identity::confirm`].
    pub async fn confirm_read(
        &self,
        user: &UserId,
        stored: Option<User>,
        now: Timestamp,
    ) -> Result<Standing, StoreError> {
        match user.is_federated() {
            true => self.federation.confirm(user, now).await,
            false => Ok(own(self.active(user, stored))),
        }
    }

    /// The same by what is known here alone: a provider that takes its time is given no more of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last_word(&self, user: &UserId, now: Timestamp) -> Result<Standing, StoreError> {
        match user.is_federated() {
            true => self.federation.last_word(user, now).await,
            false => self.own_standing(user).await,
        }
    }

    /// Who can log in at all.
    #[must_use]
    pub fn present(&self) -> Present {
        let active = self.configured.values().filter(|user| self.passwords && !user.disabled);
        let mut configured: Vec<Enrolled> = active.map(|user| user.enrolled.clone()).collect();
        configured.sort_by(|one, other| one.id.cmp(&other.id));
        Present { configured, stored: self.passwords, issuers: self.federation.issuers(), ..Present::default() }
    }

    async fn own_standing(&self, user: &UserId) -> Result<Standing, StoreError> {
        Ok(own(self.find_active(user).await?))
    }

    /// Whether there is a user of this name: what is none may be a password, and must not be told. Looked up whoever it is, so
    /// that the time says nothing of it.
    async fn find_named(&self, name: Option<UserId>) -> Result<Option<UserId>, StoreError> {
        let Some(name) = name.filter(|_| self.passwords) else { return Ok(None) };
        let is_stored = self.store.find_user(&name).await?.is_some();
        Ok(Some(name).filter(|name| is_stored || self.configured.contains_key(name)))
    }

    /// Who has this name, if anybody: the work is done all the same. A user of the configuration hides one of the store.
    async fn candidate(&self, name: Option<UserId>) -> Result<Option<Candidate>, StoreError> {
        let Some(id) = name.filter(|_| self.passwords) else { return Ok(None) };
        if let Some(user) = self.configured.get(&id) {
            let credential = user.credential.clone();
            return Ok(Some(Candidate { id, disabled: user.disabled, credential, stored: None }));
        }
        let Some(user) = self.store.find_user(&id).await? else { return Ok(None) };
        match PasswordHash::parse(&user.password_hash) {
            Ok(hash) => {
                self.ceiling.raise(hash.work());
                let credential = Credential::ready(hash);
                Ok(Some(Candidate { id, disabled: user.disabled, credential, stored: Some(user.password_hash) }))
            }
            Err(error) => {
                tracing::warn!(user = %id, %error, "this user cannot log in: set the password anew");
                Ok(None)
            }
        }
    }

    /// Checks a password on the pool. `None`: it is busy.
    async fn check(&self, password: &Secret, credential: Option<Credential>) -> Option<Outcome> {
        let (password, ceiling) = (password.clone(), self.ceiling.get());
        let work = move || {
            let hash = credential.as_ref().and_then(Credential::wait);
            password::check(&password, hash, ceiling)
        };
        let outcome = self.pool.run(work).await.ok()?;
        self.rounds.fetch_add(outcome.rounds, Ordering::Relaxed);
        self.blocks.fetch_add(outcome.blocks, Ordering::Relaxed);
        Some(outcome)
    }

    fn log(&self, known: Option<&UserId>, username: &str, message: &str) {
        match known {
            Some(user) => tracing::info!(%user, "{message}"),
            None => tracing::info!(unknown_user = ?self.unrecognisable(username), "{message}"),
        }
    }

    /// An unknown name may be a password, typed into the wrong field: the log gets a digest that only tells attempts apart.
    fn unrecognisable(&self, username: &str) -> Digest {
        Digest::of_bytes(&[self.log_salt.as_slice(), username.as_bytes()].concat())
    }
}

fn own(active: Option<ActiveUser>) -> Standing {
    active.map_or_else(|| Standing::Ended("the user is gone or disabled".to_owned()), Standing::Active)
}
