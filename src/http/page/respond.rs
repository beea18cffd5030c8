//! Sending a page: the headers under which it is safe to show. [OAuth 2.1 §7.11](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-v2-1), [RFC 9700 §4.16](https://www.rfc-editor.org/rfc/rfc9700#section-4.16)

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::base::random;
use crate::http::answer;
use crate::http::page::{ErrorPage, Link};
use crate::http::state::Pages;

/// Headers of every answer in a browser flow: not kept, not framed, not told to other sites.
pub fn private(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("permissions-policy", "camera=(), geolocation=(), microphone=()"))
}

/// Sends a page.
pub fn page(pages: &Pages, status: StatusCode, page: &impl Template) -> HttpResponse {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            return answer::message(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the page could not be made");
        }
    };
    let mut response = HttpResponse::build(status);
    private(&mut response)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, pages.content_security_policy.as_str()))
        .body(html)
}

/// Draws a reference for a page, and logs it with what the page says and what only the log is told.
pub fn reference(status: StatusCode, explanation: &str, cause: Option<&dyn fmt::Display>) -> String {
    let mut reference = random::identifier();
    reference.truncate(8);
    let (code, cause) = (status.as_u16(), cause.map(tracing::field::display));
    if status.is_server_error() {
        tracing::warn!(reference, status = code, explanation, cause, "showed an error page");
    } else {
        tracing::info!(reference, status = code, explanation, cause, "showed an error page");
    }
    reference
}

/// What an error page says, and where it leads.
pub struct Trouble<'a> {
    /// What happened.
    pub explanation: &'a str,
    /// What the person can do.
    pub next_step: &'a str,
    /// The way back to the client.
    pub back: Option<Link<'a>>,
    /// What only the log is told.
    pub cause: Option<&'a dyn fmt::Display>,
}

impl<'a> Trouble<'a> {
    /// Trouble from which no link leads back, and of which there is no more to know.
    pub fn new(explanation: &'a str, next_step: &'a str) -> Self {
        Self { explanation, next_step, back: None, cause: None }
    }
}

/// Sends an error page with a reference that finds its line in the log.
pub fn error(pages: &Pages, status: StatusCode, trouble: Trouble<'_>) -> HttpResponse {
    let Trouble { explanation, next_step, back, cause } = trouble;
    let reference = reference(status, explanation, cause);
    let content = ErrorPage {
        base: &pages.base,
        branding: &pages.branding,
        title: "This did not work",
        explanation,
        next_step,
        reference: &reference,
        back,
    };
    page(pages, status, &content)
}

/// A person reads a page where a program reads the JSON of this answer: the request was not looked at.
pub fn unread(pages: &Pages, answer: &HttpResponse) -> HttpResponse {
    let (explanation, next_step) = match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => {
            ("There were too many tries from your network.", "Wait a minute, go back, and try again.")
        }
        _ => ("The form could not be read.", "Go back and send it again."),
    };
    let mut page = error(pages, answer.status(), Trouble::new(explanation, next_step));
    if let Some(value) = answer.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, value.clone());
    }
    page
}
