//! A minimal MCP server: it answers at once, so that what is measured is what stands before it.

use serde::Deserialize;
use serde_json::value::RawValue;

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
struct Call {
    arguments: Arguments,
}

#[derive(Deserialize)]
struct Arguments {
    message: String,
}

const TOOLS: &str = r#"{"tools":[{"name":"echo","description":"Gives a message back","inputSchema":{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]},"annotations":{"readOnlyHint":true}}]}"#;

/// What comes of one message.
#[derive(Debug)]
pub enum Outcome {
    /// A notification or an answer: nothing is said to it.
    Nothing,
    /// The answer to `initialize`: a session begins.
    Session(String),
    /// The answer to another request.
    Answer(String),
}

/// Answers one JSON-RPC message.
#[must_use]
pub fn answer(message: &[u8]) -> Outcome {
    let Ok(Incoming { id, method, params }) = serde_json::from_slice(message) else {
        return Outcome::Answer(error("null", -32700, "not JSON-RPC"));
    };
    let (Some(id), Some(method)) = (id.map(RawValue::get), method) else { return Outcome::Nothing };
    match method {
        "initialize" => match parse::<Initialize>(params) {
            Some(initialize) => Outcome::Session(result(id, &server(&initialize.protocol_version))),
            None => Outcome::Answer(error(id, -32602, "no protocolVersion")),
        },
        "ping" => Outcome::Answer(result(id, "{}")),
        "tools/list" => Outcome::Answer(result(id, TOOLS)),
        "tools/call" => Outcome::Answer(match parse::<Call>(params) {
            Some(call) => result(id, &content(&call.arguments.message)),
            None => error(id, -32602, "no arguments.message"),
        }),
        _ => Outcome::Answer(error(id, -32601, "no such method")),
    }
}

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

fn result(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn error(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
}
