//! The page from which the browser goes on to an identity provider.

use askama::Template;

use crate::config::section::Branding;
use crate::http::page::link::Link;

/// The page that answers the consent form when the person logs in elsewhere. A page that navigates on, for the reason of
/// [`ReturningPage`](crate::http::page::ReturningPage).
#[derive(Template)]
#[template(path = "away.html")]
pub struct AwayPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// What people call the provider.
    pub label: &'a str,
    /// The provider's authorization endpoint, with the request.
    pub link: Link<'a>,
}
