//! The pages of a flow: login, consent, and the way back to the client.

use std::net::IpAddr;

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

/// A form of one of our pages, found to come from that page in the browser of its flow: what no step can skip.
struct PageForm {
    bound: Bound,
    fields: Parameters,
    address: IpAddr,
}

impl PageForm {
    async fn read(request: &HttpRequest, flow: &FlowId, payload: Payload, state: &State) -> Result<Self, HttpResponse> {
        let body = form(request, payload, state, &state.limits.login).await;
        let body = body.map_err(|response| respond::unread(&state.authorization().pages, &response))?;
        Self::check(request, flow, &body, state).await.map_err(|fault| fault_page(state, &fault))
    }

    async fn check(request: &HttpRequest, flow: &FlowId, body: &[u8], state: &State) -> Result<Self, FlowFault> {
        let server = &state.authorization().server;
        let fields = Parameters::parse(body).map_err(|_| FlowFault::Forged)?;
        let bound = server.find_flow(flow, state.cookies().find(request, flow)).await?;
        let form = Self { bound, fields, address: client_address(request, state) };
        server.check_csrf_token(&form.bound, form.field("csrf")?)?;
        Ok(form)
    }

    fn field(&self, name: &'static str) -> Result<Option<&str>, FlowFault> {
        self.fields.one(name).map_err(|_| FlowFault::Forged)
    }
}

/// `POST /oauth/authorize/{flow}/login`
pub async fn log_in(request: HttpRequest, flow: Path<FlowId>, payload: Payload, state: Data<State>) -> HttpResponse {
    match PageForm::read(&request, &flow, payload, &state).await {
        Ok(form) => check_login(&form, &state).await.unwrap_or_else(|fault| fault_page(&state, &fault)),
        Err(response) => response,
    }
}

async fn check_login(form: &PageForm, state: &State) -> Result<HttpResponse, FlowFault> {
    let (server, bound) = (&state.authorization().server, &form.bound);
    if form.field("decision")? == Some("cancel") {
        return Ok(returning(state, bound, &server.deny(bound).await?));
    }
    let username = form.field("username")?.unwrap_or_default();
    let password = Secret::new(form.field("password")?.unwrap_or_default());
    let login = LogIn { username, password: &password, address: form.address };
    let error = match server.log_in(bound, login).await {
        Ok(Next::Answer(answer)) => return Ok(returning(state, bound, &answer)),
        Ok(Next::Step { cookie }) => return Ok(next_page(state, bound, &cookie)),
        Err(LogInFault::Flow(fault)) => return Err(fault),
        Err(LogInFault::Wrong) => LoginError::WrongCredentials,
        Err(LogInFault::Throttled(wait)) => LoginError::TooManyAttempts { retry_after: wait.seconds() },
        Err(LogInFault::Busy(wait)) => LoginError::Busy { retry_after: wait.seconds() },
    };
    match server.step(bound).await? {
        Step::Login(asked) => Ok(login_page(state, bound, &asked, username, Some(error))),
        Step::Consent { .. } => Err(FlowFault::Gone),
    }
}

/// `POST /oauth/authorize/{flow}/consent`
pub async fn decide(request: HttpRequest, flow: Path<FlowId>, payload: Payload, state: Data<State>) -> HttpResponse {
    match PageForm::read(&request, &flow, payload, &state).await {
        Ok(form) => check_decision(&form, &state).await.unwrap_or_else(|fault| fault_page(&state, &fault)),
        Err(response) => response,
    }
}

/// What was asked stands in the store; the form says yes or no and nothing else.
async fn check_decision(form: &PageForm, state: &State) -> Result<HttpResponse, FlowFault> {
    let (server, bound) = (&state.authorization().server, &form.bound);
    let answer = match form.field("decision")? {
        Some("allow") => server.allow(bound).await?,
        Some("deny") => server.deny(bound).await?,
        _ => return Err(FlowFault::Forged),
    };
    Ok(returning(state, bound, &answer))
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
