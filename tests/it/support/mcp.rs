//! An MCP client, one request at a time.

use serde_json::{Value, json};

use super::app::App;
use super::browser::Page;
use super::client::http;

/// A session of a client with a token.
pub struct Session {
    http: reqwest::Client,
    url: String,
    token: String,
    /// `Mcp-Session-Id`.
    pub id: Option<String>,
}

impl Session {
    /// A client with a token and no session yet.
    pub fn new(app: &App, token: &str) -> Self {
        Self::at(&app.resource(), token)
    }

    /// The same, of the endpoint at `url`.
    pub fn at(url: &str, token: &str) -> Self {
        Self { http: http(), url: url.to_owned(), token: token.to_owned(), id: None }
    }

    /// Initializes a session.
    pub async fn initialize(app: &App, token: &str) -> Self {
        Self::new(app, token).initialized().await
    }

    /// With its session initialized.
    pub async fn initialized(self) -> Self {
        let mut session = self;
        let page = session.post(&initialize("2025-11-25")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        session.id = Some(page.header("mcp-session-id").to_owned());
        let accepted = session.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        session
    }

    /// A request of the endpoint with this client's headers.
    pub fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let request = self.http.request(method, &self.url).bearer_auth(&self.token);
        match &self.id {
            Some(id) => request.header("mcp-session-id", id).header("mcp-protocol-version", "2025-11-25"),
            None => request,
        }
    }

    /// Posts a message.
    pub async fn post(&self, message: &Value) -> Page {
        self.post_raw(message.to_string()).await
    }

    /// Posts bytes.
    pub async fn post_raw(&self, body: impl Into<reqwest::Body>) -> Page {
        let request = self.request(reqwest::Method::POST).header("content-type", "application/json");
        let request = request.header("accept", "application/json, text/event-stream").body(body);
        Page::read(request.send().await.unwrap()).await
    }

    /// Calls a method and gives back the last message of the answer.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        let page = self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await;
        assert_eq!(page.status, 200, "{}", page.body);
        last_message(&page)
    }

    /// Calls a tool.
    pub async fn tool(&self, name: &str, arguments: Value) -> Value {
        self.call("tools/call", json!({"name": name, "arguments": arguments})).await
    }

    /// The status with which a harmless request is answered: whether the token is taken.
    pub async fn status(&self) -> u16 {
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await.status
    }
}

/// An `initialize` request.
pub fn initialize(version: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": version, "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}}})
}

/// The last message of a JSON or event-stream answer.
pub fn last_message(page: &Page) -> Value {
    let text = match page.header("content-type") {
        "text/event-stream" => page.body.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default(),
        _ => &page.body,
    };
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {page:?}"))
}
