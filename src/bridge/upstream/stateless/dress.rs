//! A request as an upstream without sessions wants it: with everything that is to be known of its client.
//! [MCP 2026-07-28, Per-request protocol fields](https://modelcontextprotocol.io/specification/2026-07-28/basic/index#meta)

use std::borrow::Cow;
use std::iter;

use bytes::Bytes;

use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::hello;
use crate::fetch::{self, FieldName};
use crate::protocol::mcp::header;
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::mirror;
use crate::protocol::mcp::object;
use crate::protocol::mcp::param_header;
use crate::protocol::mcp::splice::{Edit, Span};
use crate::protocol::mcp::version::ProtocolVersion;

/// The envelope of what the bridge asks on its own behalf, or for somebody of whom nothing is known: members of `_meta`.
pub const OWN_ENVELOPE: &str = concat!(
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"mcp-bridge","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""},"io.modelcontextprotocol/clientCapabilities":{}"#
);

/// `MCP-Protocol-Version`.
pub const PROTOCOL_VERSION: FieldName = FieldName::from_static(header::PROTOCOL_VERSION);
/// `Mcp-Method`.
pub const METHOD: FieldName = FieldName::from_static(header::METHOD);
/// `Mcp-Name`.
pub const NAME: FieldName = FieldName::from_static(header::NAME);

/// The members of `_meta` that stand for a session's client, but for the level of log messages. `capabilities` and
/// `client_info` are what it said in `initialize`, JSON.
#[must_use]
pub fn envelope(capabilities: &str, client_info: Option<&str>) -> String {
    // Nobody could ask for a task again: see `Hello::answered_as`.
    let capabilities = hello::without_tasks(capabilities).map_or(Cow::Borrowed(capabilities), Cow::Owned);
    let own = format!(r#"{{"name":"mcp-bridge","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
    let members = format!(
        r#""{}":"{}","{}":{},"{}":{capabilities}"#,
        meta::PROTOCOL_VERSION,
        ProtocolVersion::STATELESS,
        meta::CLIENT_INFO,
        client_info.unwrap_or(&own),
        meta::CLIENT_CAPABILITIES
    );
    members.replace(['\n', '\r'], " ")
}

/// The request `message` with `edits` and all that its upstream wants with it; notes in the call what goes into header
/// fields, with `in_header`, and what is needed to send it again.
#[must_use]
pub fn dress(call: &mut Call, message: &Message, edits: Vec<Edit<'_>>, in_header: bool) -> Bytes {
    // With room for those that live here alone.
    let mut edits: Vec<Edit<'_>> = edits;
    let Kind::Request { method, params, .. } = message.kind() else { return message.rewritten(&mut edits) };
    if in_header {
        call.onward.header = Some(fields(call, message, (method, params), &edits));
    }
    if let Owner::Direct(_) = &call.owner {
        // Its client said all of it itself.
        let capabilities = params.meta().client_capabilities.filter(|_| params.meta().may_have_tasks);
        let without = capabilities.and_then(|at| Some((at, hello::without_tasks(message.json(at))?)));
        edits.extend(without.iter().map(|(at, with)| Edit { at: *at, with: with.as_bytes() }));
        return message.rewritten(&mut edits);
    }
    let members = match call.owner.session() {
        Some(session) => {
            let level = session.level().map(|level| format!(r#","{}":"{}""#, meta::LOG_LEVEL, level.name()));
            format!("{}{}", session.envelope, level.unwrap_or_default())
        }
        None => OWN_ENVELOPE.to_owned(),
    };
    let (place, added) = enveloped(message, params, &members);
    edits.extend(place);
    edits.push(added.edit());
    let text = message.rewritten(&mut edits);
    if call.owner.session().is_some() && may_ask(method) {
        call.onward.sent = Some(text.clone());
    }
    text
}

/// MCP 2026-07-28, Supported Requests: only these may be answered by asking for more.
#[must_use]
pub const fn may_ask(method: &Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
}

/// Something that comes to stand between two bytes, or in place of a null.
#[derive(Debug)]
pub(super) struct Added {
    at: Span,
    with: String,
}

impl Added {
    /// `members` at the end of the object that stands at `at` in the message; `is_empty` when nothing else is in it.
    pub(super) fn last_in(at: Span, is_empty: bool, members: &str) -> Self {
        let end = at.end().saturating_sub(1);
        let at = Span::before(end);
        Self { at, with: format!("{}{members}", if is_empty { "" } else { "," }) }
    }

    pub(super) fn edit(&self) -> Edit<'_> {
        Edit { at: self.at, with: self.with.as_bytes() }
    }
}

/// The edits that put the envelope into a request of the session era, and take out what means something in this era and
/// nothing in that one.
fn enveloped(message: &Message, params: &Params, members: &str) -> (Vec<Edit<'static>>, Added) {
    if let Some(at) = params.nulls().params {
        return (Vec::new(), Added { at, with: format!(r#"{{"_meta":{{{members}}}}}"#) });
    }
    let Some(whole) = params.whole() else {
        let end = message.text().rfind('}').map_or(0, |brace| brace + 1);
        let members = format!(r#""params":{{"_meta":{{{members}}}}}"#);
        return (Vec::new(), Added::last_in(Span::new(0, end), false, &members));
    };
    let goes = |name: &str| matches!(name, "inputResponses" | "requestState");
    let mut edits = Vec::new();
    if params.get(Param::InputResponses).or(params.get(Param::RequestState)).is_some() {
        edits = object::without(message.json(whole), whole, goes);
    }
    if let Some(at) = params.nulls().meta {
        return (edits, Added { at, with: format!("{{{members}}}") });
    }
    let Some(at) = params.get(Param::Meta) else {
        let is_empty = !has_member(message.json(whole), |name| !goes(name));
        return (edits, Added::last_in(whole, is_empty, &format!(r#""_meta":{{{members}}}"#)));
    };
    let own = message.json(at);
    edits.extend(meta::without_envelope(own, at));
    (edits, Added::last_in(at, !has_member(own, |name| !meta::is_of_envelope(name)), members))
}

fn has_member(json: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    object::entries(json).is_ok_and(|entries| entries.iter().any(|(name, _)| is_meant(name)))
}

/// MCP 2026-07-28, Standard Request Headers, and Custom Headers from Tool Parameters.
fn fields(call: &Call, message: &Message, (method, params): (&Method, &Params), edits: &[Edit<'_>]) -> fetch::Own {
    let named = match method {
        Method::ToolsCall | Method::PromptsGet => params.get(Param::Name),
        Method::ResourcesRead => params.get(Param::Uri),
        _ => None,
    };
    let name = named.and_then(|at| {
        // As it will stand in the body: without the prefix that clients see.
        let edited = edits.iter().find(|edit| edit.at == at).and_then(|edit| serde_json::from_slice(edit.with).ok());
        edited.map(Cow::Owned).or_else(|| message.string(at)).map(|name| value(call, message, &name))
    });
    let mut own = match (method, name) {
        (Method::ToolsCall, Some(name)) => fetch::Own { place: Some(name), more: Vec::new() },
        (method, name) => {
            let name = name.map(|name| (NAME, name));
            fetch::Own { place: None, more: iter::once((METHOD, method.bytes())).chain(name).collect() }
        }
    };
    if let Some((repeated, arguments)) = call.onward.repeated.as_ref().zip(params.get(Param::Arguments)) {
        for (name, value) in param_header::fields(repeated, message.json(arguments)) {
            // What a schema names is a token.
            let name = FieldName::try_from(format!("{}{name}", header::PARAM_PREFIX));
            own.more.extend(name.map(|name| (name, Bytes::from(value))));
        }
    }
    let repeated = call.onward.repeated.as_deref().unwrap_or_default();
    for (name, value) in call.onward.param_fields.iter().flat_map(|fields| fields.iter()) {
        // MCP 2026-07-28, Server Behavior for Custom Headers: an intermediary passes on what it does not recognize.
        if !repeated.iter().any(|header| *header.name == **name) {
            let name = FieldName::try_from(format!("{}{name}", header::PARAM_PREFIX));
            own.more.extend(name.map(|name| (name, Bytes::copy_from_slice(value.as_bytes()))));
        }
    }
    own
}

/// A value as a header field holds it. Of a message that the call keeps anyway, as it does where a request has a name
/// ([`may_ask`]), nothing is copied.
fn value(call: &Call, message: &Message, value: &str) -> Bytes {
    match mirror::encoded(value) {
        Cow::Borrowed(plain) => match Span::of(plain, message.text()) {
            Some(at) if matches!(call.owner, Owner::Direct(_)) => message.whole().slice(at.range()),
            _ => Bytes::copy_from_slice(plain.as_bytes()),
        },
        Cow::Owned(encoded) => Bytes::from(encoded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dressed(body: &str) -> String {
        let message = Message::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let Kind::Request { params, .. } = message.kind() else { panic!() };
        let (mut edits, added) = enveloped(&message, params, r#""E":1"#);
        edits.push(added.edit());
        String::from_utf8(message.rewritten(&mut edits).to_vec()).unwrap()
    }

    #[test]
    fn the_envelope_is_spliced_in_and_every_other_byte_stays() {
        let of = |rest: &str| format!(r#"{{ "jsonrpc":"2.0","id" : 1,"method":"tools/call"{rest} }}"#);
        let v = r#""io.modelcontextprotocol/protocolVersion":"2025-11-25""#;
        for (before, after) in [
            ("".to_owned(), r#" ,"params":{"_meta":{"E":1}}"#.to_owned()),
            (r#","params":{}"#.to_owned(), r#","params":{"_meta":{"E":1}}"#.to_owned()),
            (r#","params" : {"n":1.0 }"#.to_owned(), r#","params" : {"n":1.0 ,"_meta":{"E":1}}"#.to_owned()),
            (r#","params":{"_meta":{},"a":"}"}"#.to_owned(), r#","params":{"_meta":{"E":1},"a":"}"}"#.to_owned()),
            (r#","params" : null"#.to_owned(), r#","params" : {"_meta":{"E":1}}"#.to_owned()),
            (r#","params":{"requestState":"x","_meta":null}"#.to_owned(), r#","params":{"_meta":{"E":1}}"#.to_owned()),
            (r#","params":{"_meta":null,"a":1}"#.to_owned(), r#","params":{"_meta":{"E":1},"a":1}"#.to_owned()),
            (r#","params":{"requestState":null}"#.to_owned(), r#","params":{"_meta":{"E":1}}"#.to_owned()),
            (r#","params":{"_meta":{"p":[5]}}"#.to_owned(), r#","params":{"_meta":{"p":[5],"E":1}}"#.to_owned()),
            (format!(r#","params":{{"_meta":{{{v}}}}}"#), r#","params":{"_meta":{"E":1}}"#.to_owned()),
            (format!(r#","params":{{"_meta":{{{v},"p":2}}}}"#), r#","params":{"_meta":{"p":2,"E":1}}"#.to_owned()),
            (r#","params":{"requestState":"x"}"#.to_owned(), r#","params":{"_meta":{"E":1}}"#.to_owned()),
            (
                r#","params":{"inputResponses":{},"a":1,"_meta":{"p":2},"requestState":"x"}"#.to_owned(),
                r#","params":{"a":1,"_meta":{"p":2,"E":1}}"#.to_owned(),
            ),
        ] {
            let got = dressed(&of(&before));
            // Without params, the space before the last brace comes to stand before them.
            assert_eq!(
                got.replace(" }", "}").replace(" ,", ","),
                of(&after).replace(" }", "}").replace(" ,", ","),
                "{before}"
            );
            assert!(serde_json::from_str::<serde_json::Value>(&got).is_ok(), "{got}");
        }
    }

    #[test]
    fn what_a_client_said_once_is_said_with_every_request() {
        let members = envelope(r#"{"sampling":{"tools":{}},"tasks":{}}"#, Some("{\"name\":\"c\",\n\"version\":\"1\"}"));
        let read: serde_json::Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
        assert_eq!(read[meta::CLIENT_CAPABILITIES], serde_json::json!({"sampling": {"tools": {}}}));
        assert_eq!(
            (&read[meta::CLIENT_INFO]["name"], &read[meta::PROTOCOL_VERSION]),
            (&"c".into(), &"2026-07-28".into())
        );
        assert!(!members.contains('\n'));
        assert!(serde_json::from_str::<serde_json::Value>(&format!("{{{OWN_ENVELOPE}}}")).is_ok());
    }
}
