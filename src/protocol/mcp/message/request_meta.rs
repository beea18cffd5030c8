//! What stands where in `params._meta`.
//!
//! A client of the stateless era says with every request what it speaks, is and can do, and says it in the same words ([`Known`]).

use std::cell::RefCell;

use crate::protocol::mcp::client_features::ClientFeatures;
use crate::protocol::mcp::message::known::Known;
use crate::protocol::mcp::meta;
use crate::protocol::mcp::object::{self, ObjectFault};
use crate::protocol::mcp::scan::{Scan, ScanFault};
use crate::protocol::mcp::splice::Span;

const MEMBERS: [&str; 4] = ["progressToken", meta::PROTOCOL_VERSION, meta::CLIENT_CAPABILITIES, meta::LOG_LEVEL];

thread_local! {
    /// Those in which nothing belongs to a request alone: the envelope, and no more. Its members' places are from its beginning.
    static ENVELOPES: RefCell<Known<Meta>> = const { RefCell::new(Known::nothing()) };
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
    /// What the capabilities say.
    pub features: ClientFeatures,
    /// Whether there may be tasks among the capabilities.
    pub may_have_tasks: bool,
}

impl Meta {
    fn moved(self, place: impl Fn(usize) -> usize) -> Self {
        let moved = |at: Option<Span>| at.map(|at| Span::new(place(at.start()), place(at.end())));
        Self {
            progress_token: moved(self.progress_token),
            protocol_version: moved(self.protocol_version),
            client_capabilities: moved(self.client_capabilities),
            log_level: moved(self.log_level),
            ..self
        }
    }
}

/// Reads what comes next as `_meta`; gives its place, and what is in it or what is wrong with that.
///
/// # Errors
/// It is no JSON.
pub(super) fn read(scan: &mut Scan<'_>) -> Result<(Span, Result<Meta, ObjectFault>), ScanFault> {
    ENVELOPES.with_borrow_mut(|envelopes| {
        if let Some((at, places)) = envelopes.again(scan) {
            return Ok((at, Ok(places.moved(|place| at.start() + place))));
        }
        if !scan.is_at_object() {
            let (at, fault) = object::part(scan, &MEMBERS)?;
            return Ok((at, fault.map(|_| Meta::default())));
        }
        let room = scan.room();
        let (at, names) = object::named(scan, &MEMBERS)?;
        let is_envelope = names.others().iter().all(|name| name == meta::CLIENT_INFO);
        let json = scan.json();
        let text = |at: Span| json.get(at.range()).unwrap_or_default();
        let read = names.places().map(|[progress_token, protocol_version, client_capabilities, log_level]| {
            let progress_token = progress_token.filter(|at| text(*at) != "null");
            let capabilities = client_capabilities.map(text).unwrap_or_default();
            Meta {
                progress_token,
                protocol_version,
                client_capabilities,
                log_level,
                features: ClientFeatures::read(capabilities),
                // With an escape it may be written in another way.
                may_have_tasks: capabilities.contains("tasks") || capabilities.contains('\\'),
            }
        });
        if let Ok(found @ Meta { progress_token: None, protocol_version: Some(_), .. }) = read
            && is_envelope
        {
            envelopes.keep(text(at), room, found.moved(|place| place - at.start()));
        }
        Ok((at, read))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::mcp::message::known::LONGEST;
    use crate::protocol::mcp::message::{MAX_DEPTH, Message};

    const VERSION: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;

    /// What comes of a text, on the thread that asks.
    fn read(text: &str, max_depth: usize) -> String {
        format!("{:?}", Message::parse_within(Bytes::copy_from_slice(text.as_bytes()), max_depth))
    }

    /// What comes of a text where none was read before.
    fn read_anew(text: &str, max_depth: usize) -> String {
        std::thread::scope(|scope| scope.spawn(|| read(text, max_depth)).join().unwrap())
    }

    fn kept() -> Vec<String> {
        ENVELOPES.with_borrow(Known::texts)
    }

    fn with_meta(meta: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","_meta":{meta}}}}}"#)
    }

    /// Texts that differ as little as can be, and are read in different ways.
    fn texts() -> Vec<String> {
        let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{"sampling":{}}"#;
        let info = r#""io.modelcontextprotocol/clientInfo":{"name":"n","version":"1"}"#;
        let whole = format!("{{{VERSION},{info},{capabilities}}}");
        let metas = [
            whole.clone(),
            format!("{{{VERSION}}}"),
            format!("{{ {VERSION} }}"),
            format!("{{{VERSION},{VERSION}}}"),
            format!("{{\n{VERSION}}}"),
            format!("{{{VERSION},\"progressToken\":1}}"),
            format!("{{{VERSION},\"progressToken\":null}}"),
            format!("{{{VERSION},\"a\":1}}"),
            format!("{{{VERSION},\"ProgressToken\":1}}"),
            format!("{{{VERSION},\"\\ud800\":1}}"),
            format!("{{{}}}", VERSION.replace("protocolVersion", "protocol\\u0056ersion")),
            format!("{{{}}}", VERSION.replace("2026", "2027")),
            format!("{{{VERSION},{info},{capabilities},\"io.modelcontextprotocol/logLevel\":\"info\"}}"),
            format!("{whole}{whole}"),
            format!("{whole}x"),
            format!("{whole}, \"_meta\":{whole}"),
            "{}".to_owned(),
            "null".to_owned(),
            whole.strip_suffix('}').unwrap_or_default().to_owned(),
        ];
        let mut texts: Vec<String> = metas.iter().map(|meta| with_meta(meta)).collect();
        texts.push(with_meta(&whole).replace("\"_meta\":", "\"_meta\" : \n\t "));
        texts.push(with_meta(&whole).replace("\"name\":\"x\"", "\"name\":\"another\""));
        texts.push(with_meta(&whole).replace("_meta", "_Meta"));
        texts
    }

    #[test]
    fn whatever_was_read_before_a_text_is_read_the_same() {
        let texts = texts();
        let anew: Vec<String> = texts.iter().map(|text| read_anew(text, MAX_DEPTH)).collect();
        for (before, text) in texts.iter().flat_map(|before| texts.iter().map(move |text| (before, text))) {
            let of_before = texts.iter().position(|other| other == before).and_then(|at| anew.get(at)).unwrap();
            let of_text = texts.iter().position(|other| other == text).and_then(|at| anew.get(at)).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for (text, expected) in [(before, of_before), (before, of_before), (text, of_text), (text, of_text)]
                    {
                        assert_eq!(&read(text, MAX_DEPTH), expected, "{text} after {before}");
                    }
                });
            });
        }
    }

    #[test]
    fn what_was_read_with_more_room_is_read_again_with_less() {
        let nested = |depth: usize| {
            let capabilities = format!("{}{}", r#"{"a":"#.repeat(depth), "1") + &"}".repeat(depth);
            with_meta(&format!(r#"{{{VERSION},"io.modelcontextprotocol/clientCapabilities":{capabilities}}}"#))
        };
        // The message, its params, and their `_meta` are three.
        let (fits, too_deep) = (nested(MAX_DEPTH - 3), nested(MAX_DEPTH - 2));
        for text in [&fits, &too_deep] {
            let deep = read(text, 1000);
            assert!(deep.starts_with("Ok"), "{deep}");
            assert_eq!(read(text, 1000), deep);
        }
        assert!(read(&fits, MAX_DEPTH).starts_with("Ok"));
        assert!(read(&too_deep, MAX_DEPTH).contains("nested too deep"));
        assert!(read(&fits, MAX_DEPTH - 1).contains("nested too deep"));
    }

    #[test]
    fn a_few_envelopes_are_kept_and_nothing_that_belongs_to_one_request() {
        let of = |level: &str| format!(r#"{{{VERSION},"io.modelcontextprotocol/logLevel":"{level}"}}"#);
        for number in 0..10 {
            read(&with_meta(&of(&number.to_string())), MAX_DEPTH);
        }
        assert_eq!(kept(), ["6", "7", "8", "9"].map(of), "the newest");
        let long = of(&"x".repeat(LONGEST));
        let secret = format!(r#"{{{VERSION},"com.example/token":"secret"}}"#);
        let followed = format!(r#"{{{VERSION},"progressToken":"secret"}}"#);
        for meta in [long.as_str(), &secret, &followed, "{}", "{\n}"] {
            read(&with_meta(meta), MAX_DEPTH);
        }
        read(&with_meta(&of("9")), MAX_DEPTH);
        assert_eq!(kept(), ["6", "7", "8", "9"].map(of), "nothing else came in, and nothing twice");
    }
}
