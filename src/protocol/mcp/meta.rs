//! Reserved members of `_meta`, and taking those of the request's envelope out again.
//! [MCP 2026-07-28, `_meta`](https://modelcontextprotocol.io/specification/2026-07-28/basic/index#meta)

use crate::protocol::mcp::object;
use crate::protocol::mcp::splice::{Edit, Span};

/// The version of the protocol that a request speaks.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// What the client is.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the client can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The least severe log message that the client wants for this request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// What the server is.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Which `subscriptions/listen` a message belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

const ENVELOPE: [&str; 4] = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL];

/// Whether a member of `_meta` is one of the envelope.
#[must_use]
pub fn is_of_envelope(name: &str) -> bool {
    ENVELOPE.contains(&name)
}

/// The edits that take the envelope out of a `_meta` that stands at `at` in its message, and leave the rest as it is.
///
/// A server that speaks both eras decides by these members which of them a request is of; on a session's connection
/// they would make it one of neither.
#[must_use]
pub fn without_envelope(meta: &str, at: Span) -> Vec<Edit<'static>> {
    object::without(meta, at, is_of_envelope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mcp::splice;

    fn stripped(meta: &str) -> String {
        let text = format!("xx{meta}y");
        let mut edits = without_envelope(meta, Span::new(2, 2 + meta.len()));
        String::from_utf8(splice::splice(text.as_bytes(), &mut edits, false).to_vec()).unwrap()
    }

    #[test]
    fn the_envelope_goes_and_every_other_byte_stays() {
        let (v, c) = (PROTOCOL_VERSION, CLIENT_CAPABILITIES);
        for (meta, left) in [
            ("{}".to_owned(), "{}"),
            (format!(r#"{{"{v}":"2026-07-28"}}"#), "{}"),
            (format!(r#"{{ "{v}" : "x" , "{c}":{{"a":[1,2]}} }}"#), "{ }"),
            (format!(r#"{{"{v}":"x","progressToken" : 1.50 ,"{c}":{{}}}}"#), r#"{"progressToken" : 1.50}"#),
            (format!(r#"{{"a":{{"{v}":1}},"{v}":"x","b":"{c}"}}"#), &format!(r#"{{"a":{{"{v}":1}},"b":"{c}"}}"#)),
            (format!(r#"{{"a":1,"{v}":"x","{c}":{{}},"b":2}}"#), r#"{"a":1,"b":2}"#),
            (r#"{"io.modelcontextprotocol\/logLevel":"info","a":1}"#.to_owned(), r#"{"a":1}"#),
        ] {
            assert_eq!(stripped(&meta), format!("xx{left}y"), "{meta}");
            assert!(serde_json::from_str::<serde_json::Value>(left).is_ok());
        }
    }
}
