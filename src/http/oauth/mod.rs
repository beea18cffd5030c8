//! The authorization server's endpoints: each reads a request, calls the service, and answers.

pub mod authorize;
pub mod callback;
pub mod fault;
pub mod flow;
mod form;
pub mod logout;
pub mod register;
mod returning;

use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::ClientRequest;
use crate::authorization_server::error::Refused;
use crate::authorization_server::introspection::Introspection;
use crate::base::id::FlowId;
use crate::http::answer;
use crate::http::body;
use crate::http::live::{Current, Live};
use crate::http::state::State;
use crate::identity::throttle::AddressLimit;
use crate::protocol::oauth::error::{ErrorCode, OauthError};

/// `GET /.well-known/oauth-authorization-server`
pub async fn metadata(state: Current) -> HttpResponse {
    answer::public_json(state.authorization().server.metadata())
}

/// `GET /oauth/jwks`
pub async fn jwks(state: Current) -> HttpResponse {
    answer::public_json(state.authorization().server.jwks())
}

/// `POST /oauth/token`
pub async fn token(request: HttpRequest, payload: Payload, state: Current, live: Data<Live>) -> HttpResponse {
    let call = match ClientCall::read(&request, payload, (&state, &live)).await {
        Ok(call) => call,
        Err(response) => return response,
    };
    match call.server().token(&call.request()).await {
        Ok(response) => answer::private_json(StatusCode::OK, response.to_json()),
        Err(refused) => call.refused(&refused).await,
    }
}

/// `POST /oauth/revoke`
pub async fn revoke(request: HttpRequest, payload: Payload, state: Current, live: Data<Live>) -> HttpResponse {
    let call = match ClientCall::read(&request, payload, (&state, &live)).await {
        Ok(call) => call,
        Err(response) => return response,
    };
    match call.server().revoke(&call.request()).await {
        Some(Ok(())) => answer::private_json(StatusCode::OK, "{}"),
        Some(Err(refused)) => call.refused(&refused).await,
        None => answer::not_found().await,
    }
}

/// `POST /oauth/introspect`
pub async fn introspect(request: HttpRequest, payload: Payload, state: Current, live: Data<Live>) -> HttpResponse {
    let call = match ClientCall::read(&request, payload, (&state, &live)).await {
        Ok(call) => call,
        Err(response) => return response,
    };
    match call.server().introspect(&call.request()).await {
        Some(Ok(found)) => {
            // RFC 7662 §4: against scanning, what is not active counts; a resource server asks about good tokens all day.
            if !matches!(found, Introspection::Inactive) {
                call.state.limits.token.give_back(call.address);
            }
            answer::private_json(StatusCode::OK, call.server().introspection_json(&found).to_string())
        }
        Some(Err(refused)) => call.refused(&refused).await,
        None => answer::not_found().await,
    }
}

/// What a client sends to be looked at together with its credentials.
struct ClientCall<'a> {
    form: Bytes,
    authorization: Option<&'a str>,
    address: std::net::IpAddr,
    /// What it is judged by: clients and secrets as they are now. A body can be held back for as long as one may take.
    state: Arc<State>,
}

impl<'a> ClientCall<'a> {
    async fn read(
        request: &'a HttpRequest,
        payload: Payload,
        (state, live): (&Current, &Live),
    ) -> Result<Self, HttpResponse> {
        let form = form(request, payload, state, &state.limits.token).await?;
        let authorization = authorization(request).map_err(|error| answer::oauth_error(&error))?;
        let state = live.current();
        Ok(Self { form, authorization, address: client_address(request, &state), state })
    }

    fn server(&self) -> &AuthorizationServer {
        &self.state.authorization().server
    }

    fn request(&self) -> ClientRequest<'_> {
        ClientRequest { form: &self.form, authorization: self.authorization, address: self.address }
    }

    /// Records a refusal, and answers it.
    async fn refused(&self, refused: &Refused) -> HttpResponse {
        if let Some(event) = refused.event() {
            tell(&self.state, event).await;
        }
        answer::refused(refused, self.authorization.is_some())
    }
}

/// Records that somebody was refused. Nothing is handed out, so nothing depends on it.
pub(in crate::http) async fn tell(state: &State, event: Event<'_>) {
    let _ = state.audit.record(event).await;
}

/// The `Authorization` header of a token request.
fn authorization(request: &HttpRequest) -> Result<Option<&str>, OauthError> {
    let refused = |text| OauthError::new(ErrorCode::InvalidRequest, text);
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| refused("the Authorization header is not ASCII")),
        (Some(_), Some(_)) => Err(refused("the Authorization header was sent more than once")),
    }
}

/// Reads a form, having counted it against the address's limit.
pub(in crate::http) async fn form(
    request: &HttpRequest,
    payload: Payload,
    state: &State,
    limit: &AddressLimit,
) -> Result<Bytes, HttpResponse> {
    within(request, state, limit)?;
    // RFC 6749 §3.2: parameters are sent in the body, form-encoded; what stands in the query is not looked at.
    if !body::is(request, "application/x-www-form-urlencoded") {
        let text = "send the parameters in the body as application/x-www-form-urlencoded";
        return Err(answer::oauth_error(&OauthError::new(ErrorCode::InvalidRequest, text)));
    }
    body::read(request, payload, body::SMALL, state.read_timeout).await.map_err(answer::body_fault)
}

/// Counts a request against its address's limit.
pub(in crate::http) fn within(request: &HttpRequest, state: &State, limit: &AddressLimit) -> Result<(), HttpResponse> {
    let address = client_address(request, state);
    limit.check(address).map_err(|retry| answer::too_many(retry.seconds()))
}

/// Whether a person goes there: not a look ahead, and not a picture or frame of another site's page, whose readers would
/// begin flows unseen and use up what their address may ask.
pub(in crate::http) fn is_visit(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_page = headers.get("sec-fetch-dest").is_none_or(|destination| destination == "document");
    request.method() == Method::GET && is_page && !headers.contains_key("sec-purpose")
}

/// Adds a cookie to an answer.
pub(in crate::http) fn set_cookie(response: &mut HttpResponse, cookie: &Cookie<'_>) {
    if let Err(error) = response.add_cookie(cookie) {
        tracing::error!(%error, "a cookie of ours is not a header value");
    }
}

pub(in crate::http) fn client_address(request: &HttpRequest, state: &State) -> std::net::IpAddr {
    state.guard.client_address(request.peer_addr().map(|peer| peer.ip()), request.headers())
}

/// Where the pages of a flow stand.
fn flow_path(state: &State, flow: &FlowId) -> String {
    format!("{}/oauth/authorize/{flow}", state.authorization().pages.base)
}
