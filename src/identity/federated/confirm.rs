//! Whether a provider still stands by somebody who logged in there some time ago.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::identity::Standing;
use crate::identity::federated::federation::{active, admit};
use crate::identity::federated::{Failure, Federation, Identified, Provider, Reason, Renewal};
use crate::model::account::Account;
use crate::store::StoreError;

/// How long an answer of the provider counts, so that several clients of one person do not each ask.
const FRESH: Duration = Duration::from_secs(60);

/// When the provider last stood by somebody it has disowned since: never.
const DISOWNED: Timestamp = Timestamp::from_unix(0);

/// What is known of somebody when it is asked again.
struct Known<'a> {
    provider: &'a Provider,
    account: &'a Account,
    now: Timestamp,
}

impl Known<'_> {
    /// How long ago the provider last said who it is.
    fn age(&self) -> Duration {
        self.now.since(self.account.confirmed_at)
    }
}

impl Federation {
    /// Whether a grant of this person may go on.
    ///
    /// Goes on when the caller goes away: the provider's new refresh token must be kept, or it would take the old one, used
    /// another time, for stolen.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn confirm(self: &Arc<Self>, user: &UserId, now: Timestamp) -> Result<Standing, StoreError> {
        let asking = Arc::clone(self).confirm_in_turn(user.clone(), now);
        let asked = tokio::spawn(asking.in_current_span()).await;
        asked.unwrap_or_else(|error| Err(StoreError::Broken(format!("asking a provider failed: {error}"))))
    }

    async fn confirm_in_turn(self: Arc<Self>, user: UserId, now: Timestamp) -> Result<Standing, StoreError> {
        let turn = self.turns.take(&user).await;
        if let Some(standing) = turn.shared() {
            return Ok(standing);
        }
        let standing = self.standing(&user, now).await;
        turn.end(standing.as_ref().ok().cloned());
        standing
    }

    /// What was last said of this person, by whomever, without asking again: for those who cannot wait.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last_word(&self, user: &UserId, now: Timestamp) -> Result<Standing, StoreError> {
        Ok(match self.known(user).await? {
            Ok(account) => self.unasked(&account, now.since(account.confirmed_at)),
            Err(standing) => standing,
        })
    }

    async fn standing(&self, user: &UserId, now: Timestamp) -> Result<Standing, StoreError> {
        let account = match self.known(user).await? {
            Ok(account) => account,
            Err(standing) => return Ok(standing),
        };
        let age = now.since(account.confirmed_at);
        match self.refreshable(&account) {
            Some((provider, _)) if age < FRESH => Ok(standing(provider, &account)),
            Some((provider, token)) => self.ask(&Known { provider, account: &account, now }, &token).await,
            None => Ok(self.unasked(&account, age)),
        }
    }

    /// The person, unless it is certain without asking that there is nobody to stand by.
    pub(super) async fn known(&self, user: &UserId) -> Result<Result<Account, Standing>, StoreError> {
        Ok(match self.accounts.find_account(user).await? {
            None => Err(ended("the person is not known")),
            Some(account) if account.disabled => Err(ended("the person is disabled")),
            Some(account) if account.confirmed_at == DISOWNED => {
                Err(ended("the provider no longer stands by the person, who has not logged in since"))
            }
            Some(account) => Ok(account),
        })
    }

    /// The provider whose client was given the refresh token: that one can use it.
    fn refreshable(&self, account: &Account) -> Option<(&Provider, Secret)> {
        let sealed = account.refresh_token.as_deref()?;
        let unseal = |provider: &Provider| provider.unseal(&account.user, sealed);
        self.providers_of(account).find_map(|provider| unseal(provider).map(|token| (provider, token)))
    }

    /// Where nobody is asked, the login itself ages.
    fn unasked(&self, account: &Account, age: Duration) -> Standing {
        let mut providers = self.providers_of(account).peekable();
        let Some(first) = providers.peek().copied() else { return ended("the provider is not configured any more") };
        let provider = providers.find(|provider| admit(provider, account).is_ok()).unwrap_or(first);
        if age > provider.reauthentication_interval() {
            return ended("the last login is longer ago than reauthentication_interval");
        }
        standing(provider, account)
    }

    async fn ask(&self, known: &Known<'_>, token: &Secret) -> Result<Standing, StoreError> {
        let (rotated, person) = match known.provider.identify_again(known.account, token, known.now).await {
            Ok(Renewal { refresh_token, person }) => (refresh_token, person),
            Err(failure) => (None, Err(failure)),
        };
        let sealed = rotated.map(|token| known.provider.seal(&known.account.user, &token)).transpose();
        let sealed = sealed.unwrap_or_else(|error| {
            tracing::error!(%error, "a provider's new refresh token cannot be sealed, so the old one is kept");
            None
        });
        match person {
            Ok(Some(person)) => self.remember(known, person, sealed).await,
            Ok(None) => self.keep(known, sealed).await,
            Err(failure) if failure.reason == Reason::Ended => self.forget(known, failure).await,
            Err(failure) => self.bear(known, failure, sealed).await,
        }
    }

    /// The provider stands by the person, who may be another kind of person now.
    async fn remember(
        &self,
        known: &Known<'_>,
        person: Identified,
        refresh_token: Option<String>,
    ) -> Result<Standing, StoreError> {
        let account =
            Account { profile: person.profile, refresh_token, confirmed_at: known.now, ..known.account.clone() };
        let standing = standing(known.provider, &account);
        Ok(if self.accounts.record_account(account).await? { standing } else { ended("the person is disabled") })
    }

    /// The provider does not: what it gave is worthless, and no other grant may live on what was said before.
    async fn forget(&self, known: &Known<'_>, failure: Failure) -> Result<Standing, StoreError> {
        // An empty text opens under no key, so that the next login counts for itself if it brings no new token.
        let account = Account { refresh_token: Some(String::new()), confirmed_at: DISOWNED, ..known.account.clone() };
        self.accounts.record_account(account).await?;
        Ok(Standing::Ended(failure.cause))
    }

    /// The provider lets the person in, but does not say who that is now: what it said before ages.
    async fn keep(&self, known: &Known<'_>, refresh_token: Option<String>) -> Result<Standing, StoreError> {
        self.rotate(known, refresh_token).await?;
        Ok(self.unasked(known.account, known.age()))
    }

    async fn rotate(&self, known: &Known<'_>, refresh_token: Option<String>) -> Result<(), StoreError> {
        if refresh_token.is_some() {
            let account = Account { refresh_token, ..known.account.clone() };
            self.accounts.record_account(account).await?;
        }
        Ok(())
    }

    /// The provider could not be asked. What it said before counts on for a while.
    async fn bear(
        &self,
        known: &Known<'_>,
        failure: Failure,
        refresh_token: Option<String>,
    ) -> Result<Standing, StoreError> {
        self.rotate(known, refresh_token).await?;
        let age = known.age();
        // An answer that cannot be trusted is no reason to go on, nor to take the grant away for good.
        if failure.reason == Reason::Untrusted || age > known.provider.reauthentication_interval() {
            return Ok(Standing::Unknown(failure.to_string()));
        }
        let (user, provider) = (&known.account.user, known.provider.name());
        tracing::warn!(%user, %provider, %failure, "the provider could not be asked; its last answer counts on");
        Ok(standing(known.provider, known.account))
    }
}

fn standing(provider: &Provider, account: &Account) -> Standing {
    match admit(provider, account) {
        Ok(scopes) => Standing::Active(active(account, scopes)),
        Err(failure) => ended(&failure.cause),
    }
}

fn ended(why: &str) -> Standing {
    Standing::Ended(why.to_owned())
}
