//! The person's decision, and what it leads to: a code for the client, a way to the provider, or a refusal.

use crate::audit::{ConsentBy, Event};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::fault::FlowFault;
use crate::authorization_server::authorize::flow::Bound;
use crate::authorization_server::authorize::login::Next;
use crate::authorization_server::authorize::response::Answer;
use crate::base::digest::Digest;
use crate::base::id::{GrantId, UserId};
use crate::base::random;
use crate::model::authorization::{AuthorizationCode, Stage};
use crate::model::consent::Consent;
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::redirect_uri;
use crate::protocol::oauth::scope::ScopeSet;

impl AuthorizationServer {
    /// Grants what was asked: the flow ends in a code, or goes on to the provider where the person logs in.
    ///
    /// # Errors
    /// [`FlowFault::Gone`] when there was nothing to decide; [`FlowFault::Provider`].
    pub async fn allow(&self, bound: &Bound) -> Result<Next, FlowFault> {
        match (&bound.flow.stage, self.question(&bound.flow.stage)) {
            (Stage::Consent { user, scopes }, _) => {
                Ok(Next::Answer(self.approve(bound, user, scopes, ConsentBy::Person).await?))
            }
            (_, Some(question)) => self.send_away(bound, &question).await,
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
        self.services.audit.record(Event::ConsentDenied { user, client: &bound.request().client_id }).await?;
        Ok(answer)
    }

    pub(super) async fn finish(&self, bound: &Bound, error: OauthError) -> Result<Answer, FlowFault> {
        let now = self.services.clock.now();
        if !self.services.store.advance_flow(&bound.flow, bound.flow.browser, Stage::Finished, now).await? {
            return Err(FlowFault::MOVED);
        }
        let request = bound.request();
        Ok(Answer::refusal(&request.redirect_uri, request.state.as_deref(), &self.settings.issuer, error))
    }

    /// Ends the flow in a code for `user`, who has logged in, and `scopes`, which were allowed in this browser.
    pub(super) async fn approve(
        &self,
        bound: &Bound,
        user: &UserId,
        scopes: &ScopeSet,
        by: ConsentBy,
    ) -> Result<Answer, FlowFault> {
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
            return Err(FlowFault::MOVED);
        }
        self.services.audit.record(Event::Consented { user, client: &request.client_id, scopes, by }).await?;
        Ok(Answer::success(&request.redirect_uri, request.state.as_deref(), &self.settings.issuer, &secret))
    }
}
