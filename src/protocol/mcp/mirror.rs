//! Header fields that say again what the body says, for those on the way who do not read it.
//! [MCP 2026-07-28, Request Metadata](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#request-metadata)

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::protocol::mcp::fault::Fault;

/// A header field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// It is not there.
    #[default]
    Absent,
    /// It comes twice, or holds what no field of ours may hold.
    Unreadable,
    /// Its value, without white space around it.
    Text(&'a str),
}

/// The fields of a request that mirror its body, beside the version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror<'a> {
    /// `Mcp-Method`.
    pub method: Field<'a>,
    /// `Mcp-Name`.
    pub name: Field<'a>,
    /// `Mcp-Param-…`: the rest of the name, in small letters, and the value.
    pub params: Vec<(&'a str, Field<'a>)>,
}

impl<'a> Field<'a> {
    /// A field that is there once or not at all.
    #[must_use]
    pub fn of(value: Option<&'a str>) -> Self {
        value.map_or(Self::Absent, |value| Self::Text(value.trim_ascii()))
    }

    /// The value, taken out of its Base64 wrapping if it has one; `Err` when it cannot be read.
    ///
    /// # Errors
    /// It comes twice, or is not what its encoding promises.
    pub fn decoded(self) -> Result<Option<Cow<'a, str>>, Fault> {
        let unreadable = || Fault::mismatch("Header mismatch: a header field comes twice or holds invalid characters");
        match self {
            Self::Absent => Ok(None),
            Self::Unreadable => Err(unreadable()),
            // MCP 2026-07-28, Value Encoding: the markers are case-sensitive; without both of them a value is literal.
            Self::Text(text) => match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
                None => Ok(Some(Cow::Borrowed(text))),
                Some(encoded) => {
                    let bytes = STANDARD.decode(encoded).map_err(|_| unreadable())?;
                    String::from_utf8(bytes).map(|text| Some(Cow::Owned(text))).map_err(|_| unreadable())
                }
            },
        }
    }

    /// Checks that the field is there and says just this.
    ///
    /// # Errors
    /// `HeaderMismatch`.
    pub fn must_say(self, name: &str, body: &str) -> Result<(), Fault> {
        match self {
            Self::Text(text) if text == body => Ok(()),
            Self::Absent => Err(Fault::mismatch(format!("Header mismatch: {name} is missing"))),
            _ => Err(Fault::mismatch(format!("Header mismatch: {name} does not say what the body says"))),
        }
    }
}

impl Mirror<'_> {
    /// The `Mcp-Param-…` fields that are text, as they came.
    pub fn readable_params(&self) -> impl Iterator<Item = (Box<str>, Box<str>)> {
        let text = |(name, field): &(&str, Field<'_>)| match field {
            Field::Text(text) => Some(((*name).into(), (*text).into())),
            Field::Absent | Field::Unreadable => None,
        };
        self.params.iter().filter_map(text)
    }

    /// Checks `Mcp-Method`.
    ///
    /// # Errors
    /// `HeaderMismatch`.
    pub fn check_method(&self, method: &str) -> Result<(), Fault> {
        // MCP 2026-07-28, Case Sensitivity: values are compared exactly.
        self.method.must_say("Mcp-Method", method)
    }

    /// Checks `Mcp-Name` of a method that has one. `name` is what the body says, in `name` or `uri`.
    ///
    /// # Errors
    /// `HeaderMismatch`.
    pub fn check_name(&self, name: Option<&str>) -> Result<(), Fault> {
        let fault = |what: &str| Err(Fault::mismatch(format!("Header mismatch: Mcp-Name {what}")));
        match (self.name.decoded()?, name) {
            (Some(said), Some(name)) if said == name => Ok(()),
            // MCP 2026-07-28, Standard Headers: required for these methods.
            (None, _) => fault("is missing"),
            (Some(_), Some(_)) => fault("does not say what the body says"),
            (Some(_), None) => fault("says something that the body does not"),
        }
    }
}

/// A value as a header field holds it.
#[must_use]
pub fn encoded(value: &str) -> Cow<'_, str> {
    // MCP 2026-07-28, Value Encoding: what a field cannot hold, and what would be taken for its wrapping, is wrapped.
    let is_plain = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        && !(value.starts_with(' ') || value.ends_with(' '))
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    if is_plain { Cow::Borrowed(value) } else { Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(value))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror<'a>(method: &'a str, name: Option<&'a str>) -> Mirror<'a> {
        Mirror { method: Field::of(Some(method)), name: Field::of(name), params: Vec::new() }
    }

    fn check(mirror: &Mirror<'_>, name: Option<&str>) -> Result<(), Fault> {
        mirror.check_method("tools/call").and_then(|()| mirror.check_name(name))
    }

    #[test]
    fn d_15_method_and_name_are_compared_exactly_after_decoding() {
        for (method, name) in [
            ("tools/call", "read"),
            ("tools/call", "  read\t"),
            ("tools/call", "=?base64?cmVhZA==?="),
            (" tools/call ", "read"),
        ] {
            assert_eq!(check(&mirror(method, Some(name)), Some("read")), Ok(()), "{method} {name}");
        }
        for (method, name) in [
            ("TOOLS/CALL", Some("read")),
            ("tools/call", Some("Read")),
            ("tools/call", None),
            ("tools/call", Some("=?BASE64?cmVhZA==?=")),
            ("tools/call", Some("=?base64?cmVhZA?=")),
            ("tools/call", Some("=?base64?cm!hZA==?=")),
            ("tools/call", Some("=?base64?/w==?=")),
            ("tools/call", Some("cmVhZA==")),
        ] {
            assert!(check(&mirror(method, name), Some("read")).is_err(), "{method} {name:?}");
        }
        for name in [Some("read"), Some(""), None] {
            assert!(check(&mirror("tools/call", name), None).is_err(), "{name:?}");
        }
        assert!(Mirror { method: Field::Unreadable, ..Mirror::default() }.check_method("tools/call").is_err());
        assert!(Mirror::default().check_method("tools/call").is_err());
        let wrapped = mirror("tools/call", Some("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="));
        assert_eq!(check(&wrapped, Some("=?base64?literal?=")), Ok(()));
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for (value, written) in [
            ("read", "read"),
            ("file:///a b", "file:///a b"),
            ("", ""),
            ("é", "=?base64?w6k=?="),
            (" a", "=?base64?IGE=?="),
            ("a\r\nX: y", "=?base64?YQ0KWDogeQ==?="),
            ("a\tb", "=?base64?YQli?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encoded(value), written);
            assert_eq!(Field::of(Some(written)).decoded().unwrap().unwrap(), value);
        }
    }
}
