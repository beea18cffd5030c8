//! Answers that are not pages: JSON, its errors, and what says that something is not there.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::error::Refused;
use crate::http::body::BodyFault;
use crate::http::stream;
use crate::protocol::oauth::error::{ErrorCode, OauthError};

/// A JSON answer that nobody may keep (RFC 6749 §5.1).
pub fn private_json(status: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header((header::CONTENT_TYPE, header::HeaderValue::from_static("application/json")))
        .insert_header((header::CACHE_CONTROL, header::HeaderValue::from_static("no-store")));
    stream::whole(answer, body.into())
}

/// A JSON document that is the same for everybody, and for longer than it may be kept: a signing key is published an hour
/// before it is needed.
pub fn public_json(body: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(body)
}

/// `{error, error_description}` with a status.
pub fn message(status: StatusCode, error: &str, description: &str) -> HttpResponse {
    private_json(status, serde_json::json!({"error": error, "error_description": description}).to_string())
}

/// An OAuth error, with the status of its code.
pub fn oauth_error(error: &OauthError) -> HttpResponse {
    let status = StatusCode::from_u16(error.error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    message(status, error.error.as_str(), &error.description)
}

/// A refusal, logged here, where it is answered.
pub fn refused(refused: &Refused, used_basic: bool) -> HttpResponse {
    match refused.public.error {
        ErrorCode::ServerError => tracing::error!(error = %refused, "could not answer"),
        // It may pass: an identity provider or the disk is busy.
        ErrorCode::TemporarilyUnavailable => tracing::warn!(error = %refused, "could not answer"),
        _ => tracing::info!(error = %refused, "refused"),
    }
    let mut response = oauth_error(&refused.public);
    // RFC 6749 §5.2: 401 MUST name the scheme if the client tried to authenticate by the Authorization header.
    if used_basic && refused.public.error == ErrorCode::InvalidClient {
        let value = header::HeaderValue::from_static("Basic realm=\"mcp-bridge\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    let is_passing = refused.public.error == ErrorCode::TemporarilyUnavailable;
    if let Some(seconds) = refused.public.retry_after.or(is_passing.then_some(1)) {
        retry_after(&mut response, seconds);
    }
    response
}

/// The body could not be read.
pub fn body_fault(fault: BodyFault) -> HttpResponse {
    let (status, text) = match fault {
        BodyFault::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        BodyFault::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"),
        BodyFault::Broken => (StatusCode::BAD_REQUEST, "the body could not be read"),
    };
    let mut response = message(status, "invalid_request", text);
    // What is left of the body is not read, so the next request on this connection could not be told from it.
    response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    response
}

/// Too many requests from one address.
pub fn too_many(seconds: u64) -> HttpResponse {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = message(status, "slow_down", "too many requests from this address; try again later");
    retry_after(&mut response, seconds);
    response
}

/// Sets `Retry-After`, in seconds, at least one.
pub fn retry_after(response: &mut HttpResponse, seconds: u64) {
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds.max(1)));
}

/// Nothing stands at this path. Discovery probes must see 404, never 401 or a redirect.
pub async fn not_found() -> HttpResponse {
    message(StatusCode::NOT_FOUND, "not_found", "nothing is served at this path")
}

/// Something stands here, but not for this method.
pub async fn only_get(_: HttpRequest) -> HttpResponse {
    method_not_allowed("GET, HEAD")
}

/// Something stands here, but not for this method.
pub async fn only_post(_: HttpRequest) -> HttpResponse {
    method_not_allowed("POST")
}

/// Something stands here, but not for this method.
pub async fn only_get_or_post(_: HttpRequest) -> HttpResponse {
    method_not_allowed("GET, HEAD, POST")
}

/// Something stands here, but not for this method.
pub async fn only_get_put_or_delete(_: HttpRequest) -> HttpResponse {
    method_not_allowed("GET, PUT, DELETE")
}

/// 405 with the methods that are allowed (RFC 9110 §15.5.6: MUST have `Allow`).
pub fn method_not_allowed(allow: &'static str) -> HttpResponse {
    let mut response =
        message(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method");
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    response
}
