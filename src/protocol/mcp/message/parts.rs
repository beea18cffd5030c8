//! What stands where in a result, as far as 2026-07-28 gives it a meaning.
//! [MCP 2026-07-28, Responses](https://modelcontextprotocol.io/specification/2026-07-28/basic/index#responses)

use std::cell::RefCell;

use crate::protocol::mcp::message::known::Known;
use crate::protocol::mcp::meta;
use crate::protocol::mcp::object::{self, Names, ObjectFault};
use crate::protocol::mcp::scan::{Scan, ScanFault};
use crate::protocol::mcp::splice::Span;

const MEMBERS: [&str; 4] = [TYPE, "_meta", "ttlMs", "cacheScope"];
const TYPE: &str = "resultType";
const META_AT: usize = 1;

thread_local! {
    /// What `_meta` was in which a server says who it is, and no more.
    static SERVERS: RefCell<Known<()>> = const { RefCell::new(Known::nothing()) };
}

/// Where the members of a result stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResultParts {
    /// `resultType`.
    pub result_type: Option<Span>,
    /// `_meta`.
    pub meta: Option<Span>,
    /// `ttlMs`.
    pub ttl: Option<Span>,
    /// `cacheScope`.
    pub scope: Option<Span>,
    /// Whether `_meta` is an object that can be read in one way only, and does not say what the server is.
    pub lacks_server_info: bool,
    /// Whether it is an object that can be read in one way only.
    pub is_clear: bool,
    /// Whether some parser could find another `resultType` in it.
    pub is_ambiguous: bool,
}

impl ResultParts {
    /// Reads what comes next as a result; gives its place, and what is in it.
    pub(super) fn read(scan: &mut Scan<'_>) -> Result<(Span, Self), ScanFault> {
        if !scan.is_at_object() {
            return Ok((scan.value()?, Self::default()));
        }
        let mut names = Names::new(&MEMBERS);
        let mut lacks_server_info = false;
        let whole = scan.object(|scan, name| {
            let which = names.which(name);
            let at = if which == Some(META_AT) {
                let (at, lacks) = read_meta(scan)?;
                lacks_server_info = lacks;
                at
            } else {
                scan.value()?
            };
            names.note(which, at);
            Ok(())
        })?;
        let ([result_type, meta, ttl, scope], fault) = names.end();
        let is_clear = fault.is_none();
        let is_ambiguous = matches!(fault, Some(ObjectFault::Duplicate(_) | ObjectFault::CaseFolded(_, TYPE)));
        Ok((whole, Self { result_type, meta, ttl, scope, lacks_server_info, is_clear, is_ambiguous }))
    }
}

/// Reads what comes next as `_meta` of a result; gives its place, and whether it is an object that does not say what the server is.
fn read_meta(scan: &mut Scan<'_>) -> Result<(Span, bool), ScanFault> {
    SERVERS.with_borrow_mut(|servers| {
        if let Some((at, ())) = servers.again(scan) {
            return Ok((at, false));
        }
        if !scan.is_at_object() {
            return Ok((scan.value()?, false));
        }
        let room = scan.room();
        let (at, names) = object::named(scan, &[meta::SERVER_INFO])?;
        let is_alone = names.others().is_empty();
        let found = names.places();
        if is_alone && matches!(found, Ok([Some(_)])) {
            servers.keep(scan.json().get(at.range()).unwrap_or_default(), room, ());
        }
        Ok((at, found == Ok([None])))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::mcp::message::{MAX_DEPTH, Message};

    fn read(text: &str, max_depth: usize) -> String {
        format!("{:?}", Message::parse_within(Bytes::copy_from_slice(text.as_bytes()), max_depth))
    }

    fn with_meta(meta: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"a":"b","_meta":{meta}}}}}"#)
    }

    #[test]
    fn whatever_was_read_before_a_result_is_read_the_same() {
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}"#;
        let nested = format!("{}1{}", r#"{"a":"#.repeat(MAX_DEPTH - 3), "}".repeat(MAX_DEPTH - 3));
        let texts: Vec<String> = [
            format!("{{{server}}}"),
            format!("{{{server},{server}}}"),
            format!("{{{server},\"a\":1}}"),
            format!("{{\n{server}}}"),
            format!("{{{server}}}, \"_meta\":{{}}"),
            format!("{{{}}}", server.replace("serverInfo", "ServerInfo")),
            format!("{{{}}}", server.replace("serverInfo", "server\\u0049nfo")),
            format!("{{{}}}", server.replace("\"s\"", "\"\\u0073\"")),
            format!(r#"{{"io.modelcontextprotocol/serverInfo":{nested}}}"#),
            "{}".to_owned(),
            "null".to_owned(),
        ]
        .iter()
        .map(|meta| with_meta(meta))
        .collect();
        let depths = [MAX_DEPTH, MAX_DEPTH - 1, 1000];
        let asked: Vec<(&String, usize)> = texts.iter().flat_map(|text| depths.map(|depth| (text, depth))).collect();
        let alone =
            |text: &String, depth| std::thread::scope(|scope| scope.spawn(|| read(text, depth)).join().unwrap());
        let anew: Vec<String> = asked.iter().map(|(text, depth)| alone(text, *depth)).collect();
        for (before, (text, depth)) in asked.iter().enumerate() {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    read(text, *depth);
                    let after: Vec<String> = asked.iter().map(|(text, depth)| read(text, *depth)).collect();
                    assert_eq!(after, anew, "after {before}");
                });
            });
        }
    }

    #[test]
    fn what_belongs_to_one_result_is_not_kept() {
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}"#;
        for meta in [format!("{{{server},\"secret\":1}}"), "{}".to_owned(), "{\"secret\":1}".to_owned()] {
            read(&with_meta(&meta), MAX_DEPTH);
        }
        assert!(SERVERS.with_borrow(Known::texts).is_empty());
        read(&with_meta(&format!("{{{server}}}")), MAX_DEPTH);
        assert_eq!(SERVERS.with_borrow(Known::texts), [format!("{{{server}}}")]);
    }
}
