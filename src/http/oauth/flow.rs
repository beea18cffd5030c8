//! The pages of a flow: login, consent, and the way back to the client.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::authorize::{
    Answer, Asked, Bound, FLOW_LIFETIME, FlowFault, LogIn, LogInFault, Next, Step,
};
use crate::base::id::FlowId;
use crate::base::secret::Secret;
use crate::http::answer;
use crate::http::oauth::{client_address, form};
use crate::http::page::respond::{self, Trouble};
use crate::http::page::{self, ClientName, ConsentPage, Link, LoginError, LoginPage, ReturningPage};
use crate::http::state::State;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;

/// `GET /oauth/authorize/{flow}`: the page that comes next.
pub async fn get(request: HttpRequest, flow: Path<FlowId>, state: Data<State>) -> HttpResponse {
    match show(&request, &flow, &state).await {
        Ok(response) => response,
        Err(fault) => fault_page(&state, &fault),
    }
}

async fn show(request: &HttpRequest, flow: &FlowId, state: &State) -> Result<HttpResponse, FlowFault> {
    let bound = state.authorization().server.find_flow(flow, state.cookies().find(request, flow)).await?;
    match state.authorization().server.step(&bound).await? {
        Step::Login(asked) => Ok(login_page(state, &bound, &asked, "", None)),
        Step::Consent { asked, user, scopes } => {
            let csrf = state.authorization().server.csrf_token(&bound);
            let client = asked.client_name.as_deref().and_then(ClientName::new);
            let page = ConsentPage {
                base: &state.authorization().pages.base,
                branding: &state.authorization().pages.branding,
                user: user.as_str(),
                client: client.as_ref(),
                target: &page::redirect_target(&asked.redirect_uri),
                resource: &asked.resource,
                scopes: &page::scope_lines(&scopes, &state.authorization().pages.scope_words),
                action: &format!("{}/consent", path(state, bound.id())),
                csrf: csrf.expose(),
            };
            Ok(respond::page(&state.authorization().pages, StatusCode::OK, &page))
        }
    }
}

fn login_page(state: &State, bound: &Bound, asked: &Asked, username: &str, error: Option<LoginError>) -> HttpResponse {
    let csrf = state.authorization().server.csrf_token(bound);
    let client = asked.client_name.as_deref().and_then(ClientName::new);
    let page = LoginPage {
        base: &state.authorization().pages.base,
        branding: &state.authorization().pages.branding,
        client: client.as_ref(),
        target: &page::redirect_target(&asked.redirect_uri),
        action: &format!("{}/login", path(state, bound.id())),
        csrf: csrf.expose(),
        username,
        error,
    };
    let (status, retry_after) = match error {
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
pub async fn log_in(request: HttpRequest, flow: Path<FlowId>, payload: Payload, state: Data<State>) -> HttpResponse {
    let body = match form(&request, payload, &state, &state.limits.login).await {
        Ok(body) => body,
        Err(response) => return respond::unread(&state.authorization().pages, &response),
    };
    match check_login(&request, &flow, &body, &state).await {
        Ok(response) => response,
        Err(fault) => fault_page(&state, &fault),
    }
}

async fn check_login(
    request: &HttpRequest,
    flow: &FlowId,
    body: &[u8],
    state: &State,
) -> Result<HttpResponse, FlowFault> {
    let form = Parameters::parse(body).map_err(|_| FlowFault::Forged)?;
    let field = |name| form.one(name).map_err(|_| FlowFault::Forged);
    let bound = state.authorization().server.find_flow(flow, state.cookies().find(request, flow)).await?;
    state.authorization().server.check_csrf_token(&bound, field("csrf")?)?;
    if field("decision")? == Some("cancel") {
        return Ok(returning(state, &bound, &state.authorization().server.deny(&bound).await?));
    }
    let username = field("username")?.unwrap_or_default();
    let password = Secret::new(field("password")?.unwrap_or_default());
    let login = LogIn { username, password: &password, address: client_address(request, state) };
    let error = match state.authorization().server.log_in(&bound, login).await {
        Ok(Next::Answer(answer)) => return Ok(returning(state, &bound, &answer)),
        Ok(Next::Step { cookie }) => return Ok(next_page(state, &bound, &cookie)),
        Err(LogInFault::Flow(fault)) => return Err(fault),
        Err(LogInFault::Wrong) => LoginError::WrongCredentials,
        Err(LogInFault::Throttled(wait)) => LoginError::TooManyAttempts { retry_after: wait.seconds() },
        Err(LogInFault::Busy(wait)) => LoginError::Busy { retry_after: wait.seconds() },
    };
    match state.authorization().server.step(&bound).await? {
        Step::Login(asked) => Ok(login_page(state, &bound, &asked, username, Some(error))),
        Step::Consent { .. } => Err(FlowFault::Gone),
    }
}

/// `POST /oauth/authorize/{flow}/consent`
pub async fn decide(request: HttpRequest, flow: Path<FlowId>, payload: Payload, state: Data<State>) -> HttpResponse {
    let body = match form(&request, payload, &state, &state.limits.login).await {
        Ok(body) => body,
        Err(response) => return respond::unread(&state.authorization().pages, &response),
    };
    match check_decision(&request, &flow, &body, &state).await {
        Ok(response) => response,
        Err(fault) => fault_page(&state, &fault),
    }
}

/// What was asked stands in the store; the form says yes or no and nothing else.
async fn check_decision(
    request: &HttpRequest,
    flow: &FlowId,
    body: &[u8],
    state: &State,
) -> Result<HttpResponse, FlowFault> {
    let form = Parameters::parse(body).map_err(|_| FlowFault::Forged)?;
    let field = |name| form.one(name).map_err(|_| FlowFault::Forged);
    let bound = state.authorization().server.find_flow(flow, state.cookies().find(request, flow)).await?;
    state.authorization().server.check_csrf_token(&bound, field("csrf")?)?;
    let answer = match field("decision")? {
        Some("allow") => state.authorization().server.allow(&bound).await?,
        Some("deny") => state.authorization().server.deny(&bound).await?,
        _ => return Err(FlowFault::Forged),
    };
    Ok(returning(state, &bound, &answer))
}

/// Sends the browser from a form to the next page, so that reloading does not send the form again.
fn next_page(state: &State, bound: &Bound, cookie: &Secret) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    let seconds = i64::try_from(FLOW_LIFETIME.as_secs()).unwrap_or(i64::MAX);
    response
        .cookie(state.cookies().set(bound.id(), cookie, seconds))
        .insert_header((header::LOCATION, path(state, bound.id())));
    respond::private(&mut response).finish()
}

/// Takes the browser back to the client, and forgets the flow's cookie.
fn returning(state: &State, bound: &Bound, answer: &Answer) -> HttpResponse {
    let told = match &answer.error {
        None => page::Answer::Allowed,
        Some(error) if error.error == ErrorCode::AccessDenied => page::Answer::Denied,
        Some(_) => page::Answer::Failed,
    };
    let Some(link) = Link::new(answer.url.expose()) else {
        let explanation = "The address of the app cannot be opened.";
        let trouble = Trouble { explanation, next_step: "Go back to the app and connect again.", back: None };
        return respond::error(&state.authorization().pages, StatusCode::BAD_REQUEST, trouble);
    };
    let page = ReturningPage {
        base: &state.authorization().pages.base,
        branding: &state.authorization().pages.branding,
        link,
        answer: told,
    };
    let mut response = respond::page(&state.authorization().pages, StatusCode::OK, &page);
    if let Err(error) = response.add_cookie(&state.cookies().clear(bound.id())) {
        tracing::error!(%error, "a cookie of ours is not a header value");
    }
    response
}

fn fault_page(state: &State, fault: &FlowFault) -> HttpResponse {
    let status = match fault {
        FlowFault::Gone => StatusCode::BAD_REQUEST,
        FlowFault::Forged => StatusCode::FORBIDDEN,
        FlowFault::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let trouble = Trouble { explanation: &fault.to_string(), next_step: fault.next_step(), back: None };
    respond::error(&state.authorization().pages, status, trouble)
}

/// Where the pages of a flow stand.
pub fn path(state: &State, flow: &FlowId) -> String {
    format!("{}/oauth/authorize/{flow}", state.authorization().pages.base)
}
