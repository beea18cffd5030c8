//! The MCP endpoint. [Streamable HTTP](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http)
//!
//! Who is calling is settled first, before the method and the body are looked at.

mod fields;

use std::sync::Arc;

use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;

use crate::audit::Event;
use crate::bridge::{Answer, GetRequest, PostRequest, Refusal};
use crate::http::answer;
use crate::http::body;
use crate::http::live::Current;
use crate::http::mcp::fields::Fields;
use crate::http::state::State;
use crate::http::stream::{self, End};
use crate::model::principal::Principal;
use crate::protocol::mcp::header as mcp;
use crate::protocol::oauth::scope::ScopeSet;
use crate::resource_server::{Challenge, ResourceServer};

const SESSION_ID: HeaderName = HeaderName::from_static(mcp::SESSION_ID);
const ALLOW: &str = "POST, GET, DELETE";

/// Every method of the endpoint.
///
/// Boxed at once: actix has a box of its own for the future of a handler, and would first put it together elsewhere and then copy all
/// of it there, with each request.
pub fn serve(request: HttpRequest, payload: Payload, state: Current) -> LocalBoxFuture<'static, HttpResponse> {
    Box::pin(served(request, payload, state))
}

async fn served(request: HttpRequest, payload: Payload, state: Current) -> HttpResponse {
    let principal = match authenticate(&request, &state).await {
        Ok(principal) => principal,
        Err(response) => return response,
    };
    let fields = match Fields::read(request.headers()) {
        Ok(fields) => fields,
        Err(name) => {
            let text = format!("send one {name} header, of printable ASCII characters");
            return answer::message(StatusCode::BAD_REQUEST, "invalid_request", &text);
        }
    };
    let PostRequest { session_id, protocol_version, .. } = fields.request;
    let answer = match *request.method() {
        Method::POST => match post((&request, &fields.request), payload, &principal, &state).await {
            Ok(answer) => answer,
            Err(response) => return response,
        },
        Method::GET if fields.accepted.takes_stream() => state
            .bridge
            .listen(&principal, GetRequest { session_id, protocol_version, last_event_id: fields.last_event_id() }),
        Method::GET => {
            return answer::message(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                "GET opens a stream; accept text/event-stream",
            );
        }
        Method::DELETE => state.bridge.end(&principal, session_id, protocol_version),
        _ => return answer::method_not_allowed(ALLOW),
    };
    if let Answer::Refused { refusal: Refusal::InsufficientScope { .. }, .. } = &answer {
        let event = Event::AccessRefused { holder: Some(&principal), reason: "insufficient_scope" };
        // Nothing is handed out, so nothing depends on it.
        let _ = state.audit.record(event).await;
    }
    respond(answer, &principal, &state)
}

/// OAuth 2.1 §5.1.1: the token stands in the header and nowhere else; here it stops. What goes on is a [`Principal`].
async fn authenticate(request: &HttpRequest, state: &State) -> Result<Arc<Principal>, HttpResponse> {
    let Some(server) = &state.resource_server else { return Ok(Arc::new(Principal::anonymous())) };
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let token = match (values.next(), values.next()) {
        (None, _) => return Err(challenge(server, Challenge::NoToken)),
        (Some(value), None) => value.to_str().ok().and_then(bearer),
        (Some(_), Some(_)) => {
            return Err(challenge(server, Challenge::InvalidRequest("send one Authorization header")));
        }
    };
    let Some(token) = token else { return Err(challenge(server, Challenge::NoToken)) };
    let refused = match server.authenticate(token) {
        Ok(principal) => return Ok(principal),
        Err(refused) => refused,
    };
    tracing::debug!(reason = %refused.reason, "refused an access token");
    if let Some(reason) = refused.reason.word() {
        let event = Event::AccessRefused { holder: refused.holder.as_deref(), reason };
        // Nothing is handed out, so nothing depends on it.
        let _ = state.audit.record(event).await;
    }
    Err(challenge(server, Challenge::InvalidToken(&refused)))
}

/// RFC 6750 §2.1, RFC 9110 §11.1: the scheme is compared without regard to case, one or more spaces follow.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// MCP "Error Handling": 401 without a good token, 403 with too little scope, 400 when the request cannot be read.
fn challenge(server: &ResourceServer, challenge: Challenge<'_>) -> HttpResponse {
    let (status, error, description) = match challenge {
        Challenge::NoToken => (StatusCode::UNAUTHORIZED, "unauthorized", "an access token is required"),
        Challenge::InvalidToken(refused) => (StatusCode::UNAUTHORIZED, "invalid_token", refused.error_description),
        Challenge::InvalidRequest(text) => (StatusCode::BAD_REQUEST, "invalid_request", text),
        Challenge::InsufficientScope(_) => {
            (StatusCode::FORBIDDEN, "insufficient_scope", "the access token has too little scope for this")
        }
    };
    let mut response = answer::message(status, error, description);
    match header::HeaderValue::from_str(&server.challenge(challenge)) {
        Ok(value) => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        Err(error) => tracing::error!(%error, "a challenge of ours is not a header value"),
    }
    response
}

async fn post(
    (request, post): (&HttpRequest, &PostRequest<'_>),
    payload: Payload,
    principal: &Arc<Principal>,
    state: &State,
) -> Result<Answer, HttpResponse> {
    if !body::is(request, "application/json") {
        let text = "send the message as application/json";
        return Err(answer::message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text));
    }
    let body = body::read(request, payload, state.endpoint.max_request_body, state.read_timeout).await;
    let body = body.map_err(answer::body_fault)?;
    Ok(state.bridge.post(principal, post, body).await)
}

fn respond(answer: Answer, principal: &Arc<Principal>, state: &State) -> HttpResponse {
    match answer {
        Answer::Accepted => HttpResponse::Accepted().finish(),
        Answer::Ended => HttpResponse::NoContent().finish(),
        Answer::Message { body, session_id } => {
            with_session(answer::private_json(StatusCode::OK, body), session_id.as_deref())
        }
        Answer::Pieces(pieces) => stream::pieces(pieces, end(principal, state)),
        Answer::Stream { events, session_id } => {
            let keepalive = state.endpoint.sse_keepalive_interval;
            let keepalive = events.longest_silence().map_or(keepalive, |longest| longest.min(keepalive));
            let farewell = events.farewell();
            with_session(stream::answer(events, end(principal, state), farewell, keepalive), session_id.as_deref())
        }
        Answer::Refused { refusal, id } => refused(&refusal, &id, state),
    }
}

fn end(principal: &Arc<Principal>, state: &State) -> End {
    match &state.resource_server {
        Some(server) => Box::pin(server.until_ended(Arc::clone(principal))),
        None => Box::pin(std::future::pending()),
    }
}

fn with_session(mut response: HttpResponse, session_id: Option<&str>) -> HttpResponse {
    if let Some(value) = session_id.and_then(|id| header::HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert(SESSION_ID, value);
    }
    response
}

fn refused(refusal: &Refusal, id: &[u8], state: &State) -> HttpResponse {
    let status = match refusal {
        Refusal::InsufficientScope { needed } => {
            let needed: ScopeSet = needed.iter().map(String::as_str).collect();
            return match &state.resource_server {
                Some(server) => challenge(server, Challenge::InsufficientScope(&needed)),
                None => {
                    answer::message(StatusCode::FORBIDDEN, "insufficient_scope", "a rule of the tool asks for a scope")
                }
            };
        }
        // Session Management: a session that is gone is 404, so that the client initializes anew.
        Refusal::SessionUnknown | Refusal::UnknownMethod { .. } => StatusCode::NOT_FOUND,
        Refusal::PostOnly => return answer::method_not_allowed("POST"),
        Refusal::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Refusal::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Busy { .. } | Refusal::Full { .. } | Refusal::Unfit { .. } | Refusal::Down { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Malformed { .. }
        | Refusal::UnsupportedVersion { .. }
        | Refusal::SessionRequired
        | Refusal::SessionOnly { .. }
        | Refusal::NotAsked
        | Refusal::EventUnknown => StatusCode::BAD_REQUEST,
    };
    let mut response = answer::private_json(status, refusal.body(id));
    if let Refusal::TooMany { retry_after }
    | Refusal::Busy { retry_after }
    | Refusal::Full { retry_after, .. }
    | Refusal::Down { retry_after, .. } = refusal
    {
        answer::retry_after(&mut response, retry_after.as_secs());
    }
    response
}
