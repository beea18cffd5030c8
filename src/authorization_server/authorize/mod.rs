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

use std::net::IpAddr;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::decision::Yes;
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
pub use login::{LogIn, LogInFault, LoggedIn};
pub use provider::Arrival;
pub use request::PageFault;
pub use response::{Answer, Next};

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

impl From<Bound> for Started {
    fn from(bound: Bound) -> Self {
        Self { flow: bound.flow.id, cookie: bound.cookie }
    }
}

/// What became of an authorization request.
#[derive(Debug)]
pub enum Begun {
    /// A flow began.
    Flow(Started),
    /// There was nothing to ask: who is signed in has allowed it before.
    Answered(Answer),
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
    /// Begins a flow for an authorization request, or answers it, if who is signed in has nothing to decide. `cross_site`:
    /// whether another site sent the browser here, or the browser did not say. `session`: the one this browser has.
    /// `address`: where it is.
    ///
    /// # Errors
    /// [`AuthorizeFault`], which says who is to be told.
    pub async fn authorize(
        &self,
        query: &[u8],
        cross_site: bool,
        session: Option<&Secret>,
        address: IpAddr,
    ) -> Result<Begun, AuthorizeFault> {
        let page = |fault| AuthorizeFault::Page(fault);
        if query.len() > LONGEST_QUERY {
            return Err(page(PageFault::TooLong));
        }
        let parameters = Parameters::parse(query).map_err(|fault| page(fault.into()))?;
        let target = self.find_target(&parameters, address).await.map_err(page)?;
        let request = match self.check_request(&target, &parameters, cross_site) {
            Ok(request) => request,
            Err(refused) => return Err(self.refusal(&target, refused)),
        };
        let stage = self.first_stage(&request, request::wants_login(&parameters), session).await?;
        let unseen = match &stage {
            Stage::Consent { user, scopes } => self.may_go_unseen((&request, &target.client), user, scopes).await,
            _ => Ok(false),
        };
        let bound = self.begin(Some(request), stage).await?;
        match self.answer_unseen(&bound, unseen).await {
            Ok(Some(answer)) => Ok(Begun::Answered(answer)),
            Err(FlowFault::Unavailable(error)) => Err(error.into()),
            // Whatever it is, the flow's own page says it.
            Ok(None) | Err(_) => Ok(Begun::Flow(bound.into())),
        }
    }

    async fn answer_unseen(&self, bound: &Bound, unseen: Result<bool, FlowFault>) -> Result<Option<Answer>, FlowFault> {
        match &bound.flow.stage {
            Stage::Consent { user, scopes } if unseen? => {
                Ok(Some(self.approve(bound, user, Yes { scopes, of: None }).await?))
            }
            _ => Ok(None),
        }
    }

    /// Begins a flow in which a person logs in for the own account. Where to choose from is always shown, even if there is one
    /// way only: who has just signed out is not to be signed in again unasked.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn visit_account(&self) -> Result<Started, StoreError> {
        Ok(self.begin(None, Stage::Login { afresh: false }).await?.into())
    }

    async fn begin(&self, request: Option<AuthorizationRequest>, stage: Stage) -> Result<Bound, StoreError> {
        let (cookie, now) = (random::token(), self.services.clock.now());
        let flow = Flow {
            id: FlowId::new(random::identifier()),
            browser: Digest::of(&cookie),
            request,
            stage,
            started_at: now,
            expires_at: now + FLOW_LIFETIME,
        };
        self.services.store.add_flow(flow.clone(), now).await?;
        Ok(Bound { flow, cookie })
    }

    /// Somebody who is logged in in this browser comes to the question at once.
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
