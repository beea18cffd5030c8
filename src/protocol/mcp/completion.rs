//! What every result of 2026-07-28 has, added to one that has it not.
//! [MCP 2026-07-28, Responses](https://modelcontextprotocol.io/specification/2026-07-28/basic/index#responses),
//! [Caching](https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/caching)

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use crate::protocol::mcp::message::{Message, ResultParts};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::scan::{Scan, ScanFault};
use crate::protocol::mcp::splice::{Edit, Span};

/// Whose result it is, and so what its members mean.
#[derive(Clone, Copy, Debug)]
pub enum Server<'a> {
    /// A server's of an earlier version, in which `resultType`, `ttlMs` and `cacheScope` mean nothing; and what it is.
    Earlier(&'a Identity),
    /// The bridge's own; and what it is.
    Bridge(&'a Identity),
    /// A server's of this version: who it is only it can say.
    Same,
}

impl<'a> Server<'a> {
    const fn identity(self) -> Option<&'a Identity> {
        match self {
            Self::Earlier(identity) | Self::Bridge(identity) => Some(identity),
            Self::Same => None,
        }
    }
}

/// The answer `message` under the id `id`, its result completed: `resultType`, who the server is if that is not left to the server
/// itself, and for a cacheable one that it should not be cached.
///
/// What the result says already stays, and so does every other byte of it; but for what it says in words that its version does not
/// have: nobody is to take that for what it means in this one.
#[must_use]
pub fn completed(
    message: &Message,
    id: Edit<'_>,
    (result, parts): (Span, &ResultParts),
    server: Server<'_>,
    is_cacheable: bool,
) -> Bytes {
    let identity = server.identity();
    let mut has = Has {
        result_type: parts.result_type.map(|at| message.bytes(at) == b"\"complete\""),
        // Nobody is to be named.
        meta: parts.meta.is_some() || identity.is_none(),
        ttl: parts.ttl.is_some(),
        scope: parts.scope.is_some(),
    };
    let mut restated = Vec::new();
    match server {
        Server::Earlier(identity) if !(parts.is_clear && has.is_of_earlier(message, parts)) => {
            match meant(message, result, identity) {
                Ok(read) => (has, restated) = read,
                // It is no object.
                Err(_) => return message.rewritten(&mut [id]),
            }
        }
        // What may be read in two ways is not added to; another member that comes twice is the server's own affair.
        _ if parts.is_ambiguous || !message.bytes(result).starts_with(b"{") => return message.rewritten(&mut [id]),
        _ => {}
    }
    let nameless = parts.meta.filter(|_| parts.is_clear && parts.lacks_server_info).zip(identity);
    if has.all(is_cacheable) && nameless.is_none() && restated.is_empty() {
        return message.rewritten(&mut [id]);
    }
    let tail = has.lacking(identity, is_cacheable);
    let tail = if is_empty(message.bytes(result)) { tail.strip_prefix(',').unwrap_or_default() } else { &tail };
    let end = result.end().saturating_sub(1);
    let in_meta = nameless.map(|(own, identity)| {
        let close = if is_empty(message.bytes(own)) { "" } else { "," };
        (own.start() + 1, format!("{}{close}", identity.member()))
    });
    let mut edits: SmallVec<[Edit<'_>; 3]> = smallvec![id, Edit { at: Span::before(end), with: tail.as_bytes() }];
    edits.extend(in_meta.iter().map(|(at, with)| Edit { at: Span::before(*at), with: with.as_bytes() }));
    edits.extend(restated);
    message.rewritten(&mut edits)
}

/// What of a result of an earlier version this one would misunderstand, with what is meant; and what it then has.
fn meant<'a>(message: &Message, result: Span, identity: &'a Identity) -> Result<(Has, Vec<Edit<'a>>), ScanFault> {
    let json = message.json(result);
    let (mut has, mut edits) = (Has::default(), Vec::new());
    let mut scan = Scan::new(json, usize::MAX);
    scan.object(|scan, name| {
        let at = scan.value()?;
        let is_object = json.get(at.range()).is_some_and(|value| value.starts_with('{'));
        let meant = name.decoded().and_then(|name| has.meant(&name, is_object, identity));
        let place = Span::new(result.start() + at.start(), result.start() + at.end());
        edits.extend(meant.map(|with| Edit { at: place, with: with.as_bytes() }));
        Ok(())
    })?;
    Ok((has, edits))
}

/// What the server is (`Implementation`).
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// As all of `_meta`, after a comma.
    meta: Arc<str>,
}

const TYPE: &str = r#","resultType":"complete""#;
const META: &str = r#","_meta":{"#;
// Nothing is known of how long it stays true, nor for whom else it is: 0 and `private` are always right.
const TTL: &str = r#","ttlMs":0"#;
const SCOPE: &str = r#","cacheScope":"private""#;

impl Identity {
    /// `json` is an `Implementation`, on one line.
    #[must_use]
    pub fn new(json: &str) -> Self {
        Self { meta: format!(r#"{META}"{}":{json}}}"#, meta::SERVER_INFO).into() }
    }

    /// It, as a member of `_meta`.
    #[must_use]
    pub fn member(&self) -> &str {
        self.meta.get(META.len()..self.meta.len() - 1).unwrap_or_default()
    }

    /// All of `_meta`.
    fn meta(&self) -> &str {
        self.meta.get(META.len() - 1..).unwrap_or_default()
    }

    /// It, as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.member().get(meta::SERVER_INFO.len() + 3..).unwrap_or_default()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.json()).finish()
    }
}

/// What of all that a result has already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Has {
    /// `resultType`, and whether it is `complete`.
    pub result_type: Option<bool>,
    /// `_meta`.
    pub meta: bool,
    /// `ttlMs`.
    pub ttl: bool,
    /// `cacheScope`.
    pub scope: bool,
}

impl Has {
    /// Whether nothing is missing.
    const fn all(self, is_cacheable: bool) -> bool {
        self.result_type.is_some() && self.meta && (!is_cacheable || self.ttl && self.scope)
    }

    /// Whether a result of an earlier version has nothing that this one would misunderstand.
    fn is_of_earlier(self, message: &Message, parts: &ResultParts) -> bool {
        let is_object = parts.meta.is_none_or(|at| message.bytes(at).starts_with(b"{"));
        self.result_type != Some(false) && is_object && !self.ttl && !self.scope
    }

    /// Notes a member of a result of an earlier version; gives what has to stand for its value, if that is another.
    pub fn meant<'a>(&mut self, name: &str, is_object: bool, identity: &'a Identity) -> Option<&'a str> {
        match name {
            "resultType" => {
                self.result_type = Some(true);
                Some(value(TYPE))
            }
            "ttlMs" => {
                self.ttl = true;
                Some(value(TTL))
            }
            "cacheScope" => {
                self.scope = true;
                Some(value(SCOPE))
            }
            "_meta" => {
                self.meta = true;
                (!is_object).then(|| identity.meta())
            }
            _ => None,
        }
    }

    /// The members that are missing, each after a comma.
    #[must_use]
    pub fn lacking(self, identity: Option<&Identity>, is_cacheable: bool) -> Cow<'_, str> {
        // MCP 2026-07-28, Cacheable Results: only what is complete.
        let is_cacheable = is_cacheable && self.result_type.unwrap_or(true);
        let mut members = Cow::Borrowed("");
        for (member, is_lacking) in [
            (TYPE, self.result_type.is_none()),
            (identity.map_or("", |identity| &identity.meta), !self.meta),
            (TTL, is_cacheable && !self.ttl),
            (SCOPE, is_cacheable && !self.scope),
        ] {
            if is_lacking {
                members += member;
            }
        }
        members
    }
}

/// Of a member, its value.
fn value(member: &'static str) -> &'static str {
    member.split_once(':').map_or("", |(_, value)| value)
}

fn is_empty(object: &[u8]) -> bool {
    object.iter().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mcp::message::Kind;

    fn complete(result: &str, is_cacheable: bool) -> String {
        completed_by(result, is_cacheable, Server::Bridge(&Identity::new(r#"{"name":"s"}"#)))
    }

    fn completed_by(result: &str, is_cacheable: bool, server: Server<'_>) -> String {
        let text = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#);
        let message = Message::parse(Bytes::from(text)).unwrap();
        let Kind::Answer { id: Some(id), result: Some(at), parts } = message.kind() else { panic!() };
        let body = completed(&message, Edit { at: *id, with: b"\"a\"" }, (*at, parts), server, is_cacheable);
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.strip_prefix(r#"{"jsonrpc":"2.0","id":"a","result":"#).unwrap().strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn d_18_what_is_missing_is_added_and_nothing_else_changes() {
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#;
        for (result, expected) in [
            ("{}", format!(r#"{{"resultType":"complete","_meta":{{{server}}}}}"#)),
            ("{ }", format!(r#"{{ "resultType":"complete","_meta":{{{server}}}}}"#)),
            (r#"{"n":1.50 }"#, format!(r#"{{"n":1.50 ,"resultType":"complete","_meta":{{{server}}}}}"#)),
            (r#"{"_meta":{},"a":1}"#, format!(r#"{{"_meta":{{{server}}},"a":1,"resultType":"complete"}}"#)),
            (r#"{"_meta":{"x":1e2}}"#, format!(r#"{{"_meta":{{{server},"x":1e2}},"resultType":"complete"}}"#)),
            (r#"{"resultType":"x","_meta":null}"#, r#"{"resultType":"x","_meta":null}"#.to_owned()),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#.to_owned()),
            ("5", "5".to_owned()),
        ] {
            assert_eq!(complete(result, false), expected, "{result}");
        }
    }

    #[test]
    fn d_18_who_a_server_is_that_is_to_say_it_itself_is_not_said_for_it() {
        for (result, is_cacheable, expected) in [
            ("{}", false, r#"{"resultType":"complete"}"#),
            ("{}", true, r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#),
            (r#"{"_meta":{"x":1e2}}"#, false, r#"{"_meta":{"x":1e2},"resultType":"complete"}"#),
            (r#"{"_meta":{},"resultType":"complete" }"#, false, r#"{"_meta":{},"resultType":"complete" }"#),
            (
                r#"{"resultType":"complete","ttlMs":1}"#,
                true,
                r#"{"resultType":"complete","ttlMs":1,"cacheScope":"private"}"#,
            ),
        ] {
            assert_eq!(completed_by(result, is_cacheable, Server::Same), expected, "{result}");
        }
    }

    #[test]
    fn d_23_cache_hints_are_added_where_there_are_none() {
        let hinted = complete(r#"{"tools":[]}"#, true);
        assert!(hinted.ends_with(r#","ttlMs":0,"cacheScope":"private"}"#), "{hinted}");
        let own = complete(r#"{"tools":[],"ttlMs":5,"cacheScope":"public"}"#, true);
        assert!(!complete(r#"{"resultType":"input_required"}"#, true).contains("ttlMs"));
        assert!(own.contains(r#""ttlMs":5,"cacheScope":"public""#) && !own.contains("private"), "{own}");
    }

    #[test]
    fn d_18_and_23_words_that_a_servers_version_does_not_have_are_not_taken_for_this_ones() {
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#;
        let (named, hints) = (format!(r#""_meta":{{{server}}}"#), r#""ttlMs":0,"cacheScope":"private""#);
        let complete = r#""resultType":"complete""#;
        for (result, expected) in [
            (r#"{"a":1.50}"#, format!(r#"{{"a":1.50,{complete},{named},{hints}}}"#)),
            (r#"{"resultType":"complete"}"#, format!(r#"{{{complete},{named},{hints}}}"#)),
            (
                r#"{"resultType" : "input_required","requestState":"s" }"#,
                format!(r#"{{"resultType" : "complete","requestState":"s" ,{named},{hints}}}"#),
            ),
            (r#"{"result\u0054ype":{"a":[1]}}"#, format!(r#"{{"result\u0054ype":"complete",{named},{hints}}}"#)),
            (r#"{"resultType":null,"resultType":5}"#, format!("{{{complete},{complete},{named},{hints}}}")),
            (r#"{"_meta":null}"#, format!("{{{named},{complete},{hints}}}")),
            (
                r#"{"ttlMs":-5,"_meta":{"x":1}}"#,
                format!(r#"{{"ttlMs":0,"_meta":{{{server},"x":1}},{complete},"cacheScope":"private"}}"#),
            ),
            (
                r#"{"cacheScope":"public","ttlMs":6e9}"#,
                format!(r#"{{"cacheScope":"private","ttlMs":0,{complete},{named}}}"#),
            ),
            (r#"{"a":1,"a":2}"#, format!(r#"{{"a":1,"a":2,{complete},{named},{hints}}}"#)),
            (r#"{"ResultType":1}"#, format!(r#"{{"ResultType":1,{complete},{named},{hints}}}"#)),
            ("5", "5".to_owned()),
        ] {
            let identity = Identity::new(r#"{"name":"s"}"#);
            assert_eq!(completed_by(result, true, Server::Earlier(&identity)), expected, "{result}");
        }
    }
}
