//! The header fields of a request to the MCP endpoint, read in one pass.

use actix_web::http::header::{HeaderMap, HeaderValue};

use crate::bridge::PostRequest;
use crate::protocol::mcp::header as mcp;
use crate::protocol::mcp::mirror::Field;

/// What the header says.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    /// What matters to the bridge, of whatever method.
    pub request: PostRequest<'a>,
    /// `Accept`.
    pub accepted: Accepted,
    last_event_id: Field<'a>,
    content_type: Field<'a>,
}

/// What the client takes for an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepted {
    says_something: bool,
    names_json: bool,
    /// It named an event stream itself: who takes anything is not thereby ready for one.
    pub names_stream: bool,
    takes_anything: bool,
}

impl<'a> Fields<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// Names the field of which one value is meant and several came, or one that is no text: which of them counts, or how it
    /// reads, everybody on the way decides for himself. RFC 9110 §5.3. `Authorization` and what mirrors the body are looked at
    /// where they are read.
    pub fn read(headers: &'a HeaderMap) -> Result<Self, &'static str> {
        let mut fields = Self::default();
        let mut session_id = Field::Absent;
        for (name, value) in headers {
            match name.as_str() {
                mcp::SESSION_ID => note(&mut session_id, value),
                mcp::PROTOCOL_VERSION => note(&mut fields.request.protocol_version, value),
                mcp::LAST_EVENT_ID => note(&mut fields.last_event_id, value),
                mcp::METHOD => note(&mut fields.request.mirror.method, value),
                mcp::NAME => note(&mut fields.request.mirror.name, value),
                "accept" => fields.accepted.note(value),
                "content-type" => note(&mut fields.content_type, value),
                other => {
                    if let Some(rest) = other.strip_prefix(mcp::PARAM_PREFIX) {
                        let mut param = Field::Absent;
                        note(&mut param, value);
                        fields.request.mirror.params.push((rest, param));
                    }
                }
            }
        }
        let once = [
            ("Mcp-Session-Id", session_id),
            ("Last-Event-ID", fields.last_event_id),
            ("Content-Type", fields.content_type),
        ];
        if let Some((name, _)) = once.into_iter().find(|(_, field)| *field == Field::Unreadable) {
            return Err(name);
        }
        fields.request.session_id = text(session_id);
        fields.request.accepts_json = fields.accepted.takes_json();
        fields.request.accepts_event_stream = fields.accepted.names_stream;
        Ok(fields)
    }

    /// The event after which a stream is to go on. HTML, Server-sent events: without one, an empty value is as good as none.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&'a str> {
        text(self.last_event_id).filter(|id| !id.is_empty())
    }
}

impl Accepted {
    /// Whether an answer of JSON may be sent; a client that says nothing takes anything.
    #[must_use]
    pub const fn takes_json(self) -> bool {
        self.names_json || self.takes_anything || !self.says_something
    }

    /// Whether an event stream may be sent.
    #[must_use]
    pub const fn takes_stream(self) -> bool {
        self.names_stream || self.takes_anything || !self.says_something
    }

    fn note(&mut self, value: &HeaderValue) {
        let Ok(value) = value.to_str() else { return };
        self.says_something = true;
        for range in value.split(',').map(|range| range.split(';').next().unwrap_or_default().trim_ascii()) {
            // RFC 9110 §8.3.1: types and subtypes are compared without regard to case.
            let is = |other: &str| range.eq_ignore_ascii_case(other);
            self.takes_anything |= is("*/*");
            self.names_json |= is("application/*") || is(mcp::JSON);
            self.names_stream |= is("text/*") || is(mcp::EVENT_STREAM);
        }
    }
}

fn note<'a>(field: &mut Field<'a>, value: &'a HeaderValue) {
    *field = match (*field, value.to_str()) {
        (Field::Absent, Ok(text)) => Field::of(Some(text)),
        _ => Field::Unreadable,
    };
}

const fn text(field: Field<'_>) -> Option<&str> {
    match field {
        Field::Text(text) => Some(text),
        Field::Absent | Field::Unreadable => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;
    use crate::protocol::mcp::mirror::Mirror;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn each_field_is_read_where_it_is_meant() {
        let all = [
            ("mcp-session-id", "s"),
            ("mcp-protocol-version", " 2026-07-28 "),
            ("last-event-id", ""),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?ZQ==?="),
            ("mcp-param-region", "eu"),
            ("mcp-params", "no"),
            ("content-type", "application/json"),
            ("x-other", "a"),
            ("x-other", "b"),
        ];
        let headers = headers(&all);
        let fields = Fields::read(&headers).unwrap();
        assert_eq!((fields.request.session_id, fields.last_event_id()), (Some("s"), None));
        assert_eq!(fields.request.protocol_version, Field::Text("2026-07-28"));
        let params = vec![("region", Field::Text("eu"))];
        let expected = Mirror { method: Field::Text("tools/call"), name: Field::Text("=?base64?ZQ==?="), params };
        assert_eq!(fields.request.mirror, expected);
    }

    #[test]
    fn smug_what_comes_twice_or_is_no_text_has_no_value() {
        for (name, told) in
            [("mcp-session-id", "Mcp-Session-Id"), ("last-event-id", "Last-Event-ID"), ("content-type", "Content-Type")]
        {
            assert_eq!(Fields::read(&headers(&[(name, "a"), (name, "a")])).unwrap_err(), told);
            let mut garbled = headers(&[]);
            garbled.insert(HeaderName::from_static(name), HeaderValue::from_bytes(b"\xe9").unwrap());
            assert_eq!(Fields::read(&garbled).unwrap_err(), told);
        }
        let twice = headers(&[("mcp-name", "a"), ("mcp-name", "a"), ("mcp-param-a", "1"), ("mcp-param-a", "1")]);
        let mirror = Fields::read(&twice).unwrap().request.mirror;
        assert_eq!((mirror.name, mirror.params.len()), (Field::Unreadable, 2));
    }

    #[test]
    fn what_is_taken_and_what_is_named() {
        for (accept, json, stream, named) in [
            (None, true, true, false),
            (Some(""), false, false, false),
            (Some("*/*"), true, true, false),
            (Some("application/json, text/event-stream"), true, true, true),
            (Some("text/html;q=0.9 , Application/JSON; q=1"), true, false, false),
            (Some("text/*"), false, true, true),
            (Some("TEXT/*"), false, true, true),
            (Some("application/*"), true, false, false),
            (Some("Application/*"), true, false, false),
            (Some("image/png"), false, false, false),
        ] {
            let headers = headers(&accept.map_or(Vec::new(), |accept| vec![("accept", accept)]));
            let accepted = Fields::read(&headers).unwrap().accepted;
            let got = (accepted.takes_json(), accepted.takes_stream(), accepted.names_stream);
            assert_eq!(got, (json, stream, named), "{accept:?}");
        }
        let several = headers(&[("accept", "application/json"), ("accept", "text/event-stream")]);
        let accepted = Fields::read(&several).unwrap().accepted;
        assert!(accepted.takes_json() && accepted.names_stream);
    }
}
