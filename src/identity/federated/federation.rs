//! The people who log in at identity providers: who they are here, and what they may.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::identity::federated::turns::Turns;
use crate::identity::federated::{Attempt, Callback, EnterpriseIssuer, Failure, Identified, Provider, Reason};
use crate::identity::{ActiveUser, FederatedError, Standing};
use crate::model::account::Account;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::{Accounts, StoreError};

/// The configured identity providers and the people known from them.
pub struct Federation {
    pub(super) providers: Vec<Provider>,
    pub(super) enterprise: Vec<EnterpriseIssuer>,
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) turns: Arc<Turns<Standing>>,
}

impl Federation {
    /// These providers, and the people kept in a store.
    #[must_use]
    pub fn new(providers: Vec<Provider>, accounts: Arc<dyn Accounts>) -> Self {
        Self { providers, enterprise: Vec::new(), accounts, turns: Arc::new(Turns::new()) }
    }

    /// The same, taking turns with the one before it, and with what that knows of providers that are the same.
    #[must_use]
    pub(in crate::identity) fn after(mut self, before: &Self) -> Self {
        self.turns = Arc::clone(&before.turns);
        for provider in &mut self.providers {
            if let Some(same) = before.providers.iter().find(|other| other.is_same(provider)) {
                provider.learn_from(same);
            }
        }
        for issuer in &mut self.enterprise {
            if let Some(same) = before.enterprise.iter().find(|other| other.is_same(issuer)) {
                issuer.learn_from(same);
            }
        }
        self
    }

    /// The identity providers, in the order of the configuration.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The issuers whose people can come in, as they are configured.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        let enterprise = self.enterprise.iter().map(EnterpriseIssuer::name);
        self.providers.iter().map(Provider::issuer).chain(enterprise).map(str::to_owned).collect()
    }

    /// Logs in whom a provider sent back, and remembers the person.
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
        let identified = provider.identify(callback, attempt, now).await?;
        let account = account(provider, identified, now)?;
        let admitted = admit(provider, &account);
        // A refresh under way would put the refresh token of before over the new one.
        let turn = self.turns.take(&account.user).await;
        let recorded = match &admitted {
            Ok(_) => self.accounts.record_account(account.clone()).await,
            Err(_) => self.record_refused(account.clone()).await,
        };
        turn.end(None);
        let named = |failure: Failure| Failure::new(failure.reason, format!("{}: {}", account.user, failure.cause));
        let (recorded, scopes) = (recorded?, admitted.map_err(named)?);
        if !recorded {
            return Err(Failure::new(Reason::Disabled, format!("{} is disabled", account.user)).into());
        }
        tracing::info!(user = %account.user, provider = %provider.name(), "login succeeded");
        Ok(active(&account, scopes))
    }

    /// Of somebody who let clients in before and may not come in any more, the last word counts for those, too. A stranger
    /// leaves no trace.
    async fn record_refused(&self, account: Account) -> Result<bool, StoreError> {
        match self.accounts.find_account(&account.user).await? {
            Some(_) => self.accounts.record_account(account).await,
            None => Ok(true),
        }
    }

    /// The person, if known, not disabled, not disowned by the provider, and still let in by one that is configured.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_active(&self, user: &UserId) -> Result<Option<ActiveUser>, StoreError> {
        let account = self.known(user).await?.ok();
        Ok(account.and_then(|account| {
            let mut providers = self.providers_of(&account).peekable();
            let scopes = match providers.peek() {
                Some(_) => providers.find_map(|provider| admit(provider, &account).ok())?,
                None => self.admit_asserted(&account)?,
            };
            Some(active(&account, scopes))
        }))
    }

    /// The providers that may know the person: several clients of one provider can be configured.
    pub(super) fn providers_of(&self, account: &Account) -> impl Iterator<Item = &Provider> {
        self.providers.iter().filter(|provider| provider.is_issuer(&account.issuer))
    }
}

/// What a person who was remembered may do.
pub(super) fn admit(provider: &Provider, account: &Account) -> Result<ScopeSet, Failure> {
    provider.admit(&account.issuer, &account.subject, &account.profile)
}

/// The person as others see one.
pub(super) fn active(account: &Account, scopes: ScopeSet) -> ActiveUser {
    ActiveUser {
        id: account.user.clone(),
        name: account.display_name().to_owned(),
        scopes,
        // Upstreams may take it for who it is.
        email: account.profile.email.clone().filter(|_| account.profile.email_verified),
    }
}

fn account(provider: &Provider, identified: Identified, now: Timestamp) -> Result<Account, Failure> {
    let user = UserId::federated(&identified.issuer, &identified.subject);
    let sealed = identified.refresh_token.map(|token| provider.seal(&user, &token)).transpose();
    let refresh_token = sealed.map_err(|error| {
        Failure::new(Reason::Misconfigured, format!("the provider's refresh token cannot be sealed: {error}"))
    })?;
    Ok(Account {
        user,
        issuer: identified.issuer,
        subject: identified.subject,
        profile: identified.profile,
        refresh_token,
        disabled: false,
        created_at: now,
        confirmed_at: now,
    })
}
