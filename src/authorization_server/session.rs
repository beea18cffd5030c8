//! Browsers in which somebody has logged in: the next app needs no second login there, only consent.

use std::time::Duration;

use crate::authorization_server::AuthorizationServer;
use crate::base::digest::Digest;
use crate::base::id::UserId;
use crate::base::random;
use crate::base::secret::Secret;
use crate::identity::ActiveUser;
use crate::model::browser_session::BrowserSession;
use crate::store::StoreError;

/// A session that just began.
#[derive(Debug)]
pub struct NewSession {
    /// The value of its cookie.
    pub cookie: Secret,
    /// How long it lasts.
    pub lifetime: Duration,
}

/// Where else the person may want to log out.
#[derive(Debug)]
pub struct LogOutElsewhere {
    /// What people call the provider.
    pub label: String,
    /// Its page for it (OpenID Connect RP-Initiated Logout §2).
    pub url: String,
}

impl AuthorizationServer {
    /// Who is logged in in a browser with this cookie, if anybody still is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_person(&self, session: Option<&Secret>) -> Result<Option<ActiveUser>, StoreError> {
        let Some(cookie) = session.filter(|_| !self.settings.session_lifetime.is_zero()) else { return Ok(None) };
        let now = self.services.clock.now();
        let found = self.services.store.find_session(&Digest::of(cookie), now).await?;
        // A lifetime that was shortened since counts for older sessions too.
        let found = found.filter(|session| now.since(session.created_at) < self.settings.session_lifetime);
        match found {
            Some(session) => self.services.identity.find_active(&session.user).await,
            None => Ok(None),
        }
    }

    /// Remembers this browser under a new cookie, in place of the `old` one. `None`: sessions are off.
    pub(super) async fn remember_browser(
        &self,
        user: &UserId,
        old: Option<&Secret>,
    ) -> Result<Option<NewSession>, StoreError> {
        let (store, lifetime) = (&self.services.store, self.settings.session_lifetime);
        if let Some(old) = old {
            store.remove_session(&Digest::of(old)).await?;
        }
        if lifetime.is_zero() {
            return Ok(None);
        }
        let (cookie, now) = (random::token(), self.services.clock.now());
        let session = BrowserSession {
            digest: Digest::of(&cookie),
            user: user.clone(),
            created_at: now,
            expires_at: now + lifetime,
        };
        store.add_session(session).await?;
        Ok(Some(NewSession { cookie, lifetime }))
    }

    /// The token that the form for logging out must bring back.
    #[must_use]
    pub fn log_out_token(&self, session: &Secret) -> Secret {
        self.services.keys.derive("log out", &[session.expose().as_bytes()])
    }

    /// Ends the session in the store too, so that its cookie is worth nothing to anybody. Gives where else the person may
    /// want to log out.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn log_out(&self, session: &Secret) -> Result<Option<LogOutElsewhere>, StoreError> {
        let person = self.find_person(Some(session)).await?;
        self.services.store.remove_session(&Digest::of(session)).await?;
        let provider = person.as_ref().and_then(|person| self.services.identity.provider_of(&person.id));
        let elsewhere = provider.and_then(|provider| Some((provider.label().to_owned(), provider.end_session_url()?)));
        Ok(elsewhere.map(|(label, url)| LogOutElsewhere { label, url }))
    }
}
