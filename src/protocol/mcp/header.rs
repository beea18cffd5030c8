//! Header fields of Streamable HTTP. [MCP 2025-11-25, Transports](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http)

/// Which session a request belongs to.
pub const SESSION_ID: &str = "mcp-session-id";
/// Which revision of the protocol was negotiated.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// What the body's `method` says. [MCP 2026-07-28, Standard Request Headers](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#standard-request-headers)
pub const METHOD: &str = "mcp-method";
/// What the body's `params.name` or `params.uri` says.
pub const NAME: &str = "mcp-name";
/// Begins the names of fields that say what an argument of a tool says.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// The last event seen on a stream that is to be resumed.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// One JSON object.
pub const JSON: &str = "application/json";
/// A stream of server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Whether a session id may stand in a header field.
#[must_use]
pub fn is_session_id(value: &str) -> bool {
    // MCP 2025-11-25, Session Management: only visible ASCII characters, 0x21 to 0x7E.
    !value.is_empty() && value.len() <= 1024 && value.bytes().all(|byte| matches!(byte, 0x21..=0x7E))
}
