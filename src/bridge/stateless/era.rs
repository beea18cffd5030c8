//! Which era a request is of.
//! [MCP 2026-07-28, Backward Compatibility](https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning#backward-compatibility-with-initialization-based-versions)

use std::sync::Arc;

use crate::bridge::session::Session;
use crate::bridge::{PostRequest, Refusal};
use crate::protocol::mcp::envelope::Envelope;
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::message::{Kind, Message};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::mirror::Field;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::Span;
use crate::protocol::mcp::version::ProtocolVersion;

/// The era of a request, and what the request brings with it.
#[derive(Clone, Debug)]
pub enum Era {
    /// 2025-03-26 to 2025-11-25: its session, if it has one.
    Session(Option<Arc<Session>>),
    /// 2026-07-28: its envelope.
    Stateless(Envelope),
}

/// Whether a request is one of the stateless era: its body says so; or its header does, and nothing else speaks of a
/// session.
///
/// Header fields of the new era alone do not make it one: clients of the old one send them, too.
#[must_use]
pub fn is_stateless(request: &PostRequest<'_>, message: &Message) -> bool {
    let (Kind::Request { method, params, .. } | Kind::Notification { method, params }) = message.kind() else {
        return false;
    };
    let header = is_of_stateless(request.protocol_version);
    match params.meta().protocol_version {
        Some(at) => header || !names_session_version(message, at),
        None => header && request.session_id.is_none() && *method != Method::Initialize,
    }
}

fn names_session_version(message: &Message, at: Span) -> bool {
    message.string(at).is_some_and(|name| ProtocolVersion::offered(&name).is_some())
}

fn is_of_stateless(header: Field<'_>) -> bool {
    matches!(header, Field::Text(text) if text == ProtocolVersion::STATELESS.as_str())
}

/// Checks `MCP-Protocol-Version` of a request of the session era; `id` is the request's, for the error.
///
/// # Errors
/// A version that is not spoken, or not the session's.
pub fn check_version(header: Field<'_>, session: Option<&Session>, id: &[u8]) -> Result<(), Refusal> {
    // MCP 2025-11-25, Protocol Version Header: absent is tolerated; invalid or unsupported is 400.
    let name = match header {
        Field::Absent => return Ok(()),
        Field::Unreadable => "",
        Field::Text(name) => name,
    };
    let known = ProtocolVersion::offered(name);
    if known.is_some_and(|version| session.is_none_or(|session| session.version == version)) {
        return Ok(());
    }
    let body = match session {
        Some(session) => {
            let data = serde_json::json!({"supported": [session.version.as_str()], "requested": name});
            reply::error_with_data(id, reply::UNSUPPORTED_VERSION, "Unsupported protocol version", Some(&data))
        }
        // What of this version comes here is no request of it. MCP 2026-07-28, Sending Messages: one request or notification.
        None if is_of_stateless(header) => {
            let text = "A POST of this version carries one request or one notification: no array, and no answer";
            return Err(Refusal::Malformed { body: reply::error(id, reply::INVALID_REQUEST, text) });
        }
        None => Fault::unsupported(name).body(id),
    };
    Err(Refusal::UnsupportedVersion { body })
}

/// Checks that a GET or DELETE is one of the session era.
///
/// # Errors
/// It is not.
pub fn check_verb(session_id: Option<&str>, header: Field<'_>) -> Result<(), Refusal> {
    // MCP 2026-07-28, Earlier Streamable HTTP Revisions: GET and DELETE are 405.
    if session_id.is_none() && is_of_stateless(header) { Err(Refusal::PostOnly) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn is(body: &str, header: Option<&str>, session_id: Option<&str>) -> bool {
        let request = PostRequest { session_id, protocol_version: Field::of(header), ..PostRequest::default() };
        is_stateless(&request, &Message::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap())
    }

    #[test]
    fn d_29_the_body_decides_then_the_header_where_there_is_no_session() {
        let of = |method: &str, meta: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{{{meta}}}}}}}"#)
        };
        let version = |name: &str| format!(r#""io.modelcontextprotocol/protocolVersion":"{name}""#);
        let (new, old) = (Some("2026-07-28"), Some("2025-11-25"));
        for (body, header, session_id, expected) in [
            (of("tools/list", &version("2026-07-28")), new, None, true),
            (of("tools/list", &version("2026-07-28")), None, Some("s"), true),
            (of("initialize", &version("2026-07-28")), new, None, true),
            (of("tools/list", &version("v9")), Some("v9"), None, true),
            (of("tools/list", &version("2025-11-25")), new, None, true),
            (of("tools/list", ""), new, None, true),
            (of("tools/list", &version("2025-11-25")), old, Some("s"), false),
            (of("tools/list", ""), new, Some("s"), false),
            (of("initialize", ""), new, None, false),
            (of("tools/list", ""), old, None, false),
            (of("tools/list", ""), None, None, false),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), new, None, false),
        ] {
            assert_eq!(is(&body, header, session_id), expected, "{body} {header:?} {session_id:?}");
        }
    }
}
