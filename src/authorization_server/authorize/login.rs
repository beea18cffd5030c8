//! Logging in during a flow: with a password, or by choosing a provider.

use std::net::IpAddr;

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::decision::Yes;
use crate::authorization_server::authorize::fault::FlowFault;
use crate::authorization_server::authorize::flow::{Bound, Departure, Question};
use crate::authorization_server::authorize::response::Next;
use crate::authorization_server::session::NewSession;
use crate::authorization_server::session::ThisBrowser;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, ProviderName, UserId};
use crate::base::random;
use crate::base::secret::Secret;
use crate::config::section::{Consent, ConsentMode};
use crate::identity::LoginError;
use crate::identity::throttle::RetryAfter;
use crate::model::authorization::{AuthorizationRequest, Flow, Stage};
use crate::model::client::{Authentication, Client, Origin};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::redirect_uri;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::StoreError;

/// A login as it was typed.
#[derive(Debug)]
pub struct LogIn<'a> {
    /// The user name.
    pub username: &'a str,
    /// The password.
    pub password: &'a Secret,
    /// The address of the browser.
    pub address: IpAddr,
    /// The browser.
    pub browser: ThisBrowser<'a>,
}

/// Somebody has just logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// What follows.
    pub next: Next,
    /// The browser is remembered.
    pub session: Option<NewSession>,
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

impl AuthorizationServer {
    /// Logs a person in and moves the flow on. The flow's cookie changes, so that one planted before is worth nothing.
    ///
    /// # Errors
    /// [`LogInFault`].
    pub async fn log_in(&self, bound: &Bound, login: LogIn<'_>) -> Result<LoggedIn, LogInFault> {
        let can_log_in = self.login(&bound.flow).is_some() && self.services.identity.has_passwords();
        if !can_log_in {
            return Err(FlowFault::Gone("nobody logs in with a password at this stage").into());
        }
        let proven = self.services.identity.log_in(login.username, login.password, login.address).await;
        self.record_login(bound.client_id(), proven.as_ref().map(|proven| &proven.user)).await?;
        let proven = proven.map_err(|error| match error {
            LoginError::Wrong { .. } => LogInFault::Wrong,
            LoginError::Throttled { retry_after, .. } => LogInFault::Throttled(retry_after),
            LoginError::Busy { retry_after } => LogInFault::Busy(retry_after),
            LoginError::Store(error) => error.into(),
        })?;
        let logged_in = self.let_in(bound, &proven.user, &login.browser).await?;
        if self.services.identity.still_counts(&proven).await? {
            return Ok(logged_in);
        }
        // What was written since is in nobody's hands: neither cookie nor code has left.
        if let Some(session) = &logged_in.session {
            self.services.store.remove_session(&Digest::of(&session.cookie)).await?;
        }
        self.record_login(bound.client_id(), Err(&LoginError::Wrong { known: Some(proven.user) })).await?;
        Err(LogInFault::Wrong)
    }

    async fn let_in(&self, bound: &Bound, user: &UserId, browser: &ThisBrowser<'_>) -> Result<LoggedIn, LogInFault> {
        let active = self.services.identity.find_active(user).await?.ok_or(LogInFault::Wrong)?;
        if bound.is_to_account() {
            return Ok(self.enter_account(bound, user, browser).await?);
        }
        // Before the flow moves, so that a store that fails leaves the person where another try is possible.
        let session = self.remember_browser(user, browser).await?;
        Ok(LoggedIn { next: self.after_login(bound, user, &active.scopes).await?, session })
    }

    /// Records how an attempt with a password ended, on the way to a client or to the own account.
    pub(in crate::authorization_server) async fn record_login(
        &self,
        client: Option<&ClientId>,
        outcome: Result<&UserId, &LoginError>,
    ) -> Result<(), StoreError> {
        let event = match outcome {
            Ok(user) => Event::LoggedIn { user, client, at: None },
            Err(LoginError::Wrong { known }) => {
                Event::LoginRefused { user: known.as_ref(), client, at: None, reason: "wrong_credentials" }
            }
            Err(LoginError::Throttled { known, .. }) => {
                Event::LoginUnheard { user: known.as_ref(), client, reason: "throttled" }
            }
            Err(LoginError::Busy { .. }) => Event::LoginUnheard { user: None, client, reason: "busy" },
            Err(LoginError::Store(_)) => return Ok(()),
        };
        self.services.audit.record(event).await
    }

    /// Ends a flow that leads to the own account: there is a session even where none is kept, for as long as a visit takes.
    pub(super) async fn enter_account(
        &self,
        bound: &Bound,
        user: &UserId,
        browser: &ThisBrowser<'_>,
    ) -> Result<LoggedIn, FlowFault> {
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, bound.flow.browser, Stage::Finished, now).await? {
            return Err(FlowFault::MOVED);
        }
        let session = self.begin_visit(user, browser).await?;
        Ok(LoggedIn { next: Next::Account, session: Some(session) })
    }

    async fn after_login(&self, bound: &Bound, user: &UserId, limit: &ScopeSet) -> Result<Next, FlowFault> {
        let request = bound.request()?;
        let scopes = self.grantable(&request.scopes, limit);
        if scopes.is_empty() {
            // product.md: an empty intersection is invalid_scope, never all scopes.
            let error = OauthError::new(ErrorCode::InvalidScope, "this user may not grant any of the scopes asked for");
            let (client, reason) = (Some(&request.client_id), "nothing_to_grant");
            self.services.audit.record(Event::AuthorizeRefused { client, user: Some(user), reason }).await?;
            return Ok(Next::Answer(self.finish(bound, error).await?));
        }
        let moved = self.advance(bound, Stage::Consent { user: user.clone(), scopes: scopes.clone() }).await?;
        if self.is_consent_remembered(request, user, &scopes).await? {
            return Ok(Next::Answer(self.approve(&moved, user, Yes { scopes: &scopes, of: None }).await?));
        }
        Ok(Next::Step { cookie: moved.cookie })
    }

    /// Moves the flow on under a new cookie.
    pub(super) async fn advance(&self, bound: &Bound, stage: Stage) -> Result<Bound, FlowFault> {
        let cookie = random::token();
        let flow = Flow { browser: Digest::of(&cookie), stage, ..bound.flow.clone() };
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, flow.browser, flow.stage.clone(), now).await? {
            return Err(FlowFault::MOVED);
        }
        Ok(Bound { flow, cookie })
    }

    /// Takes the person's choice of a provider; the question whether the client may comes before the browser goes there.
    /// `stays`: as ticked, on the way to the own account, where nothing is asked.
    ///
    /// # Errors
    /// [`FlowFault::Gone`]: there is no such provider, or nothing to choose any more; [`FlowFault::Provider`].
    pub async fn choose_provider(&self, bound: &Bound, name: &ProviderName, stays: bool) -> Result<Next, FlowFault> {
        let Some(afresh) = self.login(&bound.flow) else {
            return Err(FlowFault::Gone("no provider is chosen at this stage"));
        };
        let provider = self.provider(name)?.name().clone();
        if bound.is_to_account() {
            let question = Question { provider: &provider, afresh };
            return self.send_away(bound, Departure { question, scopes: ScopeSet::default(), stays }).await;
        }
        let moved = self.advance(bound, Stage::Permission { provider, afresh }).await?;
        Ok(Next::Step { cookie: moved.cookie })
    }

    /// Begins again for somebody else, or for another way to log in: the browser's session ends, and if somebody was logged
    /// in, a provider will ask who it is.
    ///
    /// # Errors
    /// [`FlowFault::Gone`].
    pub async fn switch_person(&self, bound: &Bound, session: Option<&Secret>) -> Result<Next, FlowFault> {
        let afresh = match (&bound.flow.stage, self.question(&bound.flow)) {
            (Stage::Consent { .. }, _) => true,
            // Another way to log in is wanted, by whomever.
            (_, Some(question)) => question.afresh,
            _ => return Err(FlowFault::Gone("nobody is asked at this stage")),
        };
        if let Some(session) = session {
            self.end_session(session, None).await?;
        }
        let moved = self.advance(bound, self.login_stage(afresh)).await?;
        Ok(Next::Step { cookie: moved.cookie })
    }

    /// Ends a flow in which somebody has logged in and was not answered; another is left as it is.
    pub(in crate::authorization_server) async fn end_if_logged_in(&self, bound: &Bound) -> Result<(), StoreError> {
        if matches!(bound.flow.stage, Stage::Consent { .. }) {
            let now = self.services.clock.now();
            self.services.store.advance_flow(&bound.flow, bound.flow.browser, Stage::Finished, now).await?;
        }
        Ok(())
    }

    /// Whether somebody who is signed in, and so need not be seen at all, is not asked either.
    ///
    /// RFC 8252 §8.6: a request is not answered without a person unless it is certain who gets the answer. What listens at a
    /// loopback address or for a private-use scheme may be another app, so that the client has to prove itself with the code.
    ///
    /// A link in a mail counts as the person's own step, and browsers go on saying so (`Sec-Fetch-Site: none`) wherever it is
    /// redirected. What it can bring about is a code at the exact address of a client that the person has allowed before, for a
    /// request that somebody else began there. That client MUST take no code in another browser than the request's (RFC 6749
    /// §10.12, RFC 9700 §4.7). Asking every time would make up for one that does, but a click is no proof against a link that
    /// invites to it, and would cost everybody what remembering is for; `consent.remember: 0` is for who wants it.
    pub(super) async fn may_go_unseen(
        &self,
        (request, client): (&AuthorizationRequest, &Client),
        user: &UserId,
        scopes: &ScopeSet,
    ) -> Result<bool, FlowFault> {
        let proves_itself = match &client.authentication {
            Authentication::Secret(_) | Authentication::PrivateKey { is_optional: false, .. } => true,
            Authentication::PrivateKey { is_optional: true, .. } | Authentication::None => false,
        };
        let is_certain = proves_itself || request.redirect_uri.starts_with("https://");
        // Nothing stands between a link elsewhere and a code here, not even a password: not even where nobody need be asked.
        if request.asks_again || !is_certain {
            return Ok(false);
        }
        self.is_consent_remembered(request, user, scopes).await
    }

    /// Whether the same person has already allowed the same client at least this much, or the operator has for everybody.
    ///
    /// Not when another site sent the browser here: a page elsewhere could then fetch a code with one password entry that
    /// was meant for something else, and what listens at a loopback address is not known (OAuth 2.1 §7.3.1).
    async fn is_consent_remembered(
        &self,
        request: &AuthorizationRequest,
        user: &UserId,
        scopes: &ScopeSet,
    ) -> Result<bool, FlowFault> {
        let client = self.find_client(&request.client_id, None).await?;
        let Consent { mode, remember } = self.settings.consent;
        let is_answered_for = match client.map(|client| client.origin) {
            Some(Origin::Configured { skip_consent, .. }) => {
                mode == ConsentMode::Never || (mode == ConsentMode::AlwaysForDynamic && skip_consent)
            }
            // Whatever the configuration says: nobody here knows whose client it is.
            Some(Origin::Document { .. } | Origin::Registered) | None => false,
        };
        if is_answered_for {
            return Ok(true);
        }
        if request.asks_again || remember.is_zero() {
            return Ok(false);
        }
        let (client, uri, resource) =
            (&request.client_id, redirect_uri::without_port(&request.redirect_uri), &request.resource);
        let found = self.services.store.find_consent(user, client, &uri, resource).await?;
        let now = self.services.clock.now();
        let is_fresh = |granted_at| now.since(granted_at) < remember;
        Ok(found.is_some_and(|consent| is_fresh(consent.granted_at) && consent.scopes.allows_all(scopes)))
    }
}
