//! `GET /oauth/callback` and `/oauth/callback/{provider}`: the browser comes back from an identity provider.

use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};

use crate::authorization_server::authorize::{Arrival, FlowFault};
use crate::authorization_server::session::ThisBrowser;
use crate::base::id::ProviderName;
use crate::http::device::device;
use crate::http::live::Current;
use crate::http::oauth::fault;
use crate::http::oauth::flow::follow_login;
use crate::http::oauth::{is_visit, within};
use crate::http::page::respond;
use crate::http::state::State;

/// From the provider that stands alone in the configuration.
pub async fn of_the_only(request: HttpRequest, state: Current) -> HttpResponse {
    take(&request, &ProviderName::the_only(), &state).await
}

/// From one of several.
pub async fn of_one(request: HttpRequest, provider: Path<ProviderName>, state: Current) -> HttpResponse {
    take(&request, &provider, &state).await
}

async fn take(request: &HttpRequest, provider: &ProviderName, state: &State) -> HttpResponse {
    // A look ahead would spend the state.
    if !is_visit(request) {
        return HttpResponse::NoContent().finish();
    }
    if let Err(response) = within(request, state, &state.limits.authorization) {
        return respond::unread(&state.authorization().pages, &response);
    }
    let server = &state.authorization().server;
    let Some(arrival) = Arrival::parse(request.query_string().as_bytes()) else {
        return fault::page(
            state,
            &FlowFault::Gone("the callback has no state, or neither code nor error, or something twice"),
        );
    };
    let cookie = state.cookies().find(request, arrival.flow());
    let bound = match server.find_flow(arrival.flow(), cookie).await {
        Ok(bound) => bound,
        Err(fault) => return fault::page(state, &fault),
    };
    let (session, device) = (state.cookies().find_session(request), device(request));
    // Whether it stays signed in was said before the browser went away.
    let browser = ThisBrowser { session: session.as_ref(), device: &device, stays: false };
    match server.come_back(&bound, provider, &arrival, &browser).await {
        Ok(logged_in) => follow_login(state, &bound, logged_in),
        Err(fault) => fault::bound_page(state, &bound, &fault),
    }
}
