//! `/account`: what a person has here, and may end. Whoever is not signed in logs in first, and comes back.

pub mod password;
mod visit;

use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::account::{Account, AccountBrowser, App};
use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::http::account::visit::{AccountForm, Visit};
use crate::http::live::Current;
use crate::http::oauth::fault;
use crate::http::page::respond;
use crate::http::page::{AccountPage, AppCard, BrowserCard, ClientName, When, redirect_target, scope_lines};
use crate::http::state::{Pages, State};

/// What was done, as the address of the page that says so has it.
const DONE: [(&str, &str); 4] = [
    ("disconnected", "The app is disconnected. If it asks for access again, you will be asked, too."),
    ("signed-out", "You are signed out there."),
    ("password", "Your password is changed. You are signed out in every other browser; your apps keep their access."),
    (
        "password-and-apps",
        "Your password is changed. You are signed out in every other browser, and every app is disconnected.",
    ),
];

/// `GET /account`
pub async fn get(request: HttpRequest, state: Current) -> HttpResponse {
    let visit = match Visit::begin(&request, &state).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    match state.authorization().server.account(&visit.here).await {
        Ok(account) => page(&visit, &account, notice(&request), &state),
        Err(error) => fault::page(&state, &error.into()),
    }
}

/// `POST /account/apps`: disconnects the app of the field `client`.
pub async fn disconnect(request: HttpRequest, payload: Payload, state: Current) -> HttpResponse {
    let form = match AccountForm::read(&request, payload, &state, &state.limits.authorization).await {
        Ok(form) => form,
        Err(response) => return response,
    };
    let client = match form.field("client") {
        Ok(client) => ClientId::new(client.unwrap_or_default()),
        Err(fault) => return fault::page(&state, &fault),
    };
    match state.authorization().server.disconnect(&form.visit.here, &client).await {
        Ok(_) => go_to(&state, "?done=disconnected"),
        Err(error) => fault::page(&state, &error.into()),
    }
}

/// `POST /account/browsers`: signs out in the browser of the field `browser`, or without it in every other.
pub async fn sign_out(request: HttpRequest, payload: Payload, state: Current) -> HttpResponse {
    let form = match AccountForm::read(&request, payload, &state, &state.limits.authorization).await {
        Ok(form) => form,
        Err(response) => return response,
    };
    let browser = match form.field("browser") {
        Ok(browser) => browser,
        Err(fault) => return fault::page(&state, &fault),
    };
    match state.authorization().server.sign_out_elsewhere(&form.visit.here, browser).await {
        Ok(_) => go_to(&state, "?done=signed-out"),
        Err(error) => fault::page(&state, &error.into()),
    }
}

/// Sends the browser to the page, so that reloading it does nothing again.
pub fn go_to(state: &State, query: &str) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, format!("{}/account{query}", state.authorization().pages.base)));
    respond::private(&mut response).finish()
}

/// What was just done; nothing, when another site sent the browser to an address that says so.
fn notice(request: &HttpRequest) -> Option<&'static str> {
    let is_ours = request.headers().get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let done = request.query_string().strip_prefix("done=").filter(|_| is_ours)?;
    DONE.into_iter().find(|(word, _)| *word == done).map(|(_, text)| text)
}

fn page(visit: &Visit, account: &Account, notice: Option<&str>, state: &State) -> HttpResponse {
    let (server, pages) = (&state.authorization().server, &state.authorization().pages);
    let apps: Vec<_> = account.apps.iter().map(|app| app_card(app, account.at, pages)).collect();
    let browsers: Vec<_> = account.browsers.iter().map(|browser| browser_card(browser, account.at)).collect();
    let (csrf, sign_out_csrf) = (server.account_token(&visit.cookie), server.log_out_token(&visit.cookie));
    let page = AccountPage {
        base: &pages.base,
        branding: &pages.branding,
        person: &server.shown_name(&visit.here.person),
        notice,
        apps: &apps,
        browsers: &browsers,
        password: &account.password,
        csrf: csrf.expose(),
        sign_out_csrf: sign_out_csrf.expose(),
    };
    respond::page(pages, StatusCode::OK, &page)
}

fn app_card<'a>(app: &'a App, now: Timestamp, pages: &'a Pages) -> AppCard<'a> {
    AppCard {
        id: app.client_id.as_str(),
        name: app.name.as_deref().and_then(ClientName::new),
        vouched_by: app.vouched_by.as_deref(),
        target: app.redirect_uri.as_deref().map(redirect_target),
        scopes: scope_lines(&app.scopes, &pages.scope_words),
        connected: app.connected_at.map(|at| When::new(at, now)),
        used: When::new(app.used_at, now),
    }
}

fn browser_card(browser: &AccountBrowser, now: Timestamp) -> BrowserCard {
    BrowserCard {
        id: browser.id.clone(),
        device: if browser.device.is_empty() { "A browser".to_owned() } else { browser.device.clone() },
        since: When::new(browser.since, now),
        used: When::new(browser.used_at, now),
        is_this: browser.is_this,
    }
}
