//! The id of an event: which stream of its session it was sent on, and where on it. [MCP 2025-11-25, Resumability](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery)

use std::fmt;

/// A stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamId {
    /// The one on which a request is answered.
    Call(u64),
    /// One that a client opened to listen. Each that is opened anew is another stream.
    Listening(u64),
}

/// An event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Its stream.
    // MCP 2025-11-25: ids SHOULD encode the stream they came from.
    pub stream: StreamId,
    /// Its place: larger than that of every event before it. 0 is before the first.
    pub number: u64,
}

impl EventId {
    /// Reads what a client sends. Each id is written in one way only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(1)?;
        let (stream, number) = rest.split_once('-')?;
        let (stream, number) = (plain_number(stream)?, plain_number(number)?);
        match kind {
            "p" => Some(Self { stream: StreamId::Call(stream), number }),
            "g" => Some(Self { stream: StreamId::Listening(stream), number }),
            _ => None,
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the methods that open them: POST and GET.
        match self.stream {
            StreamId::Call(stream) => write!(f, "p{stream}-{}", self.number),
            StreamId::Listening(stream) => write!(f, "g{stream}-{}", self.number),
        }
    }
}

fn plain_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_and_nothing_else_is_one() {
        for stream in [StreamId::Call(7), StreamId::Listening(u64::MAX)] {
            let id = EventId { stream, number: 40 };
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
        for text in
            ["", "p", "p1", "p1-", "p-1", "q1-1", "p01-1", "p1-+1", "p1-1 ", "1-1", "é1-1", "p1-99999999999999999999"]
        {
            assert_eq!(EventId::parse(text), None, "{text:?}");
        }
    }
}
