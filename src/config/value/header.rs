//! Header fields that are sent to an upstream (RFC 9110 §5.1, §5.5).

use crate::config::fault::Wrong;
use crate::config::reader::kind::shortened;

/// What the bridge writes itself: the framing of the message, and the protocol.
const OURS: [&str; 14] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// # Errors
/// A name that is no token, or that the bridge needs for itself.
pub fn check_name(name: &str) -> Result<(), Wrong> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        let problem = format!("`{}` cannot be the name of a header", shortened(name));
        return Err(Wrong::new(problem, "write one such as X-Team"));
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Wrong::new("is a header that the bridge writes itself", "remove it"));
    }
    Ok(())
}

/// # Errors
/// A value with line ends or other control characters, or with spaces around it.
pub fn check_value(value: &str) -> Result<(), Wrong> {
    let legal = |byte: u8| byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
    if !value.bytes().all(legal) {
        return Err(Wrong::new("has a value with a line end or another control character", "remove it"));
    }
    if value.trim() != value {
        return Err(Wrong::new("has a value with spaces around it", "remove them"));
    }
    Ok(())
}
