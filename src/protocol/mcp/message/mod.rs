//! One JSON-RPC message: what kind it is and where its parts stand. [JSON-RPC 2.0](https://www.jsonrpc.org/specification)

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::base::limit::Limit;
use crate::protocol::mcp::meta;
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object::{self, ObjectFault};
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{self, Edit, Span};

/// How deep objects and arrays may be nested. Nobody needs more; recursive parsers behind us cannot be driven deeper.
pub const MAX_DEPTH: usize = 64;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("JSON nesting of a client's message", MAX_DEPTH, "400")];

/// A message, as the bytes it came in, with the places of what was read from it.
#[derive(Clone, Debug)]
pub struct Message {
    text: Bytes,
    kind: Kind,
    has_line_breaks: bool,
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
    },
}

/// A member of `params` that the bridge reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the member of its name")]
pub enum Param {
    Name,
    Uri,
    Meta,
    Ref,
    RequestId,
    ProgressToken,
    Cursor,
    Level,
    ProtocolVersion,
    Capabilities,
    Arguments,
    Mode,
    Notifications,
    RequestState,
    InputResponses,
    ClientInfo,
}

const PARAMS: [&str; 16] = [
    "name",
    "uri",
    "_meta",
    "ref",
    "requestId",
    "progressToken",
    "cursor",
    "level",
    "protocolVersion",
    "capabilities",
    "arguments",
    "mode",
    "notifications",
    "requestState",
    "inputResponses",
    "clientInfo",
];

/// Where the members of `params` stand.
#[derive(Clone, Debug, Default)]
pub struct Params {
    whole: Option<Span>,
    members: [Option<Span>; PARAMS.len()],
    meta: Meta,
    reference: Reference,
    nulls: Nulls,
}

/// Where `null` stands in place of an object: it says no more than nothing would, but is in the way of what is added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nulls {
    /// In place of `params`.
    pub params: Option<Span>,
    /// In place of `params._meta`.
    pub meta: Option<Span>,
}

/// Where the members of `params._meta` stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta {
    /// `progressToken`.
    pub progress_token: Option<Span>,
    /// `io.modelcontextprotocol/protocolVersion`: it makes a request one of the stateless era.
    pub protocol_version: Option<Span>,
    /// `io.modelcontextprotocol/clientCapabilities`.
    pub client_capabilities: Option<Span>,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Option<Span>,
}

/// The members of `params.ref` of `completion/complete`.
#[derive(Clone, Copy, Debug, Default)]
struct Reference {
    name: Option<Span>,
    uri: Option<Span>,
}

impl Params {
    /// The place of all of it.
    #[must_use]
    pub const fn whole(&self) -> Option<Span> {
        self.whole
    }

    /// The place of a member's value.
    #[must_use]
    pub fn get(&self, param: Param) -> Option<Span> {
        self.members.get(param as usize).copied().flatten()
    }

    /// The place of `_meta.progressToken`.
    #[must_use]
    pub const fn wanted_progress(&self) -> Option<Span> {
        self.meta.progress_token
    }

    /// The places of what `_meta` says of the request itself.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Where `null` stands in place of what reads as absent.
    #[must_use]
    pub const fn nulls(&self) -> &Nulls {
        &self.nulls
    }

    /// The place of `ref.name`.
    #[must_use]
    pub const fn reference_name(&self) -> Option<Span> {
        self.reference.name
    }

    /// The place of `ref.uri`.
    #[must_use]
    pub const fn reference_uri(&self) -> Option<Span> {
        self.reference.uri
    }
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
        let (kind, has_line_breaks) = {
            let json = std::str::from_utf8(&text).map_err(|_| MessageFault::parse("it is not UTF-8"))?;
            if json.starts_with('\u{feff}') {
                return Err(MessageFault::parse("it begins with a byte-order mark"));
            }
            let has_line_breaks = shape(json.as_bytes(), max_depth)?;
            (kind(json)?, has_line_breaks)
        };
        Ok(Self { text, kind, has_line_breaks })
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

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The bytes at a place.
    #[must_use]
    pub fn bytes(&self, at: Span) -> &[u8] {
        self.text.get(at.start..at.end).unwrap_or_default()
    }

    /// The JSON at a place.
    #[must_use]
    pub fn json(&self, at: Span) -> &str {
        std::str::from_utf8(self.bytes(at)).unwrap_or_default()
    }

    /// The JSON string at a place, decoded; `None` when something else stands there.
    #[must_use]
    pub fn string(&self, at: Span) -> Option<Cow<'_, str>> {
        let json = self.json(at);
        let inner = json.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
    }

    /// The message with edits made to it, on one line.
    #[must_use]
    pub fn rewritten(&self, edits: &mut [Edit<'_>]) -> Bytes {
        if edits.is_empty() && !self.has_line_breaks {
            return self.text.clone();
        }
        splice::splice(&self.text, edits, self.has_line_breaks)
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

/// Looks at brackets and line breaks: refuses what is nested too deep, tells whether there is a line break.
fn shape(text: &[u8], max_depth: usize) -> Result<bool, MessageFault> {
    let (mut depth, mut deepest, mut has_line_breaks) = (0_usize, 0_usize, false);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_string(text, at),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'\n' | b'\r' => has_line_breaks = true,
            _ => {}
        }
    }
    if deepest > max_depth { Err(MessageFault::invalid("it is nested too deep")) } else { Ok(has_line_breaks) }
}

/// Where the string that began before `at` is over.
fn after_string(text: &[u8], mut at: usize) -> usize {
    loop {
        // What is large in a message is a string.
        let rest = text.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest).map(|found| (found, rest.get(found))) {
            None => return text.len(),
            Some((found, Some(b'"'))) => return at + found + 1,
            Some((found, _)) => at += found + 2,
        }
    }
}

fn kind(json: &str) -> Result<Kind, MessageFault> {
    let [version, id, method, params, result, error] =
        object::members(json, &["jsonrpc", "id", "method", "params", "result", "error"])
            .map_err(|fault| MessageFault::object(&fault))?;
    // JSON-RPC 2.0 §4: "jsonrpc" must be exactly "2.0".
    if version.and_then(decoded).as_deref() != Some("2.0") {
        return Err(MessageFault::invalid("\"jsonrpc\" is not \"2.0\""));
    }
    let span = |value: &RawValue| Span::of(value.get(), json);
    let Some(method) = method else { return answer(json, [id, params, result, error]) };
    if result.is_some() || error.is_some() {
        return Err(MessageFault::invalid("a method and a result in one message"));
    }
    let method = decoded(method).ok_or(MessageFault::invalid("the method is not a string"))?;
    let method = Method::parse(&method);
    let Some(id) = id else { return Ok(Kind::Notification { method, params: read_params(json, params)? }) };
    let id = checked_id(id)?;
    let params = read_params(json, params).map_err(|fault| MessageFault { id: Some(id.get().to_owned()), ..fault })?;
    let id = span(id).ok_or(MessageFault::invalid("no id"))?;
    Ok(Kind::Request { id, method, params })
}

fn answer(json: &str, [id, params, result, error]: [Option<&RawValue>; 4]) -> Result<Kind, MessageFault> {
    let id = id.ok_or(MessageFault::invalid("neither a method nor an id"))?;
    // Servers that write out all members of a structure write the other one as null.
    let error = error.filter(|error| error.get() != "null" || result.is_none());
    let result = result.filter(|result| result.get() != "null" || error.is_none());
    let result = match (result, error) {
        (Some(result), None) => Some(result),
        (None, Some(_)) => None,
        _ => return Err(MessageFault::invalid("an answer has either a result or an error")),
    };
    if params.is_some() {
        return Err(MessageFault::invalid("an answer has no params"));
    }
    // JSON-RPC 2.0 §5: the id of an error may be null when the request's could not be read.
    if id.get() == "null" && result.is_none() {
        return Ok(Kind::Answer { id: None, result: None });
    }
    let id = Span::of(checked_id(id)?.get(), json);
    Ok(Kind::Answer { id, result: result.and_then(|result| Span::of(result.get(), json)) })
}

fn checked_id(id: &RawValue) -> Result<&RawValue, MessageFault> {
    // MCP 2025-11-25, Base Protocol: an id is a string or an integer, never null.
    let legal = match id.get().as_bytes() {
        [b'"', ..] => decoded(id).is_some(),
        [b'-' | b'0'..=b'9', ..] => id.get().bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9')),
        _ => false,
    };
    if legal { Ok(id) } else { Err(MessageFault::invalid("the id is neither a string nor an integer")) }
}

fn read_params(json: &str, params: Option<&RawValue>) -> Result<Params, MessageFault> {
    let Some(params) = params else { return Ok(Params::default()) };
    let fault = |fault: ObjectFault| match fault {
        // It was JSON as part of the whole; so it is something other than an object.
        ObjectFault::NotAnObject(_) => MessageFault {
            code: reply::INVALID_PARAMS,
            ..MessageFault::invalid("params, _meta or ref is not an object")
        },
        other => MessageFault::object(&other),
    };
    let place = |value: Option<&RawValue>| value.and_then(|value| Span::of(value.get(), json));
    // Clients and servers that write out all members of a structure write those that are not set as null. Nobody acts on
    // one: what may be absent reads as absent, and what is needed is missed.
    if is_null(params) {
        return Ok(Params { nulls: Nulls { params: place(Some(params)), meta: None }, ..Params::default() });
    }
    let mut members = object::members(params.get(), &PARAMS).map_err(fault)?;
    let mut read = Params { whole: place(Some(params)), ..Params::default() };
    for param in [Param::Meta, Param::Cursor, Param::Arguments] {
        if let Some(null) = members.get_mut(param as usize).and_then(|value| value.take_if(|value| is_null(value)))
            && param == Param::Meta
        {
            read.nulls.meta = place(Some(null));
        }
    }
    let member = |param: Param| members.get(param as usize).copied().flatten();
    read.members = members.map(place);
    if let Some(meta) = member(Param::Meta) {
        let known = ["progressToken", meta::PROTOCOL_VERSION, meta::CLIENT_CAPABILITIES, meta::LOG_LEVEL];
        let [progress_token, protocol_version, client_capabilities, log_level] =
            object::members(meta.get(), &known).map_err(fault)?;
        read.meta = Meta {
            progress_token: place(progress_token.filter(|token| !is_null(token))),
            protocol_version: place(protocol_version),
            client_capabilities: place(client_capabilities),
            log_level: place(log_level),
        };
    }
    if let Some(reference) = member(Param::Ref) {
        let [name, uri] = object::members(reference.get(), &["name", "uri"]).map_err(fault)?;
        read.reference = Reference { name: place(name), uri: place(uri) };
    }
    Ok(read)
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

fn decoded(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(value.get()).ok().map(Cow::Owned) } else { Some(inner.into()) }
}

#[cfg(test)]
mod tests;
