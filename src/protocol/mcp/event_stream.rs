//! Server-sent events: cutting a stream into events, and writing one. [HTML, Server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html)

use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// A comment, which keeps a silent stream open.
pub const KEEP_ALIVE: &[u8] = b": keepalive\n\n";

/// One message as an event. The message must be on one line.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    let parts: [&[u8]; 3] = [b"event: message\ndata: ", message, b"\n\n"];
    Bytes::from(parts.concat())
}

/// The same with an id. The id must have no line break.
#[must_use]
pub fn frame_with_id(id: &str, message: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [b"id: ", id.as_bytes(), b"\nevent: message\ndata: ", message, b"\n\n"];
    Bytes::from(parts.concat())
}

/// An event without data, which tells where a stream is and when to come back should it break.
#[must_use]
pub fn priming(id: &str, retry: Duration) -> Bytes {
    // MCP 2025-11-25, Sending Messages: an id and an empty data field; `retry` before a connection is closed.
    Bytes::from(format!("id: {id}\nretry: {}\ndata: \n\n", retry.as_millis()))
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `data`, its lines joined by line feeds; may be empty.
    pub data: Bytes,
    /// The last `id` up to here.
    pub id: Option<String>,
    /// `event`; empty is `message`.
    pub name: String,
}

impl Event {
    /// Whether it carries a JSON-RPC message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        !self.data.is_empty() && (self.name.is_empty() || self.name == "message")
    }
}

/// Cuts the bytes of a stream into events, whatever pieces they come in.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    line: BytesMut,
    after_carriage_return: bool,
    first_line: bool,
    data: Option<BytesMut>,
    name: String,
    id: Option<String>,
    retry: Option<u64>,
}

/// An event is larger than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is too large")]
pub struct TooLarge;

impl Parser {
    /// A parser of a new stream. An event may have `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: BytesMut::new(),
            after_carriage_return: false,
            first_line: true,
            data: None,
            name: String::new(),
            id: None,
            retry: None,
        }
    }

    /// Takes the next piece; gives the events that end in it.
    ///
    /// # Errors
    /// An event larger than the limit. The parser is of no use after that.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        let mut rest = piece;
        if self.after_carriage_return && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_carriage_return = false;
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, tail) = rest.split_at(end);
            self.extend_line(line)?;
            let line = self.line.split();
            events.extend(self.take_line(&line)?);
            rest = match tail {
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                [] => &[],
            };
            self.after_carriage_return = tail == b"\r";
        }
        self.extend_line(rest)?;
        Ok(events)
    }

    /// How long to wait before the stream is opened again, in milliseconds, if the server said so.
    #[must_use]
    pub const fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// The last id seen.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        let held = self.line.len() + self.data.as_ref().map_or(0, BytesMut::len);
        if held + part.len() > self.limit {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Event>, TooLarge> {
        let line = if std::mem::take(&mut self.first_line) {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.extend_from_slice(b"\n");
                    data.extend_from_slice(value);
                }
                None => self.data = Some(BytesMut::from(value)),
            },
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" => {
                self.retry = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()).or(self.retry)
            }
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take()?.freeze();
        Some(Event { data, id: self.id.clone(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\nid: 7\rdata\n\nevent: message\ndata: {\"a\":\ndata:1}\r\n\r\nretry: 50\nevent: x\n\ndata: b\n\ndata: cut";

    fn events(piece_length: usize) -> Vec<(String, Option<String>)> {
        let mut parser = Parser::new(64);
        let pieces = STREAM.as_bytes().chunks(piece_length);
        let events: Vec<Event> = pieces.flat_map(|piece| parser.push(piece).unwrap()).collect();
        assert_eq!((parser.retry(), parser.last_id()), (Some(50), Some("7")));
        events.into_iter().map(|event| (String::from_utf8(event.data.to_vec()).unwrap(), event.id)).collect()
    }

    #[test]
    fn events_are_the_same_in_whatever_pieces_they_come() {
        let seven = Some("7".to_owned());
        let expected =
            [(String::new(), seven.clone()), ("{\"a\":\n1}".to_owned(), seven.clone()), ("b".to_owned(), seven)];
        for length in 1..STREAM.len() {
            assert_eq!(events(length), expected, "pieces of {length}");
        }
    }

    #[test]
    fn proxy_13_an_event_without_end_is_refused() {
        let mut parser = Parser::new(100);
        assert!(parser.push(&[b'x'; 60]).is_ok());
        assert_eq!(parser.push(&[b'x'; 60]), Err(TooLarge));
        let mut parser = Parser::new(100);
        assert!(parser.push(b"data: 12345678901234567890123456789012345678901234567890\n").is_ok());
        assert_eq!(parser.push(b"data: 12345678901234567890123456789012345678901234567890\n"), Err(TooLarge));
    }

    #[test]
    fn a_frame_is_read_back() {
        let events = Parser::new(100).push(&frame(b"{}")).unwrap();
        assert!(events.len() == 1 && events.iter().all(|event| event.is_message() && event.data == "{}"));
        let mut parser = Parser::new(100);
        let events = parser.push(&[priming("a", Duration::from_secs(2)), frame_with_id("b", b"{}")].concat()).unwrap();
        let read: Vec<_> = events.iter().map(|event| (event.id.as_deref(), event.is_message())).collect();
        assert_eq!((read, parser.retry()), (vec![(Some("a"), false), (Some("b"), true)], Some(2000)));
    }
}
