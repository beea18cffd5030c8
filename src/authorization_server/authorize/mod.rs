//! The authorization endpoint and the browser flow behind it. [RFC 6749 §4.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1)
//!
//! A fault before the redirect URI is trusted is a page; after it, an answer to the client. The two are different types.

mod decision;
mod fault;
mod flow;
mod login;
mod provider;
mod request;
mod response;

use crate::authorization_server::AuthorizationServer;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, FlowId};
use crate::base::limit::Limit;
use crate::base::random;
use crate::base::secret::Secret;
use crate::identity::Standing;
use crate::model::authorization::{AuthorizationRequest, Flow, Stage};
use crate::protocol::oauth::parameters::Parameters;
use crate::store::StoreError;

pub use decision::Decision;
pub use fault::FlowFault;
pub use flow::{Asked, Bound, Person, Step, Ways};
pub use login::{LogIn, LogInFault, LoggedIn, Next};
pub use provider::Arrival;
pub use request::PageFault;
pub use response::Answer;

/// How long a person has to log in and decide, in seconds.
pub const FLOW_LIFETIME: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// How long somebody at a browser waits for an identity provider to vouch again. After that its last word counts, as it does
/// while the provider is down.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// The longest query of an authorization request, and of a provider's answer, in bytes. The one is kept as long as its flow,
/// and anybody can begin flows.
const LONGEST_QUERY: usize = 8 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::bytes("query of an authorization request", LONGEST_QUERY, "400, a page"),
    Limit::time("login and consent", FLOW_LIFETIME, "a page; begin anew"),
    Limit::time("wait of a browser for a provider to vouch again", PATIENCE, "its last word counts"),
];

/// A flow that just began in one browser.
#[derive(Debug)]
pub struct Started {
    /// Its identifier, for the address of its pages.
    pub flow: FlowId,
    /// The value of the cookie that binds it to this browser.
    pub cookie: Secret,
}

/// Why no flow began.
#[derive(Debug)]
pub enum AuthorizeFault {
    /// The client or its redirect URI cannot be trusted: the person is told, nothing is sent anywhere.
    Page(PageFault),
    /// This client is told. With the reason in the audit trail, if it says something of whoever asks.
    Answer(ClientId, Option<&'static str>, Answer),
}

impl From<StoreError> for AuthorizeFault {
    fn from(error: StoreError) -> Self {
        Self::Page(PageFault::Unavailable(error))
    }
}

impl AuthorizationServer {
    /// Begins a flow for an authorization request. `cross_site`: whether another site sent the browser here, or the
    /// browser did not say. `session`: the one this browser has.
    ///
    /// # Errors
    /// [`AuthorizeFault`], which says who is to be told.
    pub async fn authorize(
        &self,
        query: &[u8],
        cross_site: bool,
        session: Option<&Secret>,
    ) -> Result<Started, AuthorizeFault> {
        let page = |fault| AuthorizeFault::Page(fault);
        if query.len() > LONGEST_QUERY {
            return Err(page(PageFault::TooLong));
        }
        let parameters = Parameters::parse(query).map_err(|fault| page(fault.into()))?;
        let target = self.find_target(&parameters).await.map_err(page)?;
        let request = match self.check_request(&target, &parameters, cross_site) {
            Ok(request) => request,
            Err(refused) => return Err(self.refusal(&target, refused)),
        };
        let stage = self.first_stage(&request, request::wants_login(&parameters), session).await?;
        Ok(self.begin(Some(request), stage).await?)
    }

    /// Begins a flow in which a person logs in for the own account. Where to choose from is always shown, even if there is one
    /// way only: who has just signed out is not to be signed in again unasked.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn visit_account(&self) -> Result<Started, StoreError> {
        self.begin(None, Stage::Login { afresh: false }).await
    }

    async fn begin(&self, request: Option<AuthorizationRequest>, stage: Stage) -> Result<Started, StoreError> {
        let (cookie, now) = (random::token(), self.services.clock.now());
        let flow = Flow {
            id: FlowId::new(random::identifier()),
            browser: Digest::of(&cookie),
            request,
            stage,
            started_at: now,
            expires_at: now + FLOW_LIFETIME,
        };
        let started = Started { flow: flow.id.clone(), cookie };
        self.services.store.add_flow(flow, now).await?;
        Ok(started)
    }

    /// Somebody who is logged in in this browser is asked for consent at once, every time: without a password or a provider
    /// in between, nothing but that page stands between a link and a code.
    async fn first_stage(
        &self,
        request: &AuthorizationRequest,
        afresh: bool,
        session: Option<&Secret>,
    ) -> Result<Stage, StoreError> {
        let Some(person) = self.find_person(session.filter(|_| !afresh)).await? else {
            return Ok(self.login_stage(afresh));
        };
        let (identity, now) = (&self.services.identity, self.services.clock.now());
        // The answer that comes later is not lost: it is kept for the first refresh.
        let standing = match tokio::time::timeout(PATIENCE, identity.confirm(&person.id, now)).await {
            Ok(standing) => standing?,
            Err(_) => identity.last_word(&person.id, now).await?,
        };
        let Standing::Active(person) = standing else { return Ok(self.login_stage(afresh)) };
        match self.grantable(&request.scopes, &person.scopes) {
            scopes if scopes.is_empty() => Ok(self.login_stage(afresh)),
            scopes => Ok(Stage::Consent { user: person.id, scopes }),
        }
    }
}
