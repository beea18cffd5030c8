//! `GET` and `POST /oauth/logout`: ends the browser's session here, and offers to end the provider's.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::base::secret::Secret;
use crate::http::live::Current;
use crate::http::oauth::fault;
use crate::http::oauth::{form, set_cookie};
use crate::http::page::respond;
use crate::http::page::{Link, LogOutPage, LoggedOutPage};
use crate::http::state::State;
use crate::protocol::oauth::parameters::Parameters;

/// Asks first: another site could send the browser here.
pub async fn ask(request: HttpRequest, state: Current) -> HttpResponse {
    let (server, pages) = (&state.authorization().server, &state.authorization().pages);
    let session = state.cookies().find_session(&request);
    let person = match server.find_signed_in(session.as_ref()).await {
        Ok(found) => found.map(|found| found.person),
        Err(error) => return fault::page(&state, &error.into()),
    };
    match person.zip(session) {
        Some((person, session)) => {
            let csrf = server.log_out_token(&session);
            let (base, branding) = (&pages.base, &pages.branding);
            let action = format!("{base}/oauth/logout");
            let person = server.shown_name(&person);
            let page = LogOutPage { base, branding, person: &person, action: &action, csrf: csrf.expose() };
            respond::page(pages, StatusCode::OK, &page)
        }
        None => logged_out_page(&state, None),
    }
}

/// Logs out.
pub async fn log_out(request: HttpRequest, payload: Payload, state: Current) -> HttpResponse {
    let body = match form(&request, payload, &state, &state.limits.authorization).await {
        Ok(body) => body,
        Err(response) => return respond::unread(&state.authorization().pages, &response),
    };
    let Some(session) = state.cookies().find_session(&request) else { return logged_out_page(&state, None) };
    let server = &state.authorization().server;
    let parameters = Parameters::parse(&body).ok();
    let csrf = parameters.as_ref().and_then(|fields| fields.one("csrf").ok()?);
    if csrf.map(Secret::new) != Some(server.log_out_token(&session)) {
        let person = server.find_signed_in(Some(&session)).await.ok().flatten().map(|found| found.person.id);
        return fault::forged(&state, person.as_ref()).await;
    }
    let elsewhere = match server.log_out(&session, state.cookies().find_flows(&request)).await {
        Ok(elsewhere) => elsewhere,
        Err(fault) => return fault::page(&state, &fault),
    };
    let link = elsewhere.as_ref().and_then(|elsewhere| Some((elsewhere.label.as_str(), Link::new(&elsewhere.url)?)));
    let mut response = logged_out_page(&state, link);
    set_cookie(&mut response, &state.cookies().clear_session());
    response
}

fn logged_out_page(state: &State, elsewhere: Option<(&str, Link<'_>)>) -> HttpResponse {
    let pages = &state.authorization().pages;
    let page = LoggedOutPage { base: &pages.base, branding: &pages.branding, elsewhere };
    respond::page(pages, StatusCode::OK, &page)
}
