//! `/oauth/register`, and what a client does with its registration below it. [RFC 7591 §3](https://www.rfc-editor.org/rfc/rfc7591#section-3), [RFC 7592 §2](https://www.rfc-editor.org/rfc/rfc7592#section-2)

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::client::RegistrationFault;
use crate::http::answer;
use crate::http::body;
use crate::http::live::{Current, Live};
use crate::http::oauth::{authorization, client_address, tell, within};
use crate::http::state::State;
use crate::protocol::oauth::error::{ErrorCode, OauthError};

/// `POST /oauth/register`
pub async fn post(request: HttpRequest, payload: Payload, state: Current, live: Data<Live>) -> HttpResponse {
    if let Err(response) = within(&request, &state, &state.limits.registration) {
        return response;
    }
    let (body, token) = match read(&request, payload, &state).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    // What may register is said by what is in force now: a body can be held back for as long as one may take.
    let state = live.current();
    let address = client_address(&request, &state);
    match state.authorization().server.register(&body, token, address).await {
        Ok(registered) => answer::private_json(StatusCode::CREATED, registered.to_json()),
        Err(fault) => refused(fault, &state).await,
    }
}

/// `GET`, `PUT` and `DELETE /oauth/register/{client_id}`
pub async fn manage(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Current,
    live: Data<Live>,
) -> HttpResponse {
    if let Err(response) = within(&request, &state, &state.limits.token) {
        return response;
    }
    if request.method() == Method::PUT {
        return update(&request, payload, &id, (&state, &live)).await;
    }
    let token = match bearer(&request) {
        Ok(token) => token,
        Err(error) => return answer::oauth_error(&error),
    };
    let server = &state.authorization().server;
    if request.method() == Method::DELETE {
        return match server.remove_registration(&id, token).await {
            Ok(()) => removed(),
            Err(fault) => refused(fault, &state).await,
        };
    }
    match server.read_registration(&id, token).await {
        Ok(registered) => answer::private_json(StatusCode::OK, registered.to_json()),
        Err(fault) => refused(fault, &state).await,
    }
}

async fn update(request: &HttpRequest, payload: Payload, id: &str, (state, live): (&State, &Live)) -> HttpResponse {
    let (body, token) = match read(request, payload, state).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    // As in `post`.
    let state = live.current();
    match state.authorization().server.update_registration(id, token, &body).await {
        Ok(registered) => answer::private_json(StatusCode::OK, registered.to_json()),
        Err(fault) => refused(fault, &state).await,
    }
}

/// The metadata that were sent, and the token that came along.
async fn read<'a>(
    request: &'a HttpRequest,
    payload: Payload,
    state: &State,
) -> Result<(Bytes, Option<&'a str>), HttpResponse> {
    if !body::is(request, "application/json") {
        let text = "send the client metadata as application/json";
        return Err(answer::oauth_error(&OauthError::new(ErrorCode::InvalidClientMetadata, text)));
    }
    let token = bearer(request).map_err(|error| answer::oauth_error(&error))?;
    let body = body::read(request, payload, body::SMALL, state.read_timeout).await.map_err(answer::body_fault)?;
    Ok((body, token))
}

/// The token of the `Authorization` header (RFC 6750 §2.1); `None` too for what is none, which is then refused as missing
/// where one is wanted.
fn bearer(request: &HttpRequest) -> Result<Option<&str>, OauthError> {
    let Some(value) = authorization(request)? else { return Ok(None) };
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty()))
}

/// RFC 7592 §2.3: 204 for a client that is gone.
fn removed() -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

async fn refused(fault: RegistrationFault, state: &State) -> HttpResponse {
    if let Some(event) = fault.event() {
        tell(state, event).await;
    }
    match fault {
        RegistrationFault::Off => answer::not_found().await,
        RegistrationFault::Refused(refused) => answer::refused(&refused, false),
        RegistrationFault::Unauthorized { text, .. } => {
            tracing::info!(reason = text, "a registration was refused");
            let mut response = answer::message(StatusCode::UNAUTHORIZED, "invalid_token", text);
            // RFC 9110 §15.5.2: 401 MUST come with a challenge.
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
    }
}
