//! The pages after a step of a flow that was not taken.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::audit::Event;
use crate::authorization_server::authorize::{Bound, FlowFault};
use crate::base::id::UserId;
use crate::http::oauth::{flow_path, tell};
use crate::http::page::respond::{self, Trouble};
use crate::http::page::{FailedLoginPage, failed_login};
use crate::http::state::State;

/// Why a flow did not go on that goes no further.
pub fn page(state: &State, fault: &FlowFault) -> HttpResponse {
    let (status, next_step) = match fault {
        FlowFault::Gone(_) => (StatusCode::BAD_REQUEST, "Go back to the app and connect again."),
        FlowFault::NothingChosen => (StatusCode::BAD_REQUEST, "Go back and tick it."),
        FlowFault::Forged => (StatusCode::FORBIDDEN, "Go back to the app and connect again."),
        FlowFault::Unavailable(_) | FlowFault::Provider(..) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Go back and try again in a moment.")
        }
    };
    let explanation = fault.to_string();
    let trouble = Trouble { cause: fault.cause(), ..Trouble::new(&explanation, next_step) };
    respond::error(&state.authorization().pages, status, trouble)
}

/// The page for a form that no page of ours sent in this browser, having recorded it. `user`: who is signed in there.
pub async fn forged(state: &State, user: Option<&UserId>) -> HttpResponse {
    tell(state, Event::FormRefused { user, reason: "forged_form" }).await;
    page(state, &FlowFault::Forged)
}

/// Why a flow did not go on; after a login at a provider that came to nothing there is another try, or the way back to
/// the client.
pub fn bound_page(state: &State, bound: &Bound, fault: &FlowFault) -> HttpResponse {
    let FlowFault::Provider(label, failure) = fault else { return page(state, fault) };
    let words = failed_login(failure.reason, label);
    let pages = &state.authorization().pages;
    let reference = respond::reference(words.status, &words.explanation, Some(failure));
    let (path, csrf) = (flow_path(state, bound.id()), state.authorization().server.csrf_token(bound));
    let content = FailedLoginPage {
        base: &pages.base,
        branding: &pages.branding,
        explanation: &words.explanation,
        next_step: words.next_step,
        reference: &reference,
        again: &path,
        action: &format!("{path}/login"),
        csrf: csrf.expose(),
        has_app: !bound.is_to_account(),
    };
    respond::page(pages, words.status, &content)
}
