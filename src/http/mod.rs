//! The web: routes, cookies, pages, headers. A handler extracts, calls one service method, and answers; no protocol rule
//! lives here, and neither the store nor an outbound request can be reached from here.

mod account;
pub mod assets;
mod body;
mod cookie;
mod device;
mod answer;
pub mod guard;
mod head;
pub mod limits;
pub mod middleware;
mod health;
pub mod live;
mod mcp;
mod oauth;
pub mod page;
mod real_ip;
mod resource_metadata;
pub mod state;
mod static_file;
mod stream;

use actix_web::web::{self, ServiceConfig};
use actix_web::{Route, guard as method};

use crate::http::state::State;

/// Every route there is. `state` says under which paths the configurable ones stand: no reload changes those.
pub fn routes(app: &mut ServiceConfig, state: &State) {
    let mcp_path = state.endpoint.path.as_str();
    app.service(web::resource(mcp_path).route(web::to(mcp::serve)));
    if state.endpoint.root && mcp_path != "/" {
        app.service(web::resource("/").route(web::to(mcp::serve)));
    }
    // Where they are not wanted now, or not any more, they answer 404.
    if state.authorization.is_some() {
        get(app, "/.well-known/oauth-protected-resource", web::route().to(resource_metadata::get));
        get(app, &format!("/.well-known/oauth-protected-resource{mcp_path}"), web::route().to(resource_metadata::get));
    }
    if let Some(authorization) = &state.authorization {
        authorization_server_routes(app, &authorization.pages.base);
    }
    for path in ["/health", "/healthz"] {
        get(app, path, web::route().to(health::live));
    }
    for path in ["/ready", "/readyz"] {
        get(app, path, web::route().to(health::ready));
    }
    app.default_service(web::to(answer::not_found));
}

fn authorization_server_routes(app: &mut ServiceConfig, base: &str) {
    // RFC 8414 §3.1: the well-known path is inserted before the issuer's path; some clients append it, older ones ask at the root.
    let mut metadata = vec!["/.well-known/oauth-authorization-server".to_owned()];
    if !base.is_empty() {
        metadata.push(format!("/.well-known/oauth-authorization-server{base}"));
        metadata.push(format!("{base}/.well-known/oauth-authorization-server"));
    }
    for path in &metadata {
        get(app, path, web::route().to(oauth::metadata));
    }
    // The second names are those that clients of 2025-03-26 guess when they find no metadata.
    for path in [format!("{base}/oauth/jwks"), "/.well-known/jwks.json".to_owned()] {
        get(app, &path, web::route().to(oauth::jwks));
    }
    for path in [format!("{base}/oauth/authorize"), "/authorize".to_owned()] {
        get(app, &path, web::route().to(oauth::authorize::get));
    }
    get(app, &format!("{base}/oauth/authorize/{{flow}}"), web::route().to(oauth::flow::get));
    post(app, &format!("{base}/oauth/authorize/{{flow}}/login"), web::route().to(oauth::flow::log_in));
    post(app, &format!("{base}/oauth/authorize/{{flow}}/consent"), web::route().to(oauth::flow::decide));
    get(app, &format!("{base}/oauth/callback"), web::route().to(oauth::callback::of_the_only));
    get(app, &format!("{base}/oauth/callback/{{provider}}"), web::route().to(oauth::callback::of_one));
    get_or_post(
        app,
        &format!("{base}/oauth/logout"),
        web::route().to(oauth::logout::ask),
        web::route().to(oauth::logout::log_out),
    );
    get(app, &format!("{base}/account"), web::route().to(account::get));
    post(app, &format!("{base}/account/apps"), web::route().to(account::disconnect));
    post(app, &format!("{base}/account/browsers"), web::route().to(account::sign_out));
    get_or_post(
        app,
        &format!("{base}/account/password"),
        web::route().to(account::password::ask),
        web::route().to(account::password::change),
    );
    for path in [format!("{base}/oauth/token"), "/token".to_owned()] {
        post(app, &path, web::route().to(oauth::token));
    }
    for path in [format!("{base}/oauth/register"), "/register".to_owned()] {
        post(app, &path, web::route().to(oauth::register::post));
    }
    let managed = web::resource(format!("{base}/oauth/register/{{client}}"));
    let methods = method::Any(method::Get()).or(method::Put()).or(method::Delete());
    let managing = web::route().guard(methods).to(oauth::register::manage);
    app.service(managed.route(managing).default_service(web::to(answer::only_get_put_or_delete)));
    post(app, &format!("{base}/oauth/revoke"), web::route().to(oauth::revoke));
    post(app, &format!("{base}/oauth/introspect"), web::route().to(oauth::introspect));
    get(app, &format!("{base}/static/{{file}}"), web::route().to(static_file::get));
}

/// RFC 9110 §9.3.2: HEAD has the header of GET; actix leaves the content out.
fn get(app: &mut ServiceConfig, path: &str, route: Route) {
    let route = route.guard(method::Any(method::Get()).or(method::Head()));
    app.service(web::resource(path).route(route).default_service(web::to(answer::only_get)));
}

fn get_or_post(app: &mut ServiceConfig, path: &str, get: Route, post: Route) {
    let get = get.guard(method::Any(method::Get()).or(method::Head()));
    let post = post.guard(method::Post());
    app.service(web::resource(path).route(get).route(post).default_service(web::to(answer::only_get_or_post)));
}

fn post(app: &mut ServiceConfig, path: &str, route: Route) {
    app.service(web::resource(path).route(route.guard(method::Post())).default_service(web::to(answer::only_post)));
}
