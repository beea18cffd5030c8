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

/// The beginning of an event whose message follows in pieces, then [`END`]. The id must have no line break.
#[must_use]
pub fn head(id: Option<&str>) -> Bytes {
    Bytes::from(match id {
        Some(id) => format!("id: {id}\nevent: message\ndata: "),
        None => "event: message\ndata: ".to_owned(),
    })
}

/// The end of an event that was begun with [`head`].
pub const END: &[u8] = b"\n\n";
/// The end of one whose message broke off. The last name of an event counts, and one that is not named `message` is none to an
/// MCP client: it passes over what came of it.
pub const ABANDONED: &[u8] = b"\nevent: abandoned\n\n";

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
        !self.data.is_empty() && is_message_name(&self.name)
    }
}

fn is_message_name(name: &str) -> bool {
    name.is_empty() || name == "message"
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
    /// In the value of a `data` line of an event that is read by [`Parser::rest`]; whether at its first byte.
    in_data: Option<bool>,
}

/// How far [`Parser::rest`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How many bytes of the piece it took.
    pub used: usize,
    /// Whether the event is over, and if so, whether it carries a message.
    pub over: Option<bool>,
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
            in_data: None,
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

    /// The data so far of an event that has not ended, if it has `least` bytes and may be a message.
    #[must_use]
    pub fn under_way(&self, least: usize) -> Option<Bytes> {
        if self.line.len() + self.data.as_ref().map_or(0, BytesMut::len) < least || !is_message_name(&self.name) {
            return None;
        }
        let line = self.line.strip_prefix(b"data:").map(|value| value.strip_prefix(b" ").unwrap_or(value));
        match (&self.data, line) {
            (Some(data), Some(line)) => Some(Bytes::from([data, &b"\n"[..], line].concat())),
            (Some(data), None) => Some(Bytes::copy_from_slice(data)),
            (None, line) => line.map(Bytes::copy_from_slice),
        }
    }

    /// Forgets the data of the event that is under way. From now on, until it is over, [`Parser::rest`] is to be called.
    pub fn begin_rest(&mut self) {
        self.in_data = self.line.strip_prefix(b"data:").map(<[u8]>::is_empty);
        if self.in_data.is_some() {
            self.line = BytesMut::new();
        }
        self.data = None;
    }

    /// Takes the next piece of an event that is under way, and writes what it holds of the data to `out`.
    ///
    /// # Errors
    /// Something else than data is larger than the limit. The parser is of no use after that.
    pub fn rest(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<Rest, TooLarge> {
        let mut used = 0;
        while let Some(rest) = piece.get(used..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.after_carriage_return) && rest.starts_with(b"\n") {
                used += 1;
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.rest_of_line(line, out)?;
            used += line.len();
            let Some(end) = end else { break };
            used += 1;
            self.after_carriage_return = rest.get(end) == Some(&b'\r');
            if self.in_data.take().is_some() {
                continue;
            }
            let line = self.line.split();
            if line.is_empty() {
                let is_message = is_message_name(&std::mem::take(&mut self.name));
                return Ok(Rest { used, over: Some(is_message) });
            }
            if line == b"data"[..] {
                out.push(b'\n');
            } else {
                self.take_line(&line)?;
            }
        }
        Ok(Rest { used, over: None })
    }

    fn rest_of_line(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let mut part = part;
        if self.in_data.is_none() {
            self.extend_line(part)?;
            let Some(value) = self.line.strip_prefix(b"data:") else { return Ok(()) };
            out.push(b'\n');
            self.in_data = Some(true);
            part = part.get(part.len() - value.len()..).unwrap_or_default();
            self.line = BytesMut::new();
        }
        if let (Some(is_first @ true), false) = (&mut self.in_data, part.is_empty()) {
            *is_first = false;
            part = part.strip_prefix(b" ").unwrap_or(part);
        }
        out.extend_from_slice(part);
        Ok(())
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
    fn an_event_that_is_read_on_the_way_has_the_same_data_in_whatever_pieces_it_comes() {
        let of = |text: &str, length: usize, least: usize| {
            let (mut parser, mut data, mut over) = (Parser::new(64), None::<Vec<u8>>, None);
            for mut piece in text.as_bytes().chunks(length) {
                if let (Some(data), None) = (&mut data, over) {
                    let rest = parser.rest(piece, data).unwrap();
                    over = rest.over;
                    piece = &piece[rest.used..];
                }
                if data.is_none() || over.is_some() {
                    let events = parser.push(piece).unwrap();
                    assert!(events.is_empty() || over.is_some() && events[0].data == "next", "{events:?}");
                }
                if let (None, Some(head)) = (&data, parser.under_way(least)) {
                    data = Some(head.to_vec());
                    parser.begin_rest();
                }
            }
            (String::from_utf8(data.unwrap()).unwrap(), over, parser.last_id().map(str::to_owned))
        };
        let text = "id: 1\nevent: message\ndata: {\"a\":\"data: x\"\ndata\ndata:,\r\ndata:  1}\r\nretry: 5\nid: 2\n\ndata: next\n\n";
        for (length, least) in (1..15).flat_map(|length| (1..15).map(move |least| (length, least))) {
            let expected = ("{\"a\":\"data: x\"\n\n,\n 1}".to_owned(), Some(true), Some("2".to_owned()));
            assert_eq!(of(text, length, least), expected, "pieces of {length}, from {least} on");
            assert_eq!(of(&text.replace("retry: 5", "event: other"), length, least).1, Some(false));
        }
    }

    #[test]
    fn what_broke_off_is_no_message_and_what_follows_is() {
        let text = [&head(Some("7")), &b"{\"a\""[..], ABANDONED, &head(None), b"{}", END].concat();
        let events = Parser::new(100).push(&text).unwrap();
        let read: Vec<_> = events.iter().map(|event| (event.is_message(), event.data.as_ref())).collect();
        assert_eq!(read, [(false, &b"{\"a\""[..]), (true, b"{}")]);
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
