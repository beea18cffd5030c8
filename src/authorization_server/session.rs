//! Browsers in which somebody has logged in: the next app needs no second login there, only consent.

use std::time::Duration;

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::FlowFault;
use crate::base::digest::Digest;
use crate::base::id::{FlowId, UserId};
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

    /// How pages name somebody who is logged in: with the provider, since the same address at two of them is two people, and
    /// one need not have verified it.
    #[must_use]
    pub fn shown_name(&self, person: &ActiveUser) -> String {
        match self.services.identity.provider_of(&person.id) {
            Some(provider) => format!("{} ({})", person.name, provider.label()),
            None => person.name.clone(),
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

    /// Ends the session in the store too, so that its cookie is worth nothing to anybody, and in other tabs the `flows` in
    /// which somebody has logged in: whoever uses the browser next could still answer them. Gives where else the person may
    /// want to log out.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn log_out(
        &self,
        session: &Secret,
        flows: Vec<(FlowId, Secret)>,
    ) -> Result<Option<LogOutElsewhere>, FlowFault> {
        let person = self.find_person(Some(session)).await?;
        for (flow, cookie) in flows {
            match self.find_flow(&flow, Some(cookie)).await {
                Ok(bound) => self.end_if_logged_in(&bound).await?,
                Err(FlowFault::Unavailable(error)) => return Err(error.into()),
                Err(_) => {}
            }
        }
        self.services.store.remove_session(&Digest::of(session)).await?;
        if let Some(person) = &person {
            self.services.audit.record(Event::LoggedOut { user: &person.id }).await?;
        }
        let provider = person.as_ref().and_then(|person| self.services.identity.provider_of(&person.id));
        let elsewhere = provider.and_then(|provider| Some((provider.label().to_owned(), provider.end_session_url()?)));
        Ok(elsewhere.map(|(label, url)| LogOutElsewhere { label, url }))
    }
}
