//! The page after the decision, which takes the browser back to the client.

use std::fmt;

use askama::Template;

use crate::config::section::Branding;
use crate::http::page::link::Link;
use crate::http::page::target::Target;

/// The page that answers a form whose outcome belongs to the client.
///
/// Chrome applies `form-action` to the redirects that follow a form, so a 303 to the client would be blocked under
/// `form-action 'self'`; naming the client there instead would let an injected form reach it. A refresh is a navigation
/// of its own. Its URL holds the code: the page must be sent with `Cache-Control: no-store` and
/// `Referrer-Policy: no-referrer`.
#[derive(Template)]
#[template(path = "returning.html")]
pub struct ReturningPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// The redirect URI with the response parameters.
    pub link: Link<'a>,
    /// What the client is told.
    pub answer: Answer,
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A code.
    Allowed,
    /// `access_denied`.
    Denied,
    /// Any other error.
    Failed,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "You allowed access.",
            Self::Denied => "Access was not allowed.",
            Self::Failed => "Access could not be given; you will read the reason there.",
        })
    }
}
