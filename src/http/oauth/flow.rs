//! The pages of a flow: login, consent, and on to a provider.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::audit::Event;
use crate::authorization_server::authorize::{
    Answer, Asked, Bound, Decision, FLOW_LIFETIME, FlowFault, LogIn, LogInFault, LoggedIn, Next, Person, Step, Ways,
};
use crate::base::id::{FlowId, ProviderName};
use crate::base::secret::Secret;
use crate::http::account;
use crate::http::answer;
use crate::http::live::{Current, Live};
use crate::http::oauth::fault;
use crate::http::oauth::form::PageForm;
use crate::http::oauth::returning;
use crate::http::oauth::{flow_path, set_cookie, tell};
use crate::http::page::respond::{self, Trouble};
use crate::http::page::{self, AwayPage, ClientName, ConsentPage, Link, LoginError, LoginPage};
use crate::http::state::State;
use crate::protocol::oauth::scope::ScopeSet;

/// `GET /oauth/authorize/{flow}`: the page that comes next.
pub async fn get(request: HttpRequest, flow: Path<FlowId>, state: Current) -> HttpResponse {
    let server = &state.authorization().server;
    match server.find_flow(&flow, state.cookies().find(&request, &flow)).await {
        Ok(bound) => show(&bound, &state).await.unwrap_or_else(|fault| fault::bound_page(&state, &bound, &fault)),
        Err(fault) => fault::page(&state, &fault),
    }
}

async fn show(bound: &Bound, state: &State) -> Result<HttpResponse, FlowFault> {
    match state.authorization().server.step(bound).await? {
        Step::Login { asked, ways } => Ok(login_page(state, bound, &Login { asked, ways, username: "", error: None })),
        Step::Consent { asked, person, scopes } => {
            Ok(consent_page(state, bound, &Question { asked, person, scopes, is_unanswered: false }))
        }
        Step::Away { label, url } => Ok(away_page(state, &label, &url)),
    }
}

/// What the consent page shows.
struct Question {
    asked: Asked,
    person: Person,
    scopes: ScopeSet,
    /// The person said yes to nothing.
    is_unanswered: bool,
}

fn consent_page(state: &State, bound: &Bound, question: &Question) -> HttpResponse {
    let Question { asked, person, scopes, is_unanswered } = question;
    let csrf = state.authorization().server.csrf_token(bound);
    let client = asked.client_name.as_deref().and_then(ClientName::new);
    let pages = &state.authorization().pages;
    let error = is_unanswered.then(|| FlowFault::NothingChosen.to_string());
    let page = ConsentPage {
        base: &pages.base,
        branding: &pages.branding,
        person,
        client: client.as_ref(),
        vouched_by: asked.vouched_by.as_deref(),
        target: &page::redirect_target(&asked.redirect_uri),
        resource: &asked.resource,
        scopes: &page::scope_lines(scopes, &pages.scope_words),
        error: error.as_deref(),
        action: &format!("{}/consent", flow_path(state, bound.id())),
        csrf: csrf.expose(),
    };
    let status = if *is_unanswered { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    respond::page(pages, status, &page)
}

fn away_page(state: &State, label: &str, url: &Secret) -> HttpResponse {
    let pages = &state.authorization().pages;
    let Some(link) = Link::new(url.expose()) else {
        let explanation = "The address of the login page cannot be opened.";
        let trouble = Trouble::new(explanation, "Tell the operator of this server.");
        return respond::error(pages, StatusCode::BAD_GATEWAY, trouble);
    };
    respond::page(pages, StatusCode::OK, &AwayPage { base: &pages.base, branding: &pages.branding, label, link })
}

/// What the login page shows.
struct Login<'a> {
    asked: Option<Asked>,
    ways: Ways,
    username: &'a str,
    error: Option<LoginError>,
}

fn login_page(state: &State, bound: &Bound, login: &Login<'_>) -> HttpResponse {
    let Login { asked, ways, username, error } = login;
    let csrf = state.authorization().server.csrf_token(bound);
    let client = asked.as_ref().and_then(|asked| ClientName::new(asked.client_name.as_deref()?));
    let target = asked.as_ref().map(|asked| page::redirect_target(&asked.redirect_uri));
    let page = LoginPage {
        base: &state.authorization().pages.base,
        branding: &state.authorization().pages.branding,
        client: client.as_ref(),
        target: target.as_ref(),
        action: &format!("{}/login", flow_path(state, bound.id())),
        csrf: csrf.expose(),
        ways,
        username,
        error: *error,
    };
    let (status, retry_after) = match *error {
        None => (StatusCode::OK, None),
        Some(LoginError::WrongCredentials) => (StatusCode::UNAUTHORIZED, None),
        Some(LoginError::TooManyAttempts { retry_after }) => (StatusCode::TOO_MANY_REQUESTS, Some(retry_after)),
        Some(LoginError::Busy { retry_after }) => (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after)),
    };
    let mut response = respond::page(&state.authorization().pages, status, &page);
    if let Some(seconds) = retry_after {
        answer::retry_after(&mut response, seconds);
    }
    response
}

/// `POST /oauth/authorize/{flow}/login`
pub async fn log_in(
    request: HttpRequest,
    flow: Path<FlowId>,
    payload: Payload,
    state: Current,
    live: Data<Live>,
) -> HttpResponse {
    match PageForm::read(&request, &flow, payload, &state, &state.limits.login).await {
        Ok(form) => {
            // What counts is the password of now: a form can be held back for as long as a body may take.
            let state = live.current();
            check_login(&form, &state).await.unwrap_or_else(|fault| fault::page(&state, &fault))
        }
        Err(response) => {
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                tell(&state, Event::LoginUnheard { user: None, client: None, reason: "address_throttled" }).await;
            }
            response
        }
    }
}

async fn check_login(form: &PageForm, state: &State) -> Result<HttpResponse, FlowFault> {
    let (server, bound) = (&state.authorization().server, &form.bound);
    if form.field("decision")? == Some("cancel") {
        return Ok(returning(state, bound, &server.deny(bound).await?));
    }
    if let Some(name) = form.field("provider")? {
        return Ok(follow(state, bound, server.choose_provider(bound, &ProviderName::new(name), form.stays()?).await?));
    }
    let username = form.field("username")?.unwrap_or_default();
    let password = Secret::new(form.field("password")?.unwrap_or_default());
    let login = LogIn { username, password: &password, address: form.address, browser: form.browser()? };
    let error = match server.log_in(bound, login).await {
        Ok(logged_in) => return Ok(follow_login(state, bound, logged_in)),
        Err(LogInFault::Flow(fault)) => return Err(fault),
        Err(LogInFault::Wrong) => LoginError::WrongCredentials,
        Err(LogInFault::Throttled(wait)) => LoginError::TooManyAttempts { retry_after: wait.seconds() },
        Err(LogInFault::Busy(wait)) => LoginError::Busy { retry_after: wait.seconds() },
    };
    match server.step(bound).await? {
        Step::Login { asked, ways } => {
            Ok(login_page(state, bound, &Login { asked, ways, username, error: Some(error) }))
        }
        Step::Consent { .. } | Step::Away { .. } => Err(FlowFault::Gone("it moved on during the login")),
    }
}

/// `POST /oauth/authorize/{flow}/consent`
pub async fn decide(request: HttpRequest, flow: Path<FlowId>, payload: Payload, state: Current) -> HttpResponse {
    match PageForm::read(&request, &flow, payload, &state, &state.limits.authorization).await {
        Ok(form) => {
            check_decision(&form, &state).await.unwrap_or_else(|fault| fault::bound_page(&state, &form.bound, &fault))
        }
        Err(response) => response,
    }
}

/// What was asked stands in the store; the form says yes or no, and of what was asked how much.
async fn check_decision(form: &PageForm, state: &State) -> Result<HttpResponse, FlowFault> {
    let (server, bound) = (&state.authorization().server, &form.bound);
    match form.field("decision")? {
        Some("allow") => allow(form, state).await,
        Some("deny") => Ok(returning(state, bound, &server.deny(bound).await?)),
        Some("switch") => {
            let next = server.switch_person(bound, form.session.as_ref()).await?;
            let mut response = follow(state, bound, next);
            set_cookie(&mut response, &state.cookies().clear_session());
            Ok(response)
        }
        _ => Err(FlowFault::Forged),
    }
}

async fn allow(form: &PageForm, state: &State) -> Result<HttpResponse, FlowFault> {
    let (server, bound) = (&state.authorization().server, &form.bound);
    let decision = Decision { scopes: form.scopes()?, stays: form.stays()? };
    match server.allow(bound, &decision).await {
        Ok(next) => Ok(follow(state, bound, next)),
        Err(FlowFault::NothingChosen) => match server.step(bound).await? {
            Step::Consent { asked, person, scopes } => {
                Ok(consent_page(state, bound, &Question { asked, person, scopes, is_unanswered: true }))
            }
            Step::Login { .. } | Step::Away { .. } => Err(FlowFault::Gone("it moved on during the decision")),
        },
        Err(fault) => Err(fault),
    }
}

/// Goes where a login leads, and remembers the browser.
pub fn follow_login(state: &State, bound: &Bound, logged_in: LoggedIn) -> HttpResponse {
    let mut response = follow(state, bound, logged_in.next);
    if let Some(session) = &logged_in.session {
        set_cookie(&mut response, &state.cookies().set_session(session));
    }
    response
}

fn follow(state: &State, bound: &Bound, next: Next) -> HttpResponse {
    match next {
        Next::Answer(answer) => returning(state, bound, &answer),
        Next::Step { cookie } => next_page(state, bound, &cookie),
        Next::Account => {
            let mut response = account::go_to(state, "");
            set_cookie(&mut response, &state.cookies().clear(bound.id()));
            response
        }
    }
}

/// Sends the browser from a form to the next page, so that reloading does not send the form again.
fn next_page(state: &State, bound: &Bound, cookie: &Secret) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    let seconds = i64::try_from(FLOW_LIFETIME.as_secs()).unwrap_or(i64::MAX);
    response
        .cookie(state.cookies().set(bound.id(), cookie, seconds))
        .insert_header((header::LOCATION, flow_path(state, bound.id())));
    respond::private(&mut response).finish()
}

/// Takes the browser back to the client, and forgets the flow's cookie.
fn returning(state: &State, bound: &Bound, answer: &Answer) -> HttpResponse {
    let mut response = returning::page(state, answer);
    set_cookie(&mut response, &state.cookies().clear(bound.id()));
    response
}
