//! The way back to the client.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::authorization_server::authorize::Answer;
use crate::http::page::respond::{self, Trouble};
use crate::http::page::{self, Link};
use crate::http::state::State;
use crate::protocol::oauth::error::ErrorCode;

/// The page that takes the browser back to the client.
pub fn page(state: &State, answer: &Answer) -> HttpResponse {
    let told = match &answer.error {
        None => page::Answer::Allowed,
        Some(error) if error.error == ErrorCode::AccessDenied => page::Answer::Denied,
        Some(_) => page::Answer::Failed,
    };
    let Some(link) = Link::new(answer.url.expose()) else {
        let trouble = Trouble::new("The address of the app cannot be opened.", "Go back to the app and connect again.");
        return respond::error(&state.authorization().pages, StatusCode::BAD_REQUEST, trouble);
    };
    let page = page::ReturningPage {
        base: &state.authorization().pages.base,
        branding: &state.authorization().pages.branding,
        link,
        answer: told,
    };
    respond::page(&state.authorization().pages, StatusCode::OK, &page)
}
