//! `GET /oauth/authorize`: the client sends a person's browser here.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use crate::audit::Event;
use crate::authorization_server::authorize::{Answer, AuthorizeFault, Begun, FLOW_LIFETIME, PageFault, Started};
use crate::http::answer;
use crate::http::live::Current;
use crate::http::oauth::flow_path;
use crate::http::oauth::returning;
use crate::http::oauth::{client_address, is_visit, tell, within};
use crate::http::page::Link;
use crate::http::page::respond::{self, Trouble};
use crate::http::state::State;

/// Begins a flow and sends the browser to its first page.
pub async fn get(request: HttpRequest, state: Current) -> HttpResponse {
    if !is_visit(&request) {
        return HttpResponse::NoContent().finish();
    }
    if let Err(response) = within(&request, &state, &state.limits.authorization) {
        return respond::unread(&state.authorization().pages, &response);
    }
    let session = state.cookies().find_session(&request);
    let (query, cross_site) = (request.query_string().as_bytes(), is_cross_site(&request));
    let address = client_address(&request, &state);
    match state.authorization().server.authorize(query, cross_site, session.as_ref(), address).await {
        Ok(Begun::Flow(started)) => begin(&request, &state, &started),
        Ok(Begun::Answered(answer)) => returning::page(&state, &answer),
        Err(AuthorizeFault::Page(fault)) => {
            if let Some(reason) = fault.word() {
                tell(&state, Event::AuthorizeRefused { client: fault.client(), user: None, reason }).await;
            }
            page(&state, &fault)
        }
        Err(AuthorizeFault::Answer(client, reason, answer)) => {
            if let Some(reason) = reason {
                tell(&state, Event::AuthorizeRefused { client: Some(&client), user: None, reason }).await;
            }
            refusal(&state, &answer)
        }
    }
}

/// Sends the browser to the first page of a flow.
pub fn begin(request: &HttpRequest, state: &State, started: &Started) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    for old in state.cookies().make_room(request) {
        response.cookie(old);
    }
    let seconds = i64::try_from(FLOW_LIFETIME.as_secs()).unwrap_or(i64::MAX);
    response
        .cookie(state.cookies().set(&started.flow, &started.cookie, seconds))
        .insert_header((header::LOCATION, flow_path(state, &started.flow)));
    respond::private(&mut response).finish()
}

/// Whether another site may have sent the browser here. A browser that does not say is taken for sent.
fn is_cross_site(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site").map(|value| value.as_bytes());
    !matches!(site, Some(b"none" | b"same-origin"))
}

fn page(state: &State, fault: &PageFault) -> HttpResponse {
    let status = match fault {
        PageFault::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        PageFault::TooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    };
    let explanation = fault.to_string();
    let trouble = Trouble { cause: fault.cause(), ..Trouble::new(&explanation, fault.next_step()) };
    respond::error(&state.authorization().pages, status, trouble)
}

/// Tells the client what was wrong with its request; a person decides whether to go where nothing vouches for.
fn refusal(state: &State, refusal: &Answer) -> HttpResponse {
    let error = refusal.error.as_ref().map(ToString::to_string).unwrap_or_default();
    tracing::info!(error, "refused an authorization request");
    if refusal.may_redirect_unasked() {
        let mut response = HttpResponse::SeeOther();
        response.insert_header((header::LOCATION, refusal.url.expose()));
        return respond::private(&mut response).finish();
    }
    let text = format!("The app sent a request that cannot be answered ({error}).");
    match Link::new(refusal.url.expose()) {
        Some(link) => {
            let next_step = "Go back to the app. If it fails again, the app needs an update.";
            let trouble = Trouble { back: Some(link), ..Trouble::new(&text, next_step) };
            respond::error(&state.authorization().pages, StatusCode::BAD_REQUEST, trouble)
        }
        None => answer::message(StatusCode::BAD_REQUEST, "invalid_request", &text),
    }
}
