//! One JSON-RPC message: what kind it is and where its parts stand. [JSON-RPC 2.0](https://www.jsonrpc.org/specification)

mod known;
mod params;
mod parts;
mod request_meta;

pub use params::{Nulls, Param, Params};
pub use parts::ResultParts;
pub use request_meta::Meta;

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

use crate::base::limit::Limit;
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object::{Names, ObjectFault, decoded, plain};
use crate::protocol::mcp::reply;
use crate::protocol::mcp::scan::{Name, Scan, ScanFault};
use crate::protocol::mcp::splice::{self, Edit, Span};

/// How deep objects and arrays may be nested. Nobody needs more; recursive parsers behind us cannot be driven deeper.
pub const MAX_DEPTH: usize = 64;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("JSON nesting of a client's message", MAX_DEPTH, "400")];

/// A message, as the bytes it came in, with the places of what was read from it.
#[derive(Clone, Debug)]
pub struct Message {
    text: ByteString,
    kind: Kind,
    has_line_breaks: bool,
    has_escapes: bool,
}

/// What a message is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// It wants an answer.
    Request {
        /// Its id: a string or an integer, as written.
        id: Span,
        /// What is asked.
        method: Method,
        /// With what.
        params: Params,
    },
    /// It wants none.
    Notification {
        /// What happened.
        method: Method,
        /// To what.
        params: Params,
    },
    /// The answer to a request.
    Answer {
        /// The id of the request, as written; `None` for an error about something that could not be read.
        id: Option<Span>,
        /// `result`; `None` when it is an error.
        result: Option<Span>,
        /// What is in it.
        parts: ResultParts,
    },
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// Whatever is not one JSON-RPC 2.0 message that every parser would read in the same way.
    pub fn parse(text: Bytes) -> Result<Self, MessageFault> {
        Self::parse_within(text, MAX_DEPTH)
    }

    /// The same, with another bound of the nesting.
    ///
    /// # Errors
    /// See [`Message::parse`].
    pub fn parse_within(text: Bytes, max_depth: usize) -> Result<Self, MessageFault> {
        if text.len() > Span::FURTHEST {
            return Err(MessageFault::parse("it is too large"));
        }
        let text = ByteString::try_from(text).map_err(|_| MessageFault::parse("it is not UTF-8"))?;
        if text.starts_with('\u{feff}') {
            return Err(MessageFault::parse("it begins with a byte-order mark"));
        }
        let mut scan = Scan::new(&text, max_depth);
        let kind = kind(&mut scan)?;
        let (has_line_breaks, has_escapes) = (scan.has_line_breaks(), scan.has_escapes());
        Ok(Self { text, kind, has_line_breaks, has_escapes })
    }

    /// The message, once what decides about it is written plainly: its method, the names of its members, and those of its params that
    /// are known. What passes on passes as it came, and not everybody on the way takes an escape for what it stands for. `\/`, as PHP
    /// writes the slash of each method, hides nothing: it is written out.
    ///
    /// # Errors
    /// There is another escape in one of them.
    pub fn written_plainly(self) -> Result<Self, MessageFault> {
        if !self.has_escapes {
            return Ok(self);
        }
        let is_escaped = |name: Name<'_>, known: &[&str]| {
            name.has_escapes() && name.decoded().is_some_and(|name| known.contains(&&*name))
        };
        let (mut has_escaped, mut slashes) = (false, None);
        let mut scan = Scan::new(&self.text, usize::MAX);
        let _read_before = scan.object(|scan, name| {
            has_escaped |= is_escaped(name, &MEMBERS);
            if scan.is_at_object() && name.decoded().as_deref() == Some("params") {
                return scan
                    .object(|scan, name| {
                        has_escaped |= is_escaped(name, &params::PARAMS);
                        scan.value().map(drop)
                    })
                    .map(drop);
            }
            let value = scan.value()?;
            if name.decoded().as_deref() == Some("method") && self.json(value).contains('\\') {
                let plain = self.json(value).replace("\\/", "/");
                has_escaped |= plain.contains('\\');
                slashes = Some((value, plain));
            }
            Ok(())
        });
        if !has_escaped {
            return match slashes {
                Some((at, plain)) => Self::parse(self.rewritten(&mut [Edit { at, with: plain.as_bytes() }])),
                None => Ok(self),
            };
        }
        let id = match &self.kind {
            Kind::Request { id, .. } => Some(self.json(*id).to_owned()),
            Kind::Notification { .. } | Kind::Answer { .. } => None,
        };
        let text = "the method, and the names of members, are to be written without escapes";
        Err(MessageFault { id, ..MessageFault::invalid(text) })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its id, as written; `null` when it has none.
    #[must_use]
    pub fn id_or_null(&self) -> &[u8] {
        match &self.kind {
            Kind::Request { id, .. } | Kind::Answer { id: Some(id), .. } => self.bytes(*id),
            Kind::Notification { .. } | Kind::Answer { id: None, .. } => reply::NO_ID,
        }
    }

    /// All of it, as it came.
    #[must_use]
    pub fn whole(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// The same, as text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes at a place.
    #[must_use]
    pub fn bytes(&self, at: Span) -> &[u8] {
        self.json(at).as_bytes()
    }

    /// The JSON at a place.
    #[must_use]
    pub fn json(&self, at: Span) -> &str {
        self.text.get(at.range()).unwrap_or_default()
    }

    /// The JSON string at a place, decoded; `None` when something else stands there.
    #[must_use]
    pub fn string(&self, at: Span) -> Option<Cow<'_, str>> {
        let json = self.json(at);
        if self.has_escapes { decoded(json) } else { plain(json).map(Cow::Borrowed) }
    }

    /// The message with edits made to it, on one line.
    #[must_use]
    pub fn rewritten(&self, edits: &mut [Edit<'_>]) -> Bytes {
        if edits.is_empty() && !self.has_line_breaks {
            return self.whole().clone();
        }
        splice::splice(self.whole(), edits, self.has_line_breaks)
    }
}

/// Whether a text is a batch: an array of messages (2025-03-26 only).
#[must_use]
pub fn is_batch(text: &[u8]) -> bool {
    text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// The messages of a batch, each still to be read.
///
/// # Errors
/// Not an array, an empty one, or more than `limit` messages.
pub fn batch(text: &Bytes, limit: usize) -> Result<Vec<Bytes>, MessageFault> {
    let json = std::str::from_utf8(text).map_err(|_| MessageFault::parse("it is not UTF-8"))?;
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| MessageFault::parse("it is not JSON"))?;
    if items.is_empty() {
        return Err(MessageFault::invalid("an empty batch"));
    }
    if items.len() > limit {
        return Err(MessageFault::invalid("too many messages in one batch"));
    }
    Ok(items.into_iter().map(|item| text.slice_ref(item.get().as_bytes())).collect())
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct MessageFault {
    /// The JSON-RPC error code.
    pub code: i32,
    /// What is wrong.
    pub text: Cow<'static, str>,
    /// The id to answer to, as written, when it could be read.
    pub id: Option<String>,
}

impl MessageFault {
    const fn parse(text: &'static str) -> Self {
        Self { code: reply::PARSE_ERROR, text: Cow::Borrowed(text), id: None }
    }

    const fn invalid(text: &'static str) -> Self {
        Self { code: reply::INVALID_REQUEST, text: Cow::Borrowed(text), id: None }
    }

    fn object(fault: &ObjectFault) -> Self {
        let code = match fault {
            ObjectFault::NotAnObject(_) => reply::PARSE_ERROR,
            ObjectFault::Duplicate(_) | ObjectFault::CaseFolded(..) => reply::INVALID_REQUEST,
        };
        Self { code, text: Cow::Owned(fault.to_string()), id: None }
    }

    /// The JSON-RPC error that says so.
    #[must_use]
    pub fn body(&self) -> Bytes {
        reply::error(self.id.as_deref().map_or(reply::NO_ID, str::as_bytes), self.code, &self.text)
    }
}

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS_AT: usize = 3;
const RESULT_AT: usize = 4;

/// Reads all of a text, once.
fn kind(scan: &mut Scan<'_>) -> Result<Kind, MessageFault> {
    let json = scan.json();
    let mut names = Names::new(&MEMBERS);
    let (mut params, mut parts) = (Ok(Params::default()), ResultParts::default());
    let read = scan.object(|scan, name| {
        let which = names.which(name);
        let at = match which {
            Some(PARAMS_AT) => kept(Params::read(scan)?, &mut params),
            Some(RESULT_AT) => kept(ResultParts::read(scan)?, &mut parts),
            _ => scan.value()?,
        };
        names.note(which, at);
        Ok(())
    });
    read.and_then(|_| scan.end()).map_err(|fault| match fault {
        ScanFault::TooDeep => MessageFault::invalid("it is nested too deep"),
        // JSON-RPC 2.0 §5.1: what is JSON and no request is no parse error.
        ScanFault::NotJson(_) if serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok() => {
            MessageFault::invalid("it is not a JSON object")
        }
        fault @ ScanFault::NotJson(_) => MessageFault::object(&ObjectFault::of(fault, json)),
    })?;
    let [version, id, method, params_at, result, error] =
        names.places().map_err(|fault| MessageFault::object(&fault))?;
    let text = |at: Span| json.get(at.range()).unwrap_or_default();
    let has_escapes = scan.has_escapes();
    let string = |at: Span| if has_escapes { decoded(text(at)) } else { plain(text(at)).map(Cow::Borrowed) };
    // JSON-RPC 2.0 §4: "jsonrpc" must be exactly "2.0".
    if version.and_then(string).as_deref() != Some("2.0") {
        return Err(MessageFault::invalid("\"jsonrpc\" is not \"2.0\""));
    }
    let Some(method) = method else { return answer(json, [id, params_at, result, error], parts) };
    if result.is_some() || error.is_some() {
        return Err(MessageFault::invalid("a method and a result in one message"));
    }
    let method = string(method).ok_or(MessageFault::invalid("the method is not a string"))?;
    let method = Method::parse(&method);
    let Some(id) = id else { return Ok(Kind::Notification { method, params: params? }) };
    check_id(text(id))?;
    let params = params.map_err(|fault| MessageFault { id: Some(text(id).to_owned()), ..fault })?;
    Ok(Kind::Request { id, method, params })
}

fn answer(
    json: &str,
    [id, params, result, error]: [Option<Span>; 4],
    parts: ResultParts,
) -> Result<Kind, MessageFault> {
    let text = |at: Span| json.get(at.range()).unwrap_or_default();
    let id = id.ok_or(MessageFault::invalid("neither a method nor an id"))?;
    // Servers that write out all members of a structure write the other one as null.
    let error = error.filter(|error| text(*error) != "null" || result.is_none());
    let result = result.filter(|result| text(*result) != "null" || error.is_none());
    let result = match (result, error) {
        (Some(result), None) => Some(result),
        (None, Some(_)) => None,
        _ => return Err(MessageFault::invalid("an answer has either a result or an error")),
    };
    if params.is_some() {
        return Err(MessageFault::invalid("an answer has no params"));
    }
    // JSON-RPC 2.0 §5: the id of an error may be null when the request's could not be read.
    if text(id) == "null" && result.is_none() {
        return Ok(Kind::Answer { id: None, result: None, parts });
    }
    check_id(text(id))?;
    Ok(Kind::Answer { id: Some(id), result, parts })
}

/// Keeps what was read, and gives its place.
fn kept<T>((at, read): (Span, T), place: &mut T) -> Span {
    *place = read;
    at
}

fn check_id(id: &str) -> Result<(), MessageFault> {
    // MCP 2025-11-25, Base Protocol: an id is a string or an integer, never null.
    let legal = match id.as_bytes() {
        [b'"', ..] => decoded(id).is_some(),
        [b'-' | b'0'..=b'9', ..] => id.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9')),
        _ => false,
    };
    if legal { Ok(()) } else { Err(MessageFault::invalid("the id is neither a string nor an integer")) }
}

#[cfg(test)]
mod tests;
