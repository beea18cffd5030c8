//! An OAuth client whose every request a test can bend.

use std::sync::atomic::{AtomicUsize, Ordering};

use mcp_bridge::base::digest::Digest;
use serde_json::{Value, json};

use super::app::{App, PASSWORD};
use super::browser::{Browser, Page};

/// The verifier of every flow here; its challenge follows from it.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Where the client is answered.
pub const REDIRECT_URI: &str = "https://client.example/cb";

/// A registered client.
pub struct Client {
    http: reqwest::Client,
    base: String,
    resource: String,
    /// `client_id`.
    pub id: String,
    /// The whole registration answer.
    pub registration: Value,
}

/// What the token endpoint answered.
#[derive(Debug)]
pub struct Tokens {
    /// The status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
}

impl Tokens {
    /// A member of the body, as text.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("no {member} in {self:?}"))
    }

    /// `access_token`.
    pub fn access(&self) -> &str {
        self.text("access_token")
    }

    /// `refresh_token`.
    pub fn refresh(&self) -> &str {
        self.text("refresh_token")
    }

    /// `error`; empty when it went well.
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

/// A client of HTTP that follows no redirect and knows no proxy.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(super::browser::without_redirects()).no_proxy().build().unwrap()
}

/// The authorization server metadata.
pub async fn metadata(app: &App) -> Value {
    let url = format!("{}/.well-known/oauth-authorization-server", app.url);
    http().get(url).send().await.unwrap().json().await.unwrap()
}

/// Registers with this body and gives back what was answered.
pub async fn register(app: &App, body: impl Into<reqwest::Body>) -> Page {
    let request = http().post(format!("{}/oauth/register", app.url)).header("content-type", "application/json");
    Page::read(request.body(body).send().await.unwrap()).await
}

/// What no other client says.
pub fn unique() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed).to_string()
}

impl Client {
    /// A public client with [`REDIRECT_URI`].
    pub async fn register(app: &App) -> Self {
        // Who registers the same again is taken for the same client.
        let metadata =
            json!({"client_name": "Test client", "redirect_uris": [REDIRECT_URI], "software_version": unique()});
        Self::register_as(app, metadata).await
    }

    /// A client with these metadata.
    pub async fn register_as(app: &App, metadata: Value) -> Self {
        let page = register(app, metadata.to_string()).await;
        assert_eq!(page.status, 201, "{}", page.body);
        let registration: Value = serde_json::from_str(&page.body).unwrap();
        let id = registration["client_id"].as_str().unwrap().to_owned();
        Self { http: http(), base: app.url.clone(), resource: app.resource(), id, registration }
    }

    /// A public client of a bridge whose public address is not the one it listens on.
    pub async fn register_at(app: &App, base: &str) -> Self {
        let metadata = json!({"redirect_uris": [REDIRECT_URI], "software_version": unique()});
        Self::register_for(&app.resource(), base, metadata).await
    }

    /// A client with these metadata that asks for `resource` and reaches the issuer at `base`.
    pub async fn register_for(resource: &str, base: &str, metadata: Value) -> Self {
        let request = http().post(format!("{base}/oauth/register")).json(&metadata);
        let registration: Value = request.send().await.unwrap().json().await.unwrap();
        let id = registration["client_id"].as_str().unwrap_or_else(|| panic!("{registration}")).to_owned();
        Self { http: http(), base: base.to_owned(), resource: resource.to_owned(), id, registration }
    }

    /// A client of the bridge at `base` that somebody else made known there, or its configuration, with [`REDIRECT_URI`].
    pub fn known(base: &str, id: &str) -> Self {
        Self::known_for(&format!("{base}/mcp"), base, id)
    }

    /// The same of a client that asks for `resource`.
    pub fn known_for(resource: &str, base: &str, id: &str) -> Self {
        let (base, resource) = (base.to_owned(), resource.to_owned());
        Self { http: http(), base, resource, id: id.to_owned(), registration: Value::Null }
    }

    /// Forgets its connections, which end with the bridge that it was connected to.
    pub fn reconnect(&mut self) {
        self.http = http();
    }

    /// The parameters of a good authorization request.
    pub fn request(&self) -> Vec<(&'static str, String)> {
        vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.id.clone()),
            ("redirect_uri", REDIRECT_URI.to_owned()),
            ("scope", "mcp:read mcp:write".to_owned()),
            ("state", "a state & more".to_owned()),
            ("code_challenge", Digest::of_bytes(VERIFIER.as_bytes()).base64url()),
            ("code_challenge_method", "S256".to_owned()),
            ("resource", self.resource.clone()),
        ]
    }

    /// The address of an authorization request with these parameters in place of the good ones; `None` leaves one out.
    pub fn authorize_url(&self, changes: &[(&'static str, Option<&str>)]) -> String {
        let mut parameters = self.request();
        for (name, value) in changes {
            parameters.retain(|(key, _)| key != name);
            parameters.extend(value.map(|value| (*name, value.to_owned())));
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        format!("{}/oauth/authorize?{query}", self.base)
    }

    /// A person logs in and allows it: the page that takes the browser back.
    pub async fn authorize(&self, browser: &mut Browser, user: &str, changes: &[(&'static str, Option<&str>)]) -> Page {
        let login = browser.open(&self.authorize_url(changes)).await;
        let next = browser.submit(&login, &[("username", user), ("password", PASSWORD)]).await;
        if next.body.contains("http-equiv=\"refresh\"") {
            return next;
        }
        browser.submit(&next, &[("decision", "allow")]).await
    }

    /// A code for `alice`.
    pub async fn code(&self) -> String {
        let page = self.authorize(&mut Browser::new(), "alice", &[]).await;
        page.answer("code").unwrap_or_else(|| panic!("no code in {page:?}"))
    }

    /// The parameters of a good redemption.
    pub fn redemption(&self, code: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", REDIRECT_URI.to_owned()),
            ("client_id", self.id.clone()),
            ("code_verifier", VERIFIER.to_owned()),
            ("resource", self.resource.clone()),
        ]
    }

    /// Redeems a code as it should be.
    pub async fn redeem(&self, code: &str) -> Tokens {
        self.token(&self.redemption(code)).await
    }

    /// Redeems a code with one parameter changed; `None` leaves it out.
    pub async fn redeem_with(&self, code: &str, name: &'static str, value: Option<&str>) -> Tokens {
        let mut parameters = self.redemption(code);
        parameters.retain(|(key, _)| *key != name);
        parameters.extend(value.map(|value| (name, value.to_owned())));
        self.token(&parameters).await
    }

    /// Tokens for `alice`.
    pub async fn tokens(&self) -> Tokens {
        let tokens = self.redeem(&self.code().await).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        tokens
    }

    /// Refreshes.
    pub async fn refresh(&self, refresh_token: &str) -> Tokens {
        self.refresh_with(refresh_token, &[]).await
    }

    /// Refreshes with further parameters.
    pub async fn refresh_with(&self, refresh_token: &str, more: &[(&'static str, &str)]) -> Tokens {
        let mut parameters = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh_token.to_owned()),
            ("client_id", self.id.clone()),
        ];
        parameters.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.token(&parameters).await
    }

    /// Sends a token request.
    pub async fn token(&self, parameters: &[(&'static str, String)]) -> Tokens {
        let request = self.http.post(format!("{}/oauth/token", self.base)).form(parameters);
        Self::read(request).await
    }

    /// Sends a token request and reads its JSON answer.
    pub async fn read(request: reqwest::RequestBuilder) -> Tokens {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        Tokens { status, body, headers }
    }

    /// Revokes a token.
    pub async fn revoke(&self, token: &str) -> u16 {
        let form = [("token", token), ("client_id", &self.id)];
        self.http.post(format!("{}/oauth/revoke", self.base)).form(&form).send().await.unwrap().status().as_u16()
    }
}
