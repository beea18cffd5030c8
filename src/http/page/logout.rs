//! The pages of logging out.

use askama::Template;

use crate::config::section::Branding;
use crate::http::page::link::Link;

/// Asks whether to log out. Its form sends `csrf`.
#[derive(Template)]
#[template(path = "log_out.html")]
pub struct LogOutPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// Who is logged in.
    pub person: &'a str,
    /// Where the form is sent.
    pub action: &'a str,
    /// The value of the hidden field `csrf`.
    pub csrf: &'a str,
}

/// Says that nobody is logged in any more.
#[derive(Template)]
#[template(path = "logged_out.html")]
pub struct LoggedOutPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// The provider where the person is still logged in: what people call it, and its page for logging out.
    pub elsewhere: Option<(&'a str, Link<'a>)>,
}
