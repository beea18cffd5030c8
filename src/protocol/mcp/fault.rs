//! Why a request of the stateless era is not served: a JSON-RPC error, answered with 400.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

/// A fault of the request itself.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// The JSON-RPC error code.
    pub code: i32,
    /// What is wrong.
    pub text: String,
    /// `error.data`.
    pub data: Option<Value>,
}

impl Fault {
    /// A parameter that is missing or cannot be right.
    #[must_use]
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { code: reply::INVALID_PARAMS, text: text.into(), data: None }
    }

    /// Header fields that do not say what the body says.
    #[must_use]
    pub fn mismatch(text: impl Into<String>) -> Self {
        Self { code: reply::HEADER_MISMATCH, text: text.into(), data: None }
    }

    /// A version that is not spoken here.
    #[must_use]
    pub fn unsupported(requested: &str) -> Self {
        // MCP 2026-07-28, Protocol Version Negotiation: list what is supported, echo what was requested.
        let supported = ProtocolVersion::SUPPORTED.map(ProtocolVersion::as_str);
        let data = json!({"supported": supported, "requested": requested});
        Self { code: reply::UNSUPPORTED_VERSION, text: "Unsupported protocol version".to_owned(), data: Some(data) }
    }

    /// Something that the client did not say it can do; `capabilities` is an object of capabilities.
    #[must_use]
    pub fn missing_capability(capabilities: &Value) -> Self {
        let data = json!({"requiredCapabilities": capabilities});
        let text = "This needs a capability that the client did not declare".to_owned();
        Self { code: reply::MISSING_CAPABILITY, text, data: Some(data) }
    }

    /// The JSON-RPC error. `id` is JSON.
    #[must_use]
    pub fn body(&self, id: &[u8]) -> Bytes {
        reply::error_with_data(id, self.code, &self.text, self.data.as_ref())
    }
}
