//! What comes before everything else, on every route: hosts and origins are checked, CORS is answered for the origins
//! allowed, and every answer gets the headers that all have.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, web};

use crate::audit::{Event, origin};
use crate::http::answer;
use crate::http::guard::{Form, Refusal};
use crate::http::head;
use crate::http::live::{Current, Live};
use crate::protocol::mcp::header::PARAM_PREFIX;

/// Refuses foreign hosts and origins, answers preflights, and adds the headers that every answer has.
pub async fn run(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let live = request.app_data::<web::Data<Live>>().cloned();
    let Some(live) = live else { return next.call(request).await.map(ServiceResponse::map_into_boxed_body) };
    let state = live.current();
    request.extensions_mut().insert(Current(Arc::clone(&state)));
    if let Err(response) = head::check(&request) {
        return Ok(request.into_response(response).map_into_boxed_body());
    }
    let is_page = state.is_page(request.path());
    let form = if is_page { Form::of(&request) } else { Form::None };
    let address = state.guard.client_address(request.peer_addr().map(|peer| peer.ip()), request.headers());
    let comes_from = origin::Request::new(address);
    if let Err(refusal) = state.guard.check(&request, form) {
        let is_forged = matches!(refusal, Refusal::ForeignOrigin) && form != Form::None;
        let mut response = refused(&refusal);
        if is_forged {
            let event = Event::FormRefused { user: None, reason: "form_of_another_site" };
            // Nothing is handed out, so nothing depends on it.
            // Boxed, for it is rare and large: every connection has room for this future.
            let _ = Box::pin(comes_from.clone().scope(state.audit.record(event))).await;
            name_request(response.headers_mut(), &comes_from);
        }
        return Ok(request.into_response(response).map_into_boxed_body());
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS && origin.is_some() && !is_page {
        let response = preflight(request.headers());
        request.into_response(response)
    } else {
        let mut response = comes_from.clone().scope(next.call(request)).await?.map_into_boxed_body();
        name_request(response.headers_mut(), &comes_from);
        response
    };
    // OAuth 2.1 §3.1: the authorization endpoint MUST NOT support CORS.
    if let Some(origin) = origin.filter(|_| !is_page) {
        allow_origin(response.headers_mut(), origin);
    }
    add_common_headers(response.headers_mut(), state.guard.is_https);
    if live.is_stopping() {
        // RFC 9112 §9.6: so that a proxy does not send its next request on a connection that is about to end.
        response.response_mut().head_mut().set_connection_type(actix_http::ConnectionType::Close);
    }
    Ok(response)
}

/// Where the audit trail speaks of a request, its client can name it to the operator.
fn name_request(headers: &mut HeaderMap, origin: &origin::Request) {
    if let Some(value) = origin.id().and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
}

fn refused(refusal: &Refusal) -> HttpResponse {
    match refusal {
        Refusal::BadHost => {
            let mut response = answer::message(
                StatusCode::BAD_REQUEST,
                "bad_request",
                "the Host header is missing, repeated or malformed",
            );
            response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
            response
        }
        Refusal::ForeignHost => answer::message(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "this host name is not served here; the operator can add it to server.allowed_hosts",
        ),
        Refusal::ForeignOrigin => answer::message(
            StatusCode::FORBIDDEN,
            "forbidden_origin",
            "requests from this origin are not allowed; the operator can add it to server.allowed_origins",
        ),
    }
}

const ALLOWED_HEADERS: &str =
    "Authorization, Content-Type, Accept, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID";

fn preflight(requested: &HeaderMap) -> HttpResponse {
    // Which there are is said in the tools' schemas; `*` would not do beside `Authorization` in older browsers.
    let names = requested.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).filter_map(|value| value.to_str().ok());
    let params = names.flat_map(|names| names.split(',')).map(str::trim).filter(|name| is_param(name));
    let allowed = params.fold(ALLOWED_HEADERS.to_owned(), |allowed, name| allowed + ", " + name);
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, OPTIONS"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, allowed))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

/// MCP 2026-07-28, Custom Headers from Tool Parameters.
fn is_param(name: &str) -> bool {
    name.get(..PARAM_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PARAM_PREFIX))
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn add_common_headers(headers: &mut HeaderMap, is_https: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_https {
        let value = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        headers.insert(HeaderName::from_static("strict-transport-security"), value);
    }
}
