//! An MCP client of 2026-07-28: no session, every request says everything.

use serde_json::{Value, json};

use super::app::App;
use super::browser::Page;
use super::client::http;

/// The version that such a client speaks.
pub const VERSION: &str = "2026-07-28";

/// A client with a token.
#[derive(Clone)]
pub struct Stateless {
    http: reqwest::Client,
    url: String,
    token: String,
    /// What it declares that it can do.
    pub capabilities: Value,
}

impl Stateless {
    /// One that can do nothing for the server.
    pub fn new(app: &App, token: &str) -> Self {
        Self::at(&app.resource(), token)
    }

    /// The same, of the endpoint at `url`.
    pub fn at(url: &str, token: &str) -> Self {
        Self { http: http(), url: url.to_owned(), token: token.to_owned(), capabilities: json!({}) }
    }

    /// The same, able to do this much.
    pub fn able(self, capabilities: Value) -> Self {
        Self { capabilities, ..self }
    }

    /// `_meta` of its requests.
    pub fn meta(&self) -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        })
    }

    /// A request of it; what `params._meta` says beside the envelope stays.
    pub fn message(&self, id: u64, method: &str, mut params: Value) -> Value {
        let mut meta = self.meta();
        if let Some(own) = params["_meta"].as_object() {
            meta.as_object_mut().unwrap().extend(own.clone());
        }
        params["_meta"] = meta;
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    /// The POST that carries a message, with the header fields that go with it.
    pub fn request(&self, message: &Value) -> reqwest::RequestBuilder {
        let method = message["method"].as_str().unwrap();
        let request = self.bare(message).header("mcp-protocol-version", VERSION).header("mcp-method", method);
        let name = match method {
            "tools/call" | "prompts/get" => message["params"]["name"].as_str(),
            "resources/read" => message["params"]["uri"].as_str(),
            _ => None,
        };
        match name {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }

    /// The same, without what goes with it.
    pub fn bare(&self, message: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(&self.url).bearer_auth(&self.token).header("content-type", "application/json");
        request.header("accept", "application/json, text/event-stream").body(message.to_string())
    }

    /// Sends a request, and gives the answer before it has ended.
    pub async fn send(&self, id: u64, method: &str, params: Value) -> reqwest::Response {
        self.request(&self.message(id, method, params)).send().await.unwrap()
    }

    /// Sends a request.
    pub async fn page(&self, method: &str, params: Value) -> Page {
        Page::read(self.send(1, method, params).await).await
    }

    /// Sends a request, and gives the last message of the answer, which has status 200.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        let page = self.page(method, params).await;
        assert_eq!(page.status, 200, "{}", page.body);
        super::mcp::last_message(&page)
    }

    /// Calls a tool.
    pub async fn tool(&self, name: &str, arguments: Value) -> Value {
        self.call("tools/call", json!({"name": name, "arguments": arguments})).await
    }

    /// The endpoint, with its token.
    pub fn verb(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        self.http.request(method, &self.url).bearer_auth(&self.token)
    }
}

/// Status and error code of an answer.
pub fn refusal(page: &Page) -> (u16, i64) {
    let body: Value = serde_json::from_str(&page.body).unwrap_or_else(|error| panic!("{error}: {page:?}"));
    (page.status, body["error"]["code"].as_i64().unwrap_or_default())
}
