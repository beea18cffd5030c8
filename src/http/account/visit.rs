//! Who is at the account's pages: somebody who is signed in, whose forms come from there.

use std::net::IpAddr;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::authorize::FlowFault;
use crate::authorization_server::session::SignedIn;
use crate::base::secret::Secret;
use crate::http::account::go_to;
use crate::http::oauth::authorize;
use crate::http::oauth::fault::{self, forged};
use crate::http::oauth::{client_address, form, is_visit, within};
use crate::http::page::respond;
use crate::http::state::State;
use crate::identity::throttle::AddressLimit;
use crate::protocol::oauth::parameters::Parameters;

/// Somebody who is signed in.
pub struct Visit {
    /// Who, and where.
    pub here: SignedIn,
    /// The session's cookie.
    pub cookie: Secret,
}

impl Visit {
    /// Who is signed in in this browser; who is not is sent to log in.
    pub async fn begin(request: &HttpRequest, state: &State) -> Result<Self, HttpResponse> {
        match Self::find(request, state).await? {
            Some(visit) => Ok(visit),
            None => Err(log_in(request, state).await),
        }
    }

    async fn find(request: &HttpRequest, state: &State) -> Result<Option<Self>, HttpResponse> {
        let cookie = state.cookies().find_session(request);
        let found = state.authorization().server.find_signed_in(cookie.as_ref()).await;
        let found = found.map_err(|error| fault::page(state, &error.into()))?;
        Ok(found.zip(cookie).map(|(here, cookie)| Self { here, cookie }))
    }
}

async fn log_in(request: &HttpRequest, state: &State) -> HttpResponse {
    if !is_visit(request) {
        return HttpResponse::NoContent().finish();
    }
    if let Err(response) = within(request, state, &state.limits.authorization) {
        return respond::unread(&state.authorization().pages, &response);
    }
    match state.authorization().server.visit_account().await {
        Ok(started) => authorize::begin(request, state, &started),
        Err(error) => fault::page(state, &error.into()),
    }
}

/// A form of the account's pages that may be acted on.
pub struct AccountForm {
    /// Who sent it.
    pub visit: Visit,
    /// Where the browser is.
    pub address: IpAddr,
    fields: Parameters,
}

impl AccountForm {
    /// Reads a form and checks where it comes from. It counts against this limit of its address. Whoever has been signed out
    /// meanwhile is sent to log in; what the form said is not done.
    pub async fn read(
        request: &HttpRequest,
        payload: Payload,
        state: &State,
        limit: &AddressLimit,
    ) -> Result<Self, HttpResponse> {
        let body = form(request, payload, state, limit).await;
        let body = body.map_err(|response| respond::unread(&state.authorization().pages, &response))?;
        let Ok(fields) = Parameters::parse(&body) else { return Err(forged(state, None).await) };
        let Some(visit) = Visit::find(request, state).await? else { return Err(go_to(state, "")) };
        let csrf = fields.one("csrf").map_err(|_| FlowFault::Forged);
        let checked = csrf.and_then(|csrf| state.authorization().server.check_account_token(&visit.cookie, csrf));
        match checked {
            Ok(()) => Ok(Self { visit, address: client_address(request, state), fields }),
            Err(_) => Err(forged(state, Some(&visit.here.person.id)).await),
        }
    }

    /// A field; one that comes twice is not from our page.
    pub fn field(&self, name: &'static str) -> Result<Option<&str>, FlowFault> {
        self.fields.one(name).map_err(|_| FlowFault::Forged)
    }
}
