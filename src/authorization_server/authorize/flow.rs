//! The steps of a flow in its browser: log in, consent, answer. Each is decided from the stored flow alone.

use std::net::IpAddr;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::response::Answer;
use crate::base::digest::Digest;
use crate::base::id::{FlowId, GrantId, UserId};
use crate::base::random;
use crate::base::secret::Secret;
use crate::identity::LoginError;
use crate::identity::throttle::RetryAfter;
use crate::model::authorization::{AuthorizationCode, AuthorizationRequest, Flow, Stage};
use crate::model::consent::Consent;
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::redirect_uri;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::StoreError;

/// A flow that was found by its identifier and its cookie: this is the browser it began in.
#[derive(Debug)]
pub struct Bound {
    flow: Flow,
    cookie: Secret,
}

/// Which page comes next.
#[derive(Debug)]
pub enum Step {
    /// The login form.
    Login(Asked),
    /// The question whether the client may.
    Consent {
        /// What is asked.
        asked: Asked,
        /// Who logged in.
        user: UserId,
        /// What would be granted.
        scopes: ScopeSet,
    },
}

/// Who asks, for a page to show.
#[derive(Debug)]
pub struct Asked {
    /// The client's own name for itself.
    pub client_name: Option<String>,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// What the tokens are for.
    pub resource: String,
}

/// A login as it was typed.
#[derive(Debug)]
pub struct LogIn<'a> {
    /// The user name.
    pub username: &'a str,
    /// The password.
    pub password: &'a Secret,
    /// The address of the browser.
    pub address: IpAddr,
}

/// What follows a login.
#[derive(Debug)]
pub enum Next {
    /// The next page of the flow, under a new cookie.
    Step {
        /// The new value of the flow's cookie.
        cookie: Secret,
    },
    /// Nothing more to ask.
    Answer(Answer),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FlowFault {
    /// No such flow in this browser: expired, answered already, begun in another browser, or made up.
    #[error("This login has expired, was finished already, or began in another browser.")]
    Gone,
    /// The form did not come from our page in this browser.
    #[error("This form did not come from this site's own page.")]
    Forged,
    /// The store cannot answer.
    #[error("The server cannot do this now.")]
    Unavailable(#[from] StoreError),
}

impl FlowFault {
    /// What the person can do about it.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Gone | Self::Forged => "Go back to the app and connect again.",
            Self::Unavailable(_) => "Go back and try again in a moment.",
        }
    }
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LogInFault {
    /// The flow cannot go on.
    #[error(transparent)]
    Flow(#[from] FlowFault),
    /// Unknown user, wrong password or disabled user: one text for all.
    #[error("Wrong user name or password.")]
    Wrong,
    /// Too many tries.
    #[error("Too many tries. Try again in {} seconds.", .0.seconds())]
    Throttled(RetryAfter),
    /// Too many people at once.
    #[error("The server is busy. Try again in {} seconds.", .0.seconds())]
    Busy(RetryAfter),
}

impl From<StoreError> for LogInFault {
    fn from(error: StoreError) -> Self {
        Self::Flow(error.into())
    }
}

impl Bound {
    /// The flow's identifier.
    #[must_use]
    pub fn id(&self) -> &FlowId {
        &self.flow.id
    }

    fn request(&self) -> &AuthorizationRequest {
        &self.flow.request
    }
}

impl AuthorizationServer {
    /// The flow of this identifier, if this browser has its cookie and it has not been answered.
    ///
    /// # Errors
    /// [`FlowFault::Gone`].
    pub async fn find_flow(&self, id: &FlowId, cookie: Option<Secret>) -> Result<Bound, FlowFault> {
        let cookie = cookie.ok_or(FlowFault::Gone)?;
        let found = self.services.store.find_flow(id, self.services.clock.now()).await?;
        let flow = found.filter(|flow| flow.browser == Digest::of(&cookie) && flow.stage != Stage::Finished);
        Ok(Bound { flow: flow.ok_or(FlowFault::Gone)?, cookie })
    }

    /// The token that a form of this flow must bring back: it can be made only from the cookie, which pages cannot read.
    #[must_use]
    pub fn csrf_token(&self, bound: &Bound) -> Secret {
        self.services.keys.derive("csrf", &[bound.flow.id.as_str().as_bytes(), bound.cookie.expose().as_bytes()])
    }

    /// Checks a form's token.
    ///
    /// # Errors
    /// [`FlowFault::Forged`].
    pub fn check_csrf_token(&self, bound: &Bound, sent: Option<&str>) -> Result<(), FlowFault> {
        let matches = sent.is_some_and(|sent| Secret::new(sent) == self.csrf_token(bound));
        if matches { Ok(()) } else { Err(FlowFault::Forged) }
    }

    /// The page that comes next.
    ///
    /// # Errors
    /// [`FlowFault`].
    pub async fn step(&self, bound: &Bound) -> Result<Step, FlowFault> {
        let request = bound.request();
        let client = self.services.store.find_client(&request.client_id).await?.ok_or(FlowFault::Gone)?;
        let asked = Asked {
            client_name: client.name,
            redirect_uri: request.redirect_uri.clone(),
            resource: request.resource.clone(),
        };
        match &bound.flow.stage {
            Stage::Login { .. } => Ok(Step::Login(asked)),
            Stage::Consent { user, scopes } => Ok(Step::Consent { asked, user: user.clone(), scopes: scopes.clone() }),
            Stage::Permission { .. } | Stage::Away { .. } | Stage::Returned { .. } | Stage::Finished => {
                Err(FlowFault::Gone)
            }
        }
    }

    /// Logs a person in and moves the flow on. The flow's cookie changes, so that one planted before is worth nothing.
    ///
    /// # Errors
    /// [`LogInFault`].
    pub async fn log_in(&self, bound: &Bound, login: LogIn<'_>) -> Result<Next, LogInFault> {
        if !matches!(bound.flow.stage, Stage::Login { .. }) {
            return Err(FlowFault::Gone.into());
        }
        let user = self.services.identity.log_in(login.username, login.password, login.address).await;
        let user = user.map_err(|error| match error {
            LoginError::Wrong => LogInFault::Wrong,
            LoginError::Throttled { retry_after } => LogInFault::Throttled(retry_after),
            LoginError::Busy { retry_after } => LogInFault::Busy(retry_after),
            LoginError::Store(error) => error.into(),
        })?;
        let active = self.services.identity.find_active(&user).await?.ok_or(LogInFault::Wrong)?;
        let scopes = self.grantable(&bound.request().scopes, &active.scopes);
        if scopes.is_empty() {
            // product.md: an empty intersection is invalid_scope, never all scopes.
            let error = OauthError::new(ErrorCode::InvalidScope, "this user may not grant any of the scopes asked for");
            return Ok(Next::Answer(self.finish(bound, error).await?));
        }
        let cookie = random::token();
        let stage = Stage::Consent { user: user.clone(), scopes: scopes.clone() };
        let moved =
            Bound { flow: Flow { browser: Digest::of(&cookie), stage: stage.clone(), ..bound.flow.clone() }, cookie };
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, moved.flow.browser, stage, now).await? {
            return Err(FlowFault::Gone.into());
        }
        if self.is_consent_remembered(bound.request(), &user, &scopes).await? {
            return Ok(Next::Answer(self.allow(&moved).await?));
        }
        Ok(Next::Step { cookie: moved.cookie })
    }

    /// Grants what was asked: the flow ends in a code.
    ///
    /// # Errors
    /// [`FlowFault::Gone`] when nobody has logged in, or it was answered already.
    pub async fn allow(&self, bound: &Bound) -> Result<Answer, FlowFault> {
        let Stage::Consent { user, scopes } = &bound.flow.stage else { return Err(FlowFault::Gone) };
        let request = bound.request();
        let now = self.services.clock.now();
        let secret = random::token();
        let code = AuthorizationCode {
            digest: Digest::of(&secret),
            grant: GrantId::new(random::identifier()),
            client_id: request.client_id.clone(),
            user: user.clone(),
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            resource: request.resource.clone(),
            scopes: scopes.clone(),
            issued_at: now,
            expires_at: now + self.settings.code_lifetime,
        };
        let consent = Consent {
            user: user.clone(),
            client_id: request.client_id.clone(),
            redirect_uri: redirect_uri::without_port(&request.redirect_uri),
            resource: request.resource.clone(),
            scopes: scopes.clone(),
            granted_at: now,
        };
        if !self.services.store.approve_flow(&bound.flow, code, consent).await? {
            return Err(FlowFault::Gone);
        }
        Ok(Answer::success(&request.redirect_uri, request.state.as_deref(), &self.settings.issuer, &secret))
    }

    /// Refuses what was asked, before or after login: the flow ends in `access_denied` (RFC 6749 §4.1.2.1).
    ///
    /// # Errors
    /// [`FlowFault::Gone`].
    pub async fn deny(&self, bound: &Bound) -> Result<Answer, FlowFault> {
        self.finish(bound, OauthError::new(ErrorCode::AccessDenied, "the person did not allow it")).await
    }

    async fn finish(&self, bound: &Bound, error: OauthError) -> Result<Answer, FlowFault> {
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, bound.flow.browser, Stage::Finished, now).await? {
            return Err(FlowFault::Gone);
        }
        let request = bound.request();
        Ok(Answer::refusal(&request.redirect_uri, request.state.as_deref(), &self.settings.issuer, error))
    }

    /// What a person with `limit` grants to a client that asked for `asked`.
    fn grantable(&self, asked: &ScopeSet, limit: &ScopeSet) -> ScopeSet {
        if asked.is_empty() { self.settings.default_scopes.limited_to(limit) } else { asked.limited_to(limit) }
    }

    /// Whether the same person has already allowed the same client at least this much.
    ///
    /// Not when another site sent the browser here: a page elsewhere could then fetch a code with one password entry that
    /// was meant for something else, and what listens at a loopback address is not known (OAuth 2.1 §7.3.1).
    async fn is_consent_remembered(
        &self,
        request: &AuthorizationRequest,
        user: &UserId,
        scopes: &ScopeSet,
    ) -> Result<bool, StoreError> {
        if request.asks_again || self.settings.remember_consent.is_zero() {
            return Ok(false);
        }
        let (client, uri, resource) =
            (&request.client_id, redirect_uri::without_port(&request.redirect_uri), &request.resource);
        let found = self.services.store.find_consent(user, client, &uri, resource).await?;
        let now = self.services.clock.now();
        let fresh = |consent: &Consent| now.since(consent.granted_at) < self.settings.remember_consent;
        Ok(found.is_some_and(|consent| fresh(&consent) && consent.scopes.allows_all(scopes)))
    }
}
