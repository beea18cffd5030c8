//! The compiled-in server `whoami`: enough to try the whole way without anything else installed.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::base::clock::{Clock, Timestamp};
use crate::model::principal::Principal;
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

/// Answers a request.
#[must_use]
pub fn answer(principal: Option<&Principal>, clock: &Clock, request: Bytes) -> Bytes {
    let message = match Message::parse(request) {
        Ok(message) => message,
        Err(fault) => return fault.body(),
    };
    let Kind::Request { id, method, params } = message.kind() else { return Bytes::new() };
    let id = message.bytes(*id);
    match result(principal, clock, &message, (method, params)) {
        Ok(result) => reply::result(id, result.to_string().as_bytes()),
        Err(Refused(code, text)) => reply::error(id, code, &text),
    }
}

struct Refused(i32, String);

fn result(
    principal: Option<&Principal>,
    clock: &Clock,
    message: &Message,
    (method, params): (&Method, &Params),
) -> Result<Value, Refused> {
    match method {
        Method::Initialize => Ok(json!({
            "protocolVersion": ProtocolVersion::LATEST.as_str(),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "mcp-bridge", "title": "MCP Bridge", "version": env!("CARGO_PKG_VERSION")},
            "instructions": "A server compiled into mcp-bridge: whoami tells who is calling, echo gives a text back, time tells the time."
        })),
        Method::Ping => Ok(json!({})),
        Method::ToolsList => Ok(json!({"tools": tools()})),
        Method::ToolsCall => call(principal, clock, message, params),
        other => Err(Refused(reply::METHOD_NOT_FOUND, format!("Method not found: {}", other.as_str()))),
    }
}

fn call(principal: Option<&Principal>, clock: &Clock, message: &Message, params: &Params) -> Result<Value, Refused> {
    let name = params.get(Param::Name).and_then(|at| message.string(at)).unwrap_or_default();
    let arguments: Value =
        params.get(Param::Arguments).and_then(|at| serde_json::from_str(message.json(at)).ok()).unwrap_or_default();
    match &*name {
        "whoami" => Ok(structured(&whoami(principal))),
        "echo" => match arguments.get("text").and_then(Value::as_str) {
            Some(text) => Ok(json!({"content": [{"type": "text", "text": text}]})),
            // MCP 2025-11-25, Tools, Error Handling: wrong input is a tool error, so that the model can mend it.
            None => Ok(
                json!({"content": [{"type": "text", "text": "The argument \"text\" must be a string."}], "isError": true}),
            ),
        },
        "time" => Ok(structured(&time(clock.now()))),
        // MCP 2025-11-25, Tools, Error Handling: an unknown tool is a protocol error.
        unknown => Err(Refused(reply::INVALID_PARAMS, format!("Unknown tool: {unknown}"))),
    }
}

/// MCP 2025-11-25, Tools, Structured Content: the same as text, for clients that know nothing else.
fn structured(value: &Value) -> Value {
    json!({"content": [{"type": "text", "text": value.to_string()}], "structuredContent": value})
}

fn whoami(principal: Option<&Principal>) -> Value {
    let Some(principal) = principal else { return json!({"user": null, "client": null, "scopes": []}) };
    json!({
        "user": principal.user.as_ref().map(ToString::to_string),
        "client": principal.client_id.as_ref().map(ToString::to_string),
        "scopes": principal.scopes.iter().collect::<Vec<_>>(),
    })
}

fn time(now: Timestamp) -> Value {
    json!({"utc": now.rfc3339(), "unix": now.unix()})
}

fn tools() -> Value {
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let text = json!({"type": "object", "properties": {"text": {"type": "string", "description": "What to give back"}}, "required": ["text"], "additionalProperties": false});
    let nullable = json!({"type": ["string", "null"]});
    let caller = json!({
        "type": "object",
        "properties": {"user": nullable, "client": nullable, "scopes": {"type": "array", "items": {"type": "string"}}},
        "required": ["user", "client", "scopes"],
    });
    let moment = json!({
        "type": "object",
        "properties": {"utc": {"type": "string", "format": "date-time"}, "unix": {"type": "integer"}},
        "required": ["utc", "unix"],
    });
    json!([
        {"name": "whoami", "title": "Who am I?", "description": "Tells who the bridge thinks is calling: the user, the client and the scopes.",
         "inputSchema": nothing, "outputSchema": caller, "annotations": {"readOnlyHint": true, "openWorldHint": false}},
        {"name": "echo", "title": "Echo", "description": "Gives a text back.",
         "inputSchema": text, "annotations": {"readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false}},
        {"name": "time", "title": "Time", "description": "Tells the time of the bridge.",
         "inputSchema": nothing, "outputSchema": moment, "annotations": {"readOnlyHint": true, "openWorldHint": false}},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ClientId, UserId};

    fn ask(method: &str, params: &Value) -> Value {
        let principal = Principal {
            user: Some(UserId::new("ada")),
            client_id: Some(ClientId::new("client")),
            ..Principal::anonymous()
        };
        let clock = Clock::fixed(Timestamp::from_unix(1_709_210_096));
        let request = reply::request(1, method, &params.to_string());
        serde_json::from_slice(&answer(Some(&principal), &clock, Bytes::from(request))).unwrap()
    }

    #[test]
    fn the_tools_tell_what_they_are_asked() {
        let whoami = ask("tools/call", &json!({"name": "whoami", "arguments": {}}));
        assert_eq!(whoami["result"]["structuredContent"]["user"], "ada");
        assert_eq!(whoami["result"]["structuredContent"]["scopes"], json!(["mcp:admin", "mcp:read", "mcp:write"]));
        let echo = ask("tools/call", &json!({"name": "echo", "arguments": {"text": "é\n"}}));
        assert_eq!(echo["result"]["content"][0]["text"], "é\n");
        let time = ask("tools/call", &json!({"name": "time"}));
        assert_eq!(time["result"]["structuredContent"], json!({"utc": "2024-02-29T12:34:56Z", "unix": 1_709_210_096}));
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        assert_eq!(ask("tools/call", &json!({"name": "Echo"}))["error"]["code"], reply::INVALID_PARAMS);
        assert_eq!(ask("prompts/list", &json!({}))["error"]["code"], reply::METHOD_NOT_FOUND);
        assert_eq!(ask("tools/call", &json!({"name": "echo", "arguments": {"text": 1}}))["result"]["isError"], true);
    }
}
