//! A form of one of our pages, found to come from that page in the browser of its flow: what no step can skip.

use std::net::IpAddr;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::audit::Event;
use crate::authorization_server::authorize::{Bound, FlowFault};
use crate::authorization_server::session::ThisBrowser;
use crate::base::id::FlowId;
use crate::base::secret::Secret;
use crate::http::device::device;
use crate::http::oauth::fault;
use crate::http::oauth::{client_address, form, tell};
use crate::http::page::respond;
use crate::http::state::State;
use crate::identity::throttle::AddressLimit;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::scope::ScopeSet;

/// A form that may be acted on.
pub struct PageForm {
    /// Its flow.
    pub bound: Bound,
    /// The session of its browser.
    pub session: Option<Secret>,
    /// Where the browser is.
    pub address: IpAddr,
    /// What people call it.
    pub device: String,
    fields: Parameters,
}

impl PageForm {
    /// Reads a form and checks where it comes from. It counts against this limit of its address.
    pub async fn read(
        request: &HttpRequest,
        flow: &FlowId,
        payload: Payload,
        state: &State,
        limit: &AddressLimit,
    ) -> Result<Self, HttpResponse> {
        let body = form(request, payload, state, limit).await;
        let body = body.map_err(|response| respond::unread(&state.authorization().pages, &response))?;
        Self::check(request, flow, &body, state).await.map_err(|fault| fault::page(state, &fault))
    }

    async fn check(request: &HttpRequest, flow: &FlowId, body: &[u8], state: &State) -> Result<Self, FlowFault> {
        let server = &state.authorization().server;
        let forged = |client| Event::AuthorizeRefused { client, user: None, reason: "forged_form" };
        let Ok(fields) = Parameters::parse(body) else {
            tell(state, forged(None)).await;
            return Err(FlowFault::Forged);
        };
        let bound = server.find_flow(flow, state.cookies().find(request, flow)).await?;
        let session = state.cookies().find_session(request);
        let form = Self { bound, session, address: client_address(request, state), device: device(request), fields };
        let is_ours = form.field("csrf").and_then(|csrf| server.check_csrf_token(&form.bound, csrf));
        if is_ours.is_err() {
            tell(state, forged(form.bound.client_id())).await;
        }
        is_ours.map(|()| form)
    }

    /// The browser, if somebody logs in in it now.
    pub fn browser(&self) -> Result<ThisBrowser<'_>, FlowFault> {
        Ok(ThisBrowser { session: self.session.as_ref(), device: &self.device, stays: self.stays()? })
    }

    /// Whether it was ticked that the browser stays signed in.
    pub fn stays(&self) -> Result<bool, FlowFault> {
        Ok(self.field("stay")?.is_some())
    }

    /// The scopes that were ticked. What no scope is was not on our page.
    pub fn scopes(&self) -> Result<ScopeSet, FlowFault> {
        let ticked: Vec<&str> = self.fields.all("scope").collect();
        ScopeSet::parse(&ticked.join(" ")).map_err(|_| FlowFault::Forged)
    }

    /// A field; one that comes twice is not from our page.
    pub fn field(&self, name: &'static str) -> Result<Option<&str>, FlowFault> {
        self.fields.one(name).map_err(|_| FlowFault::Forged)
    }
}
