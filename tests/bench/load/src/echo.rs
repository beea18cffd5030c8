//! A minimal MCP server: it answers at once, so that what is measured is what stands before it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::tools;

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    protocol_version: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: &'a str,
    arguments: Arguments,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Arguments {
    message: Option<String>,
    bytes: Option<usize>,
    events: Option<usize>,
    delay_ms: Option<u64>,
}

/// What comes of one message.
#[derive(Debug)]
pub enum Outcome {
    /// A notification or an answer: nothing is said to it.
    Nothing,
    /// The answer to `initialize`: a session begins.
    Session(String),
    /// The answer to another request.
    Answer(String),
    /// An error that has an HTTP status of its own in the stateless era.
    Refused(u16, String),
    /// Progress, then the answer.
    Stream(Stream),
}

/// Reports of progress, and the answer after them.
#[derive(Debug)]
pub struct Stream {
    token: String,
    filling: String,
    events: usize,
    sent: usize,
    answer: Option<String>,
    /// Before each report.
    pub delay: Duration,
}

impl Iterator for Stream {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.sent == self.events {
            return self.answer.take();
        }
        self.sent += 1;
        Some(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{},"progress":{},"total":{},"message":"{}"}}}}"#,
            self.token, self.sent, self.events, self.filling
        ))
    }
}

/// The server: which era it speaks, and its list of tools.
#[derive(Debug)]
pub struct Server {
    is_stateless: bool,
    list: String,
}

impl Server {
    /// A server with so many tools that speaks MCP 2026-07-28 alone, or the versions before alone.
    #[must_use]
    pub fn new(is_stateless: bool, tools: usize) -> Self {
        let hints = if is_stateless { r#","ttlMs":60000,"cacheScope":"private""# } else { "" };
        Self { is_stateless, list: format!(r#"{{"tools":{}{hints}}}"#, tools::list(tools)) }
    }

    /// Answers one JSON-RPC message.
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Outcome {
        let Ok(Incoming { id, method, params }) = serde_json::from_slice(message) else {
            return Outcome::Refused(400, error("null", -32700, "not JSON-RPC"));
        };
        let (Some(id), Some(method)) = (id.map(RawValue::get), method) else { return Outcome::Nothing };
        match method {
            "server/discover" if self.is_stateless => Outcome::Answer(self.result(id, DISCOVERED)),
            "initialize" if !self.is_stateless => match parse::<Initialize>(params) {
                Some(initialize) => Outcome::Session(self.result(id, &server(&initialize.protocol_version))),
                None => Outcome::Answer(error(id, -32602, "no protocolVersion")),
            },
            // MCP 2026-07-28, Backward Compatibility: the error to `initialize` names the versions.
            "initialize" => Outcome::Refused(400, unsupported(id)),
            "ping" if !self.is_stateless => Outcome::Answer(self.result(id, "{}")),
            "tools/list" => Outcome::Answer(self.result(id, &self.list)),
            "tools/call" => self.call(id, params),
            _ if self.is_stateless => Outcome::Refused(404, error(id, -32601, "no such method")),
            _ => Outcome::Answer(error(id, -32601, "no such method")),
        }
    }

    fn call(&self, id: &str, params: Option<&RawValue>) -> Outcome {
        let Some(call) = parse::<Call>(params) else { return Outcome::Answer(error(id, -32602, "no such call")) };
        let Arguments { message, bytes, events, delay_ms } = call.arguments;
        match (call.name, message, bytes, events) {
            ("echo", Some(message), ..) => Outcome::Answer(self.result(id, &content(&message))),
            ("large", _, Some(bytes), _) => Outcome::Answer(self.result(id, &content(&"x".repeat(bytes)))),
            ("progress", _, bytes, Some(events)) => {
                let token = call.meta.and_then(|meta| meta.progress_token).map(|token| token.get().to_owned());
                Outcome::Stream(Stream {
                    // Who names no token is told of no progress.
                    events: if token.is_some() { events } else { 0 },
                    token: token.unwrap_or_default(),
                    filling: "x".repeat(bytes.unwrap_or(0)),
                    sent: 0,
                    answer: Some(self.result(id, &content("done"))),
                    delay: Duration::from_millis(delay_ms.unwrap_or(0)),
                })
            }
            _ => Outcome::Answer(error(id, -32602, "no such tool, or an argument is missing")),
        }
    }

    fn result(&self, id: &str, result: &str) -> String {
        match result.strip_prefix('{') {
            // MCP 2026-07-28, Results: every one says that it is complete.
            Some("}") if self.is_stateless => {
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete"}}}}"#)
            }
            Some(rest) if self.is_stateless => {
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete",{rest}}}"#)
            }
            _ => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        }
    }
}

const DISCOVERED: &str = r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":60000,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mcp-echo","version":"0.1.0"}}}"#;

fn parse<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(params?.get()).ok()
}

fn server(version: &str) -> String {
    format!(
        r#"{{"protocolVersion":{},"capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"mcp-echo","version":"0.1.0"}}}}"#,
        quoted(version)
    )
}

fn content(text: &str) -> String {
    format!(r#"{{"content":[{{"type":"text","text":{}}}],"isError":false}}"#, quoted(text))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn unsupported(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32022,"message":"Unsupported protocol version","data":{{"supported":["2026-07-28"]}}}}}}"#
    )
}

fn error(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
}
