//! The person's decision, and what it leads to: a code for the client, a way to the provider, or a refusal.

use crate::audit::{ConsentBy, Event};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::fault::FlowFault;
use crate::authorization_server::authorize::flow::{Bound, Departure};
use crate::authorization_server::authorize::response::Answer;
use crate::authorization_server::authorize::response::Next;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{GrantId, UserId};
use crate::base::random;
use crate::model::authorization::{AuthorizationCode, AuthorizationRequest, Stage};
use crate::model::consent::{Consent, Decided};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::redirect_uri;
use crate::protocol::oauth::scope::ScopeSet;

/// What the person ticked on the consent page.
#[derive(Debug)]
pub struct Decision {
    /// The scopes, as the form says: those that were not offered do not count.
    pub scopes: ScopeSet,
    /// Whether the browser stays signed in beyond its closing, asked where the person logs in elsewhere.
    pub stays: bool,
}

/// Why a code is given.
pub(super) struct Yes<'a> {
    /// What was allowed.
    pub(super) scopes: &'a ScopeSet,
    /// What the person was asked about; `None`: nobody was asked now, so that nothing is remembered, and what is ends when it
    /// would have.
    pub(super) of: Option<&'a ScopeSet>,
}

impl Decision {
    /// What of `offered` was chosen. A scope that the chosen ones include is given by its name too: whoever may do the more may
    /// do the less, and a client looks for the name.
    fn of(&self, offered: &ScopeSet) -> Result<ScopeSet, FlowFault> {
        let ticked: ScopeSet = offered.iter().filter(|scope| self.scopes.contains(scope)).collect();
        if ticked.is_empty() {
            return Err(FlowFault::NothingChosen);
        }
        Ok(offered.limited_to(&ticked))
    }
}

impl AuthorizationServer {
    /// Grants what was asked, or as much of it as the person ticked: the flow ends in a code, or goes on to the provider where
    /// the person logs in.
    ///
    /// # Errors
    /// [`FlowFault::NothingChosen`]; [`FlowFault::Gone`] when there was nothing to decide; [`FlowFault::Provider`].
    pub async fn allow(&self, bound: &Bound, decision: &Decision) -> Result<Next, FlowFault> {
        match (&bound.flow.stage, self.question(&bound.flow)) {
            (Stage::Consent { user, scopes }, _) => {
                let chosen = decision.of(scopes)?;
                Ok(Next::Answer(self.approve(bound, user, Yes { scopes: &chosen, of: Some(scopes) }).await?))
            }
            (_, Some(question)) => {
                let scopes = decision.of(&self.askable(&bound.request()?.scopes))?;
                self.send_away(bound, Departure { question, scopes, stays: decision.stays }).await
            }
            _ => Err(FlowFault::Gone("there is nothing to allow at this stage")),
        }
    }

    /// Refuses what was asked, before or after login: the flow ends in `access_denied` (RFC 6749 §4.1.2.1).
    ///
    /// # Errors
    /// [`FlowFault::Gone`].
    pub async fn deny(&self, bound: &Bound) -> Result<Answer, FlowFault> {
        let answer =
            self.finish(bound, OauthError::new(ErrorCode::AccessDenied, "the person did not allow it")).await?;
        let user = match &bound.flow.stage {
            Stage::Consent { user, .. } => Some(user),
            _ => None,
        };
        self.services.audit.record(Event::ConsentDenied { user, client: &bound.request()?.client_id }).await?;
        Ok(answer)
    }

    pub(super) async fn finish(&self, bound: &Bound, error: OauthError) -> Result<Answer, FlowFault> {
        let request = bound.request()?;
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, bound.flow.browser, Stage::Finished, now).await? {
            return Err(FlowFault::MOVED);
        }
        Ok(Answer::refusal(&request.redirect_uri, request.state.as_deref(), &self.settings.issuer, error))
    }

    /// Ends the flow in a code for `user`, who has logged in in this browser.
    pub(super) async fn approve(&self, bound: &Bound, user: &UserId, yes: Yes<'_>) -> Result<Answer, FlowFault> {
        let request = bound.request()?;
        let (now, scopes) = (self.services.clock.now(), yes.scopes);
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
        let decided = yes.of.map(|offered| self.decided((request, user), (scopes, offered), now));
        if !self.services.store.approve_flow(&bound.flow, code, decided).await? {
            return Err(FlowFault::MOVED);
        }
        let by = if yes.of.is_some() { ConsentBy::Person } else { ConsentBy::Memory };
        self.services.audit.record(Event::Consented { user, client: &request.client_id, scopes, by }).await?;
        Ok(Answer::success(&request.redirect_uri, request.state.as_deref(), &self.settings.issuer, &secret))
    }

    fn decided(
        &self,
        (request, user): (&AuthorizationRequest, &UserId),
        (scopes, offered): (&ScopeSet, &ScopeSet),
        now: Timestamp,
    ) -> Decided {
        let consent = Consent {
            user: user.clone(),
            client_id: request.client_id.clone(),
            redirect_uri: redirect_uri::without_port(&request.redirect_uri),
            resource: request.resource.clone(),
            scopes: scopes.clone(),
            granted_at: now,
        };
        Decided { consent, offered: offered.clone(), counts_since: now - self.settings.consent.remember }
    }
}
