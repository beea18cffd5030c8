//! What a request of the stateless era says of itself and of its client.
//! [MCP 2026-07-28, Per-request protocol fields](https://modelcontextprotocol.io/specification/2026-07-28/basic/index#meta)

use crate::protocol::mcp::client_features::ClientFeatures;
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::message::{Message, Params};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::mirror::Field;
use crate::protocol::mcp::splice::Span;
use crate::protocol::mcp::version::ProtocolVersion;

/// The envelope of a request that speaks [`ProtocolVersion::STATELESS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// What its client can do for the server while this request is served.
    pub features: ClientFeatures,
    /// The least severe log message its client wants of it; `None`: none at all.
    pub log_level: Option<LogLevel>,
}

impl Envelope {
    /// Reads the envelope. `header` is `MCP-Protocol-Version`.
    ///
    /// # Errors
    /// What is missing or wrong, with the code that the specification gives it.
    pub fn read(message: &Message, params: &Params, header: Field<'_>) -> Result<Self, Fault> {
        let members = params.meta();
        check_version(message, required(members.protocol_version, meta::PROTOCOL_VERSION)?, header)?;
        let capabilities = required(members.client_capabilities, meta::CLIENT_CAPABILITIES)?;
        if !message.json(capabilities).starts_with('{') {
            return Err(not_of_type(meta::CLIENT_CAPABILITIES, "object"));
        }
        // MCP 2026-07-28, Logging, Error Handling: an unknown level is refused.
        let level = |at: Span| message.string(at).and_then(|name| LogLevel::parse(&name));
        let unknown = || Fault::invalid(format!("Unknown log level in _meta[{:?}]", meta::LOG_LEVEL));
        let log_level = members.log_level.map(|at| level(at).ok_or_else(unknown)).transpose()?;
        Ok(Self { features: members.features, log_level })
    }
}

/// Checks the version that a request or a notification names in its body. `header` is `MCP-Protocol-Version`.
///
/// # Errors
/// The header does not say the same, or it is another version.
pub fn check_version(message: &Message, version: Span, header: Field<'_>) -> Result<(), Fault> {
    let version = message.string(version).ok_or_else(|| not_of_type(meta::PROTOCOL_VERSION, "string"))?;
    // MCP 2026-07-28, Protocol Version Header: on every POST, and the same as in the body.
    header.must_say("MCP-Protocol-Version", &version)?;
    if *version == *ProtocolVersion::STATELESS.as_str() { Ok(()) } else { Err(Fault::unsupported(&version)) }
}

fn required(member: Option<Span>, name: &str) -> Result<Span, Fault> {
    // MCP 2026-07-28, Per-request protocol fields: a missing required field is -32602.
    member.ok_or_else(|| Fault::invalid(format!("Missing _meta[{name:?}]")))
}

fn not_of_type(name: &str, kind: &str) -> Fault {
    Fault::invalid(format!("_meta[{name:?}] is not a JSON {kind}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::mcp::message::Kind;
    use crate::protocol::mcp::reply;

    fn read(meta: &str, header: &str) -> Result<Envelope, i32> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{meta}}}}}"#);
        let message = Message::parse(Bytes::from(text)).unwrap();
        let Kind::Request { params, .. } = message.kind() else { panic!() };
        Envelope::read(&message, params, Field::of(Some(header))).map_err(|fault| fault.code)
    }

    #[test]
    fn d_13_each_fault_has_its_code() {
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{"sampling":{}}"#;
        let level = |name: &str| format!(r#""io.modelcontextprotocol/logLevel":{name}"#);
        let whole = format!("{{{version},{capabilities},{}}}", level("\"notice\""));
        let envelope = read(&whole, "2026-07-28").unwrap();
        assert_eq!(envelope.log_level, LogLevel::parse("notice"));
        assert!(envelope.features.sampling && !envelope.features.roots);
        for (meta, header, code) in [
            ("{}".to_owned(), "2026-07-28", reply::INVALID_PARAMS),
            (format!("{{{version}}}"), "2026-07-28", reply::INVALID_PARAMS),
            (format!("{{{capabilities}}}"), "2026-07-28", reply::INVALID_PARAMS),
            (format!("{{{version},{capabilities}}}"), "2025-11-25", reply::HEADER_MISMATCH),
            (format!("{{{version},{capabilities}}}"), "", reply::HEADER_MISMATCH),
            (whole.replace("2026-07-28", "v9"), "v9", reply::UNSUPPORTED_VERSION),
            (whole.replace("2026-07-28", "v9"), "2026-07-28", reply::HEADER_MISMATCH),
            (whole.replace("\"2026-07-28\"", "7"), "7", reply::INVALID_PARAMS),
            (whole.replace("{\"sampling\":{}}", "[]"), "2026-07-28", reply::INVALID_PARAMS),
            (whole.replace("notice", "loud"), "2026-07-28", reply::INVALID_PARAMS),
            (whole.replace("\"notice\"", "null"), "2026-07-28", reply::INVALID_PARAMS),
        ] {
            assert_eq!(read(&meta, header), Err(code), "{meta} {header}");
        }
    }
}
