//! `GET` and `POST /account/password`: a person changes the password that is kept here.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::account::PasswordForm;
use crate::authorization_server::authorize::FlowFault;
use crate::base::secret::Secret;
use crate::http::account::go_to;
use crate::http::account::visit::{AccountForm, Visit};
use crate::http::answer;
use crate::http::live::Current;
use crate::http::oauth::fault;
use crate::http::page::account::PasswordField;
use crate::http::page::respond;
use crate::http::page::{LoginError, PasswordPage};
use crate::http::state::State;
use crate::identity::LoginError as OldPassword;
use crate::identity::{ChangeError, OwnPassword, SHORTEST};

/// The form; somebody whose password is kept elsewhere reads on the account's page where.
pub async fn ask(request: HttpRequest, state: Current) -> HttpResponse {
    match Visit::begin(&request, &state).await {
        Ok(visit) if state.authorization().server.own_password(&visit.here) == OwnPassword::Stored => {
            page(&visit, &state, None)
        }
        Ok(_) => go_to(&state, ""),
        Err(response) => response,
    }
}

/// Takes the form.
pub async fn change(request: HttpRequest, payload: Payload, state: Current) -> HttpResponse {
    match AccountForm::read(&request, payload, &state, &state.limits.login).await {
        Ok(form) => take(&form, &state).await.unwrap_or_else(|fault| fault::page(&state, &fault)),
        Err(response) => response,
    }
}

async fn take(form: &AccountForm, state: &State) -> Result<HttpResponse, FlowFault> {
    let text = |name| Ok::<_, FlowFault>(Secret::new(form.field(name)?.unwrap_or_default()));
    let (old, new, again) = (text("old")?, text("new")?, text("again")?);
    if new != again {
        let refusal = Refusal::new(PasswordField::Again, "The two new passwords are not the same.".to_owned());
        return Ok(page(&form.visit, state, Some(refusal)));
    }
    let disconnects = form.field("disconnect")?.is_some();
    let change = PasswordForm { old: &old, new: &new, disconnects, address: form.address };
    match state.authorization().server.change_password(&form.visit.here, change).await {
        Ok(()) if disconnects => Ok(go_to(state, "?done=password-and-apps")),
        Ok(()) => Ok(go_to(state, "?done=password")),
        Err(ChangeError::Elsewhere) => Ok(go_to(state, "")),
        Err(ChangeError::Old(OldPassword::Store(error))) => Err(error.into()),
        Err(error) => Ok(page(&form.visit, state, Some(Refusal::of(&error)))),
    }
}

/// Why the password stays what it was.
struct Refusal {
    status: StatusCode,
    field: PasswordField,
    text: String,
    retry_after: Option<u64>,
}

impl Refusal {
    const fn new(field: PasswordField, text: String) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, field, text, retry_after: None }
    }

    fn waiting(status: StatusCode, error: LoginError, seconds: u64) -> Self {
        Self { status, field: PasswordField::None, text: error.to_string(), retry_after: Some(seconds) }
    }

    fn of(error: &ChangeError) -> Self {
        let new = |text: String| Self::new(PasswordField::New, text);
        match error {
            ChangeError::TooShort => new(format!("The new password needs at least {SHORTEST} characters.")),
            ChangeError::Same => new("The new password is the old one. Choose another.".to_owned()),
            ChangeError::Unfit(error) => new(format!("The new password cannot be used: {error}.")),
            ChangeError::Old(OldPassword::Throttled { retry_after, .. }) => {
                let seconds = retry_after.seconds();
                let error = LoginError::TooManyAttempts { retry_after: seconds };
                Self::waiting(StatusCode::TOO_MANY_REQUESTS, error, seconds)
            }
            ChangeError::Old(OldPassword::Busy { retry_after }) => {
                let seconds = retry_after.seconds();
                Self::waiting(StatusCode::SERVICE_UNAVAILABLE, LoginError::Busy { retry_after: seconds }, seconds)
            }
            ChangeError::Old(_) => {
                let text = "That is not your current password. Check it and try again.".to_owned();
                Self { status: StatusCode::FORBIDDEN, ..Self::new(PasswordField::Old, text) }
            }
            ChangeError::Moved | ChangeError::Elsewhere => {
                Self::new(PasswordField::None, "Your password was changed elsewhere meanwhile.".to_owned())
            }
        }
    }
}

fn page(visit: &Visit, state: &State, refusal: Option<Refusal>) -> HttpResponse {
    let (server, pages) = (&state.authorization().server, &state.authorization().pages);
    let csrf = server.account_token(&visit.cookie);
    let page = PasswordPage {
        base: &pages.base,
        branding: &pages.branding,
        person: &server.shown_name(&visit.here.person),
        username: visit.here.person.id.as_str(),
        error: refusal.as_ref().map(|refusal| (refusal.text.as_str(), refusal.field)),
        shortest: SHORTEST,
        csrf: csrf.expose(),
    };
    let status = refusal.as_ref().map_or(StatusCode::OK, |refusal| refusal.status);
    let mut response = respond::page(pages, status, &page);
    if let Some(seconds) = refusal.and_then(|refusal| refusal.retry_after) {
        answer::retry_after(&mut response, seconds);
    }
    response
}
