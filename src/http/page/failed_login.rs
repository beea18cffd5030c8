//! The page after a login at an identity provider that came to nothing, in words of ours.

use actix_web::http::StatusCode;
use askama::Template;

use crate::config::section::Branding;
use crate::identity::federated::Reason;

/// Says what went wrong, and offers another try or the way back to the client. Its form sends `csrf` and `decision`, which
/// is `cancel`.
#[derive(Template)]
#[template(path = "failed_login.html")]
pub struct FailedLoginPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// What happened.
    pub explanation: &'a str,
    /// What the person can do.
    pub next_step: &'a str,
    /// Finds the line in the log that has the cause.
    pub reference: &'a str,
    /// Where another try begins.
    pub again: &'a str,
    /// Where the form is sent.
    pub action: &'a str,
    /// The value of the hidden field `csrf`.
    pub csrf: &'a str,
    /// Whether an app waits for the answer.
    pub has_app: bool,
}

/// A failure in plain words.
pub struct FailedLogin {
    /// The status of the page: whose fault it was.
    pub status: StatusCode,
    /// What happened.
    pub explanation: String,
    /// What the person can do.
    pub next_step: &'static str,
}

/// What is said of a failure at the provider that people call `label`. Nothing of the provider's own text is in it.
#[must_use]
pub fn failed_login(reason: Reason, label: &str) -> FailedLogin {
    let operator = "Tell the operator of this server; trying again will not help before that.";
    let account = "Try again with another account, or ask the operator of this server to let this one in.";
    let (status, explanation, next_step) = match reason {
        Reason::Unreachable => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{label} does not answer right now."),
            "Try again in a moment. If it goes on, tell the operator of this server.",
        ),
        Reason::Misconfigured => (
            StatusCode::BAD_GATEWAY,
            format!("This server and {label} do not work together: something is not set up as it should be."),
            operator,
        ),
        Reason::Untrusted => (
            StatusCode::BAD_GATEWAY,
            format!("The answer of {label} did not pass the checks of this server, so nobody was signed in."),
            "Try again. If it happens again, tell the operator of this server.",
        ),
        Reason::Denied => (
            StatusCode::FORBIDDEN,
            format!("{label} did not let you in: you cancelled there, or your account may not be used here."),
            account,
        ),
        Reason::NoVerifiedEmail => (
            StatusCode::FORBIDDEN,
            format!("{label} does not say that your account has a verified e-mail address."),
            "Verify your address there, or try again with another account.",
        ),
        Reason::WrongDomain => (
            StatusCode::FORBIDDEN,
            format!("Your account at {label} is not of an organisation that may come in."),
            account,
        ),
        Reason::NothingToGrant => (
            StatusCode::FORBIDDEN,
            format!("Your account at {label} may do nothing of what the app asks for."),
            account,
        ),
        Reason::Disabled => (StatusCode::FORBIDDEN, "Your account has been disabled here.".to_owned(), account),
        Reason::Ended => (
            StatusCode::FORBIDDEN,
            format!("{label} no longer stands by your login."),
            "Try again: you will be asked to sign in there.",
        ),
    };
    FailedLogin { status, explanation, next_step }
}
