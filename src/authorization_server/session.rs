//! Browsers in which somebody has logged in: the next app needs no second login there, only consent.

use std::time::Duration;

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::FlowFault;
use crate::base::digest::Digest;
use crate::base::id::{FlowId, UserId};
use crate::base::limit::Limit;
use crate::base::random;
use crate::base::secret::Secret;
use crate::identity::ActiveUser;
use crate::model::browser_session::BrowserSession;
use crate::store::StoreError;

/// How long somebody stays signed in who did not ask for it, should the browser never be closed.
const VISIT: Duration = Duration::from_secs(12 * 60 * 60);
/// How long one who only looks after the own account does, where nobody stays signed in.
const SHORT_VISIT: Duration = Duration::from_secs(15 * 60);
/// How exact it is when somebody was last seen in a browser.
const SIGHTING: Duration = Duration::from_secs(10 * 60);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::time("signed in without having asked to stay so", VISIT, "signed out"),
    Limit::time("visit of the own account, where nobody stays signed in", SHORT_VISIT, "signed out"),
];

/// The browser in which somebody logs in.
#[derive(Clone, Copy, Debug)]
pub struct ThisBrowser<'a> {
    /// The session it has.
    pub session: Option<&'a Secret>,
    /// What people call it.
    pub device: &'a str,
    /// Whether it stays signed in beyond its closing.
    pub stays: bool,
}

/// Somebody who is signed in in this browser.
#[derive(Debug)]
pub struct SignedIn {
    /// The session.
    pub session: BrowserSession,
    /// Who it is.
    pub person: ActiveUser,
}

/// A session that just began.
#[derive(Debug)]
pub struct NewSession {
    /// The value of its cookie.
    pub cookie: Secret,
    /// How long it lasts.
    pub lifetime: Duration,
    /// Whether it outlasts the browser being closed.
    pub stays: bool,
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
    /// Who is logged in in a browser with this cookie, for whom no app asks for another login.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_person(&self, session: Option<&Secret>) -> Result<Option<ActiveUser>, StoreError> {
        let found = self.find_signed_in(session.filter(|_| self.can_stay())).await?;
        Ok(found.map(|found| found.person))
    }

    /// Who is signed in in a browser with this cookie, if anybody still is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_signed_in(&self, session: Option<&Secret>) -> Result<Option<SignedIn>, StoreError> {
        let Some(cookie) = session else { return Ok(None) };
        let (store, now) = (&self.services.store, self.services.clock.now());
        // A lifetime that was shortened since counts for older sessions too.
        let longest = if self.can_stay() { self.settings.session_lifetime } else { SHORT_VISIT };
        let found = store.find_session(&Digest::of(cookie), now).await?;
        let Some(session) = found.filter(|session| now.since(session.created_at) < longest) else { return Ok(None) };
        let Some(person) = self.services.identity.find_active(&session.user).await? else { return Ok(None) };
        if now.since(session.used_at) >= SIGHTING {
            store.touch_session(&session.digest, now).await?;
        }
        Ok(Some(SignedIn { session, person }))
    }

    /// Whether the configuration lets anybody stay signed in.
    pub(super) fn can_stay(&self) -> bool {
        !self.settings.session_lifetime.is_zero()
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

    /// Remembers this browser under a new cookie, in place of the one it had. `None`: sessions are off.
    pub(super) async fn remember_browser(
        &self,
        user: &UserId,
        browser: &ThisBrowser<'_>,
    ) -> Result<Option<NewSession>, StoreError> {
        if self.can_stay() {
            return self.begin_visit(user, browser).await.map(Some);
        }
        self.forget(user, browser).await?;
        Ok(None)
    }

    /// The same, where sessions are off too, for the own account alone.
    pub(super) async fn begin_visit(&self, user: &UserId, browser: &ThisBrowser<'_>) -> Result<NewSession, StoreError> {
        self.forget(user, browser).await?;
        let stays = browser.stays && self.can_stay();
        let lifetime = match (self.can_stay(), stays) {
            (true, true) => self.settings.session_lifetime,
            (true, false) => self.settings.session_lifetime.min(VISIT),
            (false, _) => SHORT_VISIT,
        };
        let (cookie, now) = (random::token(), self.services.clock.now());
        let session = BrowserSession {
            digest: Digest::of(&cookie),
            user: user.clone(),
            device: browser.device.to_owned(),
            created_at: now,
            used_at: now,
            expires_at: now + lifetime,
        };
        self.services.store.add_session(session).await?;
        Ok(NewSession { cookie, lifetime, stays })
    }

    async fn forget(&self, user: &UserId, browser: &ThisBrowser<'_>) -> Result<(), StoreError> {
        match browser.session {
            Some(old) => self.end_session(old, Some(user)).await,
            None => Ok(()),
        }
    }

    /// Ends the session of this cookie, and says so unless it was that of `successor`, who has just logged in there.
    pub(super) async fn end_session(&self, session: &Secret, successor: Option<&UserId>) -> Result<(), StoreError> {
        let (store, digest) = (&self.services.store, Digest::of(session));
        let found = store.find_session(&digest, self.services.clock.now()).await?;
        let was_removed = store.remove_session(&digest).await?;
        match found.filter(|found| was_removed && Some(&found.user) != successor) {
            Some(ended) => self.services.audit.record(Event::LoggedOut { user: &ended.user }).await,
            None => Ok(()),
        }
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
        let person = self.find_signed_in(Some(session)).await?.map(|found| found.person);
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
