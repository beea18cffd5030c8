//! To an identity provider and back, in one browser.
//! [RFC 9700 §4.7](https://www.rfc-editor.org/rfc/rfc9700#section-4.7), MCP Security Best Practices, "OAuth State Parameter Validation"

use std::time::Duration;

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::LONGEST_QUERY;
use crate::authorization_server::authorize::decision::Yes;
use crate::authorization_server::authorize::fault::FlowFault;
use crate::authorization_server::authorize::flow::{Bound, Departure};
use crate::authorization_server::authorize::login::LoggedIn;
use crate::authorization_server::authorize::response::Next;
use crate::authorization_server::session::ThisBrowser;
use crate::base::id::{FlowId, ProviderName};
use crate::base::secret::Secret;
use crate::identity::FederatedError;
use crate::identity::federated::{Attempt, Callback, Failure, Provider, Reason};
use crate::model::authorization::{Flow, Stage};
use crate::protocol::oauth::parameters::Parameters;

/// How long a person may take at the provider.
const AWAY_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// What a browser brings to the callback, before anything of it is believed.
#[derive(Debug)]
pub struct Arrival {
    flow: FlowId,
    state: Secret,
    callback: Callback,
}

impl Arrival {
    /// Reads the query of a callback. `None`: it has no `state`, or neither a code nor an error, or something twice, or is too
    /// long to be written to the log.
    #[must_use]
    pub fn parse(query: &[u8]) -> Option<Self> {
        let parameters = Parameters::parse(query).ok().filter(|_| query.len() <= LONGEST_QUERY)?;
        let state = parameters.one("state").ok()??;
        let (flow, _) = state.split_once('.')?;
        let outcome = match (parameters.one("error").ok()?, parameters.one("code").ok()?) {
            (Some(error), _) => Err(error.to_owned()),
            (None, code) => Ok(Secret::new(code?)),
        };
        let issuer = parameters.one("iss").ok()?.map(str::to_owned);
        Some(Self { flow: FlowId::new(flow), state: Secret::new(state), callback: Callback { outcome, issuer } })
    }

    /// The flow it says it belongs to, to look for its cookie.
    #[must_use]
    pub fn flow(&self) -> &FlowId {
        &self.flow
    }
}

impl AuthorizationServer {
    /// What binds a login at a provider to a browser: made from the flow's cookie with a key that is not in the store, so
    /// that nothing of it is stored and a restart in between loses nothing.
    pub(super) fn attempt(&self, flow: &FlowId, cookie: &Secret) -> Attempt {
        let input = [flow.as_str().as_bytes(), cookie.expose().as_bytes()];
        let derive = |label| self.services.keys.derive(label, &input);
        Attempt {
            state: Secret::from(format!("{flow}.{}", derive("provider state").expose())),
            nonce: derive("provider nonce"),
            code_verifier: derive("provider code_verifier"),
        }
    }

    /// Where the browser goes to log in.
    pub(super) async fn way_out(
        &self,
        provider: &Provider,
        attempt: &Attempt,
        afresh: bool,
    ) -> Result<Secret, FlowFault> {
        let url = provider.authorization_url(attempt, afresh, self.services.clock.now()).await;
        url.map(Secret::from).map_err(|failure| FlowFault::Provider(provider.label().to_owned(), failure))
    }

    /// The person allowed it: only now is there a `state`, and the cookie that it belongs to (MCP Security Best Practices:
    /// neither MUST be set before consent).
    pub(super) async fn send_away(&self, bound: &Bound, departure: Departure<'_>) -> Result<Next, FlowFault> {
        let Departure { question, scopes, stays } = departure;
        let provider = self.provider(question.provider)?;
        let now = self.services.clock.now();
        // Asked before the flow moves: a provider that is down leaves the person at the question, to be answered again.
        let ready = provider.warm_up(now).await;
        ready.map_err(|failure| FlowFault::Provider(provider.label().to_owned(), failure))?;
        let stage = Stage::Away {
            provider: question.provider.clone(),
            scopes,
            afresh: question.afresh,
            stays,
            until: now + AWAY_LIFETIME,
        };
        Ok(Next::Step { cookie: self.advance(bound, stage).await?.cookie })
    }

    /// Takes the provider's answer at the callback of `name`: who came is logged in, and the flow ends in a code.
    ///
    /// # Errors
    /// [`FlowFault::Gone`]: not what this browser was sent for, and nothing was asked of the provider;
    /// [`FlowFault::Provider`].
    pub async fn come_back(
        &self,
        bound: &Bound,
        name: &ProviderName,
        arrival: &Arrival,
        browser: &ThisBrowser<'_>,
    ) -> Result<LoggedIn, FlowFault> {
        let Stage::Away { provider, scopes, afresh, stays, until } = &bound.flow.stage else {
            return Err(FlowFault::Gone("nobody was sent to a provider, or the answer came already"));
        };
        let attempt = self.attempt(&bound.flow.id, &bound.cookie);
        // RFC 9700 §4.4.2.2: each provider has its own redirect URI, so that one cannot answer for another.
        if provider != name {
            return Err(FlowFault::Gone("the browser was sent to another provider"));
        }
        if arrival.state != attempt.state {
            return Err(FlowFault::Gone("the state is not the one of this browser and step"));
        }
        if self.services.clock.now() >= *until {
            return Err(FlowFault::Gone("the answer came too late"));
        }
        let provider = self.provider(name)?;
        // Spent before the provider is asked anything: of two arrivals with one state the second finds nothing.
        let stage = Stage::Returned { provider: name.clone(), scopes: scopes.clone(), afresh: *afresh, stays: *stays };
        let returned = self.move_on(bound, stage).await?;
        let browser = ThisBrowser { stays: *stays, ..*browser };
        let logged_in = self.admit(&returned, provider, &arrival.callback, &browser).await;
        if let Err(fault) = &logged_in {
            if let FlowFault::Provider(_, failure) = fault {
                let (client, reason) = (returned.client_id(), failure.reason.word());
                let event = Event::LoginRefused { user: None, client, at: Some(name), reason };
                self.services.audit.record(event).await?;
            }
            self.begin_again(&returned, fault).await;
        }
        logged_in
    }

    async fn admit(
        &self,
        returned: &Bound,
        provider: &Provider,
        callback: &Callback,
        browser: &ThisBrowser<'_>,
    ) -> Result<LoggedIn, FlowFault> {
        let Stage::Returned { scopes, .. } = &returned.flow.stage else { return Err(FlowFault::MOVED) };
        let failed = |failure| FlowFault::Provider(provider.label().to_owned(), failure);
        let attempt = self.attempt(&returned.flow.id, &returned.cookie);
        let user = self.services.identity.log_in_at(provider, callback, &attempt, self.services.clock.now()).await;
        let user = user.map_err(|error| match error {
            FederatedError::Failure(failure) => failed(failure),
            FederatedError::Store(error) => error.into(),
        })?;
        let (client, at) = (returned.client_id(), Some(provider.name()));
        self.services.audit.record(Event::LoggedIn { user: &user.id, client, at }).await?;
        if returned.is_to_account() {
            return self.enter_account(returned, &user.id, browser).await;
        }
        let granted = scopes.limited_to(&user.scopes);
        if granted.is_empty() {
            let cause = format!("{} may grant {}, the client asks for {scopes}", user.id, user.scopes);
            return Err(failed(Failure::new(Reason::NothingToGrant, cause)));
        }
        // Before the code, so that a store that fails costs no code.
        let session = self.remember_browser(&user.id, browser).await?;
        let offered = self.askable(&returned.request()?.scopes);
        let yes = Yes { scopes: &granted, of: Some(&offered) };
        Ok(LoggedIn { next: Next::Answer(self.approve(returned, &user.id, yes).await?), session })
    }

    /// Back to the beginning, for another try; as somebody else when the provider's person was the trouble.
    async fn begin_again(&self, returned: &Bound, fault: &FlowFault) {
        let is_wanted = matches!(returned.flow.stage, Stage::Returned { afresh: true, .. });
        let afresh =
            is_wanted || matches!(fault, FlowFault::Provider(_, failure) if failure.reason.is_about_the_person());
        let stage = if returned.is_to_account() { Stage::Login { afresh } } else { self.login_stage(afresh) };
        if let Err(error) = self.move_on(returned, stage).await {
            tracing::debug!(%error, "a login that failed cannot be tried again in its flow");
        }
    }

    /// Moves the flow on under the cookie it has.
    async fn move_on(&self, bound: &Bound, stage: Stage) -> Result<Bound, FlowFault> {
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, bound.flow.browser, stage.clone(), now).await? {
            return Err(FlowFault::MOVED);
        }
        Ok(Bound { flow: Flow { stage, ..bound.flow.clone() }, cookie: bound.cookie.clone() })
    }
}
