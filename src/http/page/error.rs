//! The page for what cannot be answered to the client: what went wrong, and what to do next.

use askama::Template;

use crate::config::section::Branding;
use crate::http::page::link::Link;

/// The error page. Its words are ours: nothing that a request said is repeated in them.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// What happened, in a few words.
    pub title: &'a str,
    /// What happened, in a sentence or two.
    pub explanation: &'a str,
    /// What the person can do now.
    pub next_step: &'a str,
    /// What the operator finds the log line by.
    pub reference: &'a str,
    /// The way back to the client, when its address can be trusted that far (OAuth 2.1 §7.13.2: a link, no redirect).
    pub back: Option<Link<'a>>,
}
