//! JSON-RPC answers that the bridge makes itself. [JSON-RPC 2.0 §5](https://www.jsonrpc.org/specification#response_object)

use bytes::Bytes;
use serde_json::Value;

/// Invalid JSON.
pub const PARSE_ERROR: i32 = -32700;
/// Not a request.
pub const INVALID_REQUEST: i32 = -32600;
/// Nobody knows the method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// Parameters that cannot be right.
pub const INVALID_PARAMS: i32 = -32602;
/// MCP until 2025-11-25: no such resource.
pub const RESOURCE_NOT_FOUND: i32 = -32002;
/// The upstream is gone or was not there (the SDKs' `ConnectionClosed`).
pub const UNAVAILABLE: i32 = -32000;
/// The upstream did not answer in time (the SDKs' `RequestTimeout`).
pub const TIMED_OUT: i32 = -32001;
/// The client cancelled the request.
pub const CANCELLED: i32 = -32800;
/// Something of our own went wrong.
pub const INTERNAL_ERROR: i32 = -32603;
/// MCP 2025-11-25: the user has to go to a URL first.
pub const URL_ELICITATION_REQUIRED: i32 = -32042;
/// MCP 2026-07-28: header fields say something else than the body, or are missing.
pub const HEADER_MISMATCH: i32 = -32020;
/// MCP 2026-07-28: this needs something that the client did not say it can do.
pub const MISSING_CAPABILITY: i32 = -32021;
/// MCP 2026-07-28: this version of the protocol is not spoken here.
pub const UNSUPPORTED_VERSION: i32 = -32022;

/// The id where there is none to answer to.
pub const NO_ID: &[u8] = b"null";

/// A result. `id` and `result` are JSON and stay as they are.
#[must_use]
pub fn result(id: &[u8], result: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [br#"{"jsonrpc":"2.0","id":"#, id, br#","result":"#, result, b"}"];
    Bytes::from(parts.concat())
}

/// An error. `id` is JSON and stays as it is.
#[must_use]
pub fn error(id: &[u8], code: i32, message: &str) -> Bytes {
    error_with_data(id, code, message, None)
}

/// An error with `data`.
#[must_use]
pub fn error_with_data(id: &[u8], code: i32, message: &str, data: Option<&Value>) -> Bytes {
    let mut head = format!(r#","error":{{"code":{code},"message":{}"#, Value::from(message));
    if let Some(data) = data {
        head.push_str(&format!(r#","data":{data}"#));
    }
    let parts: [&[u8]; 4] = [br#"{"jsonrpc":"2.0","id":"#, id, head.as_bytes(), b"}}"];
    Bytes::from(parts.concat())
}

/// A request of ours.
#[must_use]
pub fn request(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// A notification of ours; `params` is JSON.
#[must_use]
pub fn notification(method: &str, params: Option<&str>) -> Bytes {
    Bytes::from(match params {
        Some(params) => format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#),
        None => format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#),
    })
}
