//! Federated login, with a provider that can lie. What is here: the bridge that trusts it, and the steps of one login.

mod admission;
mod around;
mod binding;
mod browser_session;
mod confidential;
mod confused_deputy;
mod dialects;
mod faults;
mod id_token;
mod mix_up;
mod pages;
mod refresh;
mod stages;
mod whole_flow;

use std::time::Duration;

use mcp_bridge::base::id::UserId;
use mcp_bridge::config::section::Storage;
use mcp_bridge::store::Sqlite;
use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::browser::Page;
use crate::support::client::Tokens;
use crate::support::mcp::Session;
use crate::support::provider::{CLIENT_ID, CLIENT_SECRET};
use crate::support::{App, Browser, Client, Provider};

/// The configuration of one provider.
pub fn section(provider: &Provider) -> Value {
    json!({"upstream_issuer": provider.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
}

/// A configuration with this authorization server.
pub fn config(oauth_server: &Value) -> String {
    json!({
        "log": {"level": "debug"},
        "server": {"listen": "127.0.0.1:0", "rate_limit": {"login": {"limit": 0}}, "oauth_server": oauth_server},
        "upstreams": {"me": {"builtin": "whoami"}},
    })
    .to_string()
}

/// `oauth_server` of a bridge in mode federated whose only provider is this one.
pub fn oauth_server(provider: &Provider) -> Value {
    json!({
        "enabled": true,
        "mode": "federated",
        "federated": section(provider),
        "allow_dynamic_registration": true,
        "allowed_redirect_uris": ["@loopback", "https://client.example/cb", "https://other.example/cb"],
    })
}

/// A bridge whose people log in at this provider, after a change to `oauth_server`.
pub fn start(provider: &Provider, change: impl FnOnce(&mut Value)) -> App {
    let mut oauth_server = oauth_server(provider);
    change(&mut oauth_server);
    App::with_clock(&config(&oauth_server), provider.clock.clone())
}

/// Makes it mode both, with `alice` and `rita` of the usual configuration.
pub fn with_users(oauth_server: &mut Value) {
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    oauth_server["mode"] = json!("both");
    oauth_server["builtin"]["users"] = json!([
        {"username": "alice", "password_hash": hash, "scopes": ["mcp:read", "mcp:write"], "email": "alice@example.com"},
        {"username": "rita", "password_hash": hash, "scopes": ["mcp:read"]},
    ]);
}

/// Several providers, by name.
pub fn with_providers(oauth_server: &mut Value, providers: &[(&str, &Provider)]) {
    let named = providers.iter().map(|(name, provider)| ((*name).to_owned(), section(provider)));
    oauth_server["federated"] = json!({"providers": named.collect::<serde_json::Map<_, _>>()});
}

/// Whether it is the question whether a client may.
pub fn asks(page: &Page) -> bool {
    page.status == 200 && page.body.contains("value=\"allow\"")
}

/// Whether it is the page with a choice of logins.
pub fn offers_logins(page: &Page) -> bool {
    page.status == 200 && page.action().ends_with("/login") && !asks(page)
}

/// The person says yes to the question of this page: the page that leads to the provider.
pub async fn allow(browser: &mut Browser, question: &Page) -> Page {
    assert!(asks(question), "{question:?}");
    browser.submit(question, &[("decision", "allow")]).await
}

/// The person begins at the client and allows it: the provider's address that the browser is sent to.
pub async fn leave(browser: &mut Browser, client: &Client) -> String {
    leave_with(browser, client, &[]).await
}

/// The same with a changed authorization request.
pub async fn leave_with(browser: &mut Browser, client: &Client, changes: &[(&'static str, Option<&str>)]) -> String {
    let question = browser.open(&client.authorize_url(changes)).await;
    let page = allow(browser, &question).await;
    assert!(page.body.contains(&format!("class=\"button primary\" href=\"{}", escaped(&page.refresh()))), "{page:?}");
    page.refresh()
}

/// The same where there is a choice of providers.
pub async fn leave_for(browser: &mut Browser, client: &Client, provider: &str) -> String {
    let login = browser.open(&client.authorize_url(&[])).await;
    assert!(offers_logins(&login), "{login:?}");
    let question = browser.submit(&login, &[("provider", provider)]).await;
    allow(browser, &question).await.refresh()
}

/// The provider sends the browser back: the address of the callback.
pub async fn visit(browser: &mut Browser, provider_url: &str) -> String {
    let page = browser.arrive(provider_url).await;
    assert_eq!(page.status, 302, "the provider was asked well: {page:?}");
    page.location()
}

/// All of it as far as the callback, which is not opened yet.
pub async fn callback_url(browser: &mut Browser, client: &Client) -> String {
    let url = leave(browser, client).await;
    visit(browser, &url).await
}

/// All of it: the page that the callback ends in.
pub async fn log_in(browser: &mut Browser, client: &Client) -> Page {
    let url = callback_url(browser, client).await;
    browser.arrive(&url).await
}

/// All of it with one of several providers.
pub async fn log_in_at(browser: &mut Browser, client: &Client, provider: &str) -> Page {
    let url = leave_for(browser, client, provider).await;
    let url = visit(browser, &url).await;
    browser.arrive(&url).await
}

/// Where the pages of the flow stand that this page belongs to.
pub fn flow_of(page: &Page) -> String {
    page.action().rsplit_once('/').unwrap().0.to_owned()
}

/// The code that a page brings the client.
pub fn code(page: &Page) -> String {
    assert!(!page.goes_nowhere(), "{page:?}");
    page.answer("code").unwrap_or_else(|| panic!("no code: {page:?}"))
}

/// Tokens for whoever the provider says it is, in a new browser.
pub async fn tokens(client: &Client) -> Tokens {
    let page = log_in(&mut Browser::new(), client).await;
    redeemed(client, &page).await
}

/// Tokens for the code that a page brings.
pub async fn redeemed(client: &Client, page: &Page) -> Tokens {
    let tokens = client.redeem(&code(page)).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    tokens
}

/// What `whoami` says to the holder of these tokens.
pub async fn who(app: &App, tokens: &Tokens) -> Value {
    let said = Session::initialize(app, tokens.access()).await.tool("whoami", json!({})).await;
    said["result"]["structuredContent"].clone()
}

/// Nobody got in: a page of ours that says so, and that leads nowhere by itself. Never a 500.
pub fn refused(page: &Page) {
    assert!(matches!(page.status, 400 | 403 | 502 | 503), "{page:?}");
    assert!(page.goes_nowhere(), "{page:?}");
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(!page.body.contains("code=") && !page.body.contains("code&#"), "{page:?}");
}

/// An address with a parameter changed; `None` takes it away.
pub fn with_parameter(url: &str, name: &str, value: Option<&str>) -> String {
    let mut url = url::Url::parse(url).unwrap();
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    url.to_string()
}

/// A parameter of an address.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The first characters of an address as they stand in a page.
fn escaped(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// An operator disables somebody in the store, beside the running bridge.
pub async fn disable(app: &App, user: &str) {
    let path = app.folder.path().join("data/mcp-bridge.db");
    let store = Sqlite::open(&Storage::Sqlite { path }, app.clock.now(), Duration::from_secs(3600)).unwrap();
    assert!(store.disable_user(&UserId::new(user), app.clock.now()).await.unwrap(), "{user} is known");
}
