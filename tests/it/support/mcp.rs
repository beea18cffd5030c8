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
    /// `MCP-Protocol-Version`, once there is a session.
    pub version: &'static str,
}

impl Session {
    /// A client with a token and no session yet.
    pub fn new(app: &App, token: &str) -> Self {
        Self::at(&app.resource(), token)
    }

    /// The same, of the endpoint at `url`.
    pub fn at(url: &str, token: &str) -> Self {
        Self { http: http(), url: url.to_owned(), token: token.to_owned(), id: None, version: "2025-11-25" }
    }

    /// Initializes a session.
    pub async fn initialize(app: &App, token: &str) -> Self {
        Self::new(app, token).initialized(json!({})).await
    }

    /// Initializes a session of a client that can do this much.
    pub async fn initialize_as(app: &App, token: &str, capabilities: Value) -> Self {
        Self::new(app, token).initialized(capabilities).await
    }

    /// With its session initialized, of a client that can do this much.
    pub async fn initialized(self, capabilities: Value) -> Self {
        let mut session = self;
        let mut request = initialize("2025-11-25");
        request["params"]["capabilities"] = capabilities;
        let page = session.post(&request).await;
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
            Some(id) => request.header("mcp-session-id", id).header("mcp-protocol-version", self.version),
            None => request,
        }
    }

    /// The value of `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Posts a message, and gives the answer before it has ended.
    pub async fn send(&self, message: &Value) -> reqwest::Response {
        let request = self.request(reqwest::Method::POST).header("accept", "application/json, text/event-stream");
        request.header("content-type", "application/json").body(message.to_string()).send().await.unwrap()
    }

    /// Posts a request whose answer is wanted as a stream.
    pub async fn stream(&self, message: &Value) -> Events {
        let request = self.request(reqwest::Method::POST).header("accept", "text/event-stream");
        let request = request.header("content-type", "application/json").body(message.to_string());
        Events::of(request.send().await.unwrap())
    }

    /// Opens the session's own stream.
    pub async fn listen(&self) -> reqwest::Response {
        self.request(reqwest::Method::GET).header("accept", "text/event-stream").send().await.unwrap()
    }

    /// Asks for what comes after an event.
    pub async fn resume(&self, last_event_id: &str) -> reqwest::Response {
        let request = self.request(reqwest::Method::GET).header("accept", "text/event-stream");
        request.header("last-event-id", last_event_id).send().await.unwrap()
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

/// The messages of an event stream, as they come.
pub struct Events {
    response: reqwest::Response,
    text: String,
    torn: Vec<u8>,
}

/// An event as it stands on the stream.
#[derive(Debug, Default)]
pub struct Event {
    /// `id`.
    pub id: String,
    /// `retry`.
    pub retry: Option<u64>,
    /// `data`, as it is.
    pub data: String,
}

impl Event {
    fn read(text: &str) -> Self {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Self {
            id: field("id").unwrap_or_default().to_owned(),
            retry: field("retry").map(|retry| retry.parse().unwrap()),
            data: field("data").unwrap_or_default().to_owned(),
        }
    }

    /// The message it carries.
    pub fn message(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Events {
    /// Of an answer that must be one.
    pub fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream", "{response:?}");
        Self { response, text: String::new(), torn: Vec::new() }
    }

    /// The next message; `None` at the end. Comments and empty events are passed over.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let event = self.event().await?;
            if !event.data.is_empty() {
                return Some(event.message());
            }
        }
    }

    /// The next event, with data or without; `None` at the end. Comments are passed over.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) =
                self.text.split_once("\n\n").map(|(event, rest)| (event.to_owned(), rest.to_owned()))
            {
                self.text = rest;
                if !event.lines().all(|line| line.starts_with(':')) {
                    return Some(Event::read(&event));
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            // A chunk may end within a character.
            self.torn.extend_from_slice(&chunk);
            let whole = std::str::from_utf8(&self.torn).map_or_else(|error| error.valid_up_to(), str::len);
            let whole: Vec<u8> = self.torn.drain(..whole).collect();
            self.text.push_str(std::str::from_utf8(&whole).unwrap());
        }
    }

    /// All events to the end.
    pub async fn all(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.event().await {
            all.push(event);
        }
        all
    }
}
