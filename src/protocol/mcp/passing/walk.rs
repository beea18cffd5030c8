//! JSON read as it comes, in whatever pieces: whether it is JSON so far, and where its shallow parts begin and end. [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)

use crate::protocol::mcp::passing::PassFault;

/// How deep marks are given; what is deeper is only checked.
const MARKED: usize = 3;

/// Where a walk stands. What is to come must be one JSON value.
#[derive(Debug)]
pub struct Walk {
    state: State,
    /// Of each that is open, whether it is an object; the innermost last.
    open: Vec<bool>,
    max_depth: usize,
    /// The mark of this very place was given.
    is_told: bool,
}

/// Something begins before the next byte, or has ended with the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Before the first quote of a member's name.
    Name,
    /// After its last.
    NameEnd,
    /// Before a value, whose first byte is this.
    Value(u8),
    /// After it.
    ValueEnd,
    /// Before the brace that ends an object.
    Brace,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    After,
    /// In a string; whether it is a name.
    Text(bool),
    Escape(bool),
    /// In `\u`, with so many digits to come.
    Hex(bool, u8),
    Number(Number),
    /// In `true`, `false` or `null`, of which this is to come.
    Word(&'static [u8]),
    Done,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    const fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Digits, b'0'..=b'9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, b'.') => Some(Self::Point),
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Some(Self::E),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::E, b'+' | b'-') => Some(Self::Sign),
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Some(Self::Exponent),
            _ => None,
        }
    }

    const fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Digits | Self::Fraction | Self::Exponent)
    }
}

impl Walk {
    /// Nothing came yet.
    #[must_use]
    pub const fn new(max_depth: usize) -> Self {
        Self { state: State::Value, open: Vec::new(), max_depth, is_told: false }
    }

    /// How many objects and arrays are open.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.open.len()
    }

    /// Whether one whole value came.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Walks on; gives how many bytes it went, and the mark it stopped at, if any.
    ///
    /// # Errors
    /// It is no JSON, or nested too deep.
    pub fn step(&mut self, bytes: &[u8]) -> Result<(usize, Option<Mark>), PassFault> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (used, mark) = match self.state {
                State::Text(is_name) => self.text(rest, is_name)?,
                State::Number(_) | State::Word(_) | State::Escape(_) | State::Hex(..) => self.inside(rest)?,
                _ => self.between(rest)?,
            };
            at += used;
            if mark.is_some() {
                return Ok((at, mark));
            }
        }
        Ok((at, None))
    }

    fn text(&mut self, rest: &[u8], is_name: bool) -> Result<(usize, Option<Mark>), PassFault> {
        // What is large in a message is a string.
        let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (inner, after) = rest.split_at(end);
        if inner.iter().any(|byte| *byte < 0x20) {
            return Err(PassFault::NotJson);
        }
        match after.first() {
            None => Ok((end, None)),
            Some(b'\\') => {
                self.state = State::Escape(is_name);
                Ok((end + 1, None))
            }
            Some(_) => {
                self.state = if is_name { State::Colon } else { self.after() };
                Ok((end + 1, self.marked(if is_name { Mark::NameEnd } else { Mark::ValueEnd })))
            }
        }
    }

    fn inside(&mut self, rest: &[u8]) -> Result<(usize, Option<Mark>), PassFault> {
        let Some(byte) = rest.first().copied() else { return Ok((0, None)) };
        self.state = match self.state {
            State::Escape(is_name) if br#""\/bfnrt"#.contains(&byte) => State::Text(is_name),
            State::Escape(is_name) if byte == b'u' => State::Hex(is_name, 4),
            State::Hex(is_name, 1) if byte.is_ascii_hexdigit() => State::Text(is_name),
            State::Hex(is_name, left) if byte.is_ascii_hexdigit() => State::Hex(is_name, left - 1),
            State::Word([first, more @ ..]) if byte == *first => match more {
                [] => {
                    self.state = self.after();
                    return Ok((1, self.marked(Mark::ValueEnd)));
                }
                more => State::Word(more),
            },
            State::Number(number) => match number.next(byte) {
                Some(next) => State::Number(next),
                None if number.may_end() => {
                    self.state = self.after();
                    return Ok((0, self.marked(Mark::ValueEnd)));
                }
                None => return Err(PassFault::NotJson),
            },
            _ => return Err(PassFault::NotJson),
        };
        Ok((1, None))
    }

    fn between(&mut self, rest: &[u8]) -> Result<(usize, Option<Mark>), PassFault> {
        let Some(byte) = rest.first().copied() else { return Ok((0, None)) };
        let is_object = self.open.last().copied();
        match (self.state, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => return Ok((1, None)),
            (State::Colon, b':') => self.state = State::Value,
            (State::After, b',') => self.state = if is_object == Some(true) { State::Name } else { State::Value },
            (State::After | State::NameOrEnd, b'}') if is_object == Some(true) => {
                return Ok(self.end(Some(Mark::Brace)));
            }
            (State::After | State::ValueOrEnd, b']') if is_object == Some(false) => return Ok(self.end(None)),
            (State::Name | State::NameOrEnd, b'"') => match self.told(Mark::Name) {
                None => self.state = State::Text(true),
                mark => return Ok((0, mark)),
            },
            (State::Value | State::ValueOrEnd, _) => match self.told(Mark::Value(byte)) {
                None => self.begin(byte)?,
                mark => return Ok((0, mark)),
            },
            _ => return Err(PassFault::NotJson),
        }
        Ok((1, None))
    }

    fn begin(&mut self, byte: u8) -> Result<(), PassFault> {
        self.state = match byte {
            b'{' => State::NameOrEnd,
            b'[' => State::ValueOrEnd,
            b'"' => State::Text(false),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Digits),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            _ => return Err(PassFault::NotJson),
        };
        if matches!(byte, b'{' | b'[') {
            if self.open.len() >= self.max_depth {
                return Err(PassFault::TooDeep);
            }
            self.open.push(byte == b'{');
        }
        Ok(())
    }

    fn end(&mut self, before: Option<Mark>) -> (usize, Option<Mark>) {
        if let Some(mark) = before.and_then(|mark| self.told(mark)) {
            return (0, Some(mark));
        }
        self.open.pop();
        self.state = self.after();
        (1, self.marked(Mark::ValueEnd))
    }

    const fn after(&self) -> State {
        if self.open.is_empty() { State::Done } else { State::After }
    }

    fn marked(&self, mark: Mark) -> Option<Mark> {
        (self.open.len() <= MARKED).then_some(mark)
    }

    /// The mark before the next byte, unless it was given already.
    fn told(&mut self, mark: Mark) -> Option<Mark> {
        self.is_told = !self.is_told && self.open.len() <= MARKED;
        self.is_told.then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mcp::scan::tests::TEXTS;

    /// Walks in pieces of a length; whether it is JSON, and its marks.
    fn walk(text: &[u8], length: usize) -> Option<Vec<(usize, Mark)>> {
        let (mut walk, mut marks) = (Walk::new(8), Vec::new());
        for mut piece in text.chunks(length) {
            while !piece.is_empty() {
                let (used, mark) = walk.step(piece).ok()?;
                marks.extend(mark.map(|mark| (walk.depth(), mark)));
                piece = &piece[used..];
            }
        }
        walk.is_done().then_some(marks)
    }

    #[test]
    fn what_is_json_is_what_serde_takes_for_it_in_whatever_pieces_it_comes() {
        let more = ["[\"\u{1}\"]", "[[[[[[[[]]]]]]]]"];
        for text in TEXTS.iter().chain(&more) {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            // A number ends with what comes behind it.
            let text = format!("{text} ");
            for length in 1..=text.len() {
                assert_eq!(walk(text.as_bytes(), length).is_some(), is_json, "{text} in pieces of {length}");
            }
        }
        assert!(walk(b"[[[[[[[[[]]]]]]]]]", 3).is_none(), "too deep");
    }

    #[test]
    fn marks_are_the_same_in_whatever_pieces_it_comes() {
        let text = br#"{"a":{"b":[1,{"c":2}]},"d":-3 }"#;
        let whole = walk(text, text.len()).unwrap();
        for length in 1..text.len() {
            assert_eq!(walk(text, length).unwrap(), whole, "{length}");
        }
        let of_depth =
            |depth: usize| whole.iter().filter(|(at, _)| *at == depth).map(|(_, mark)| *mark).collect::<Vec<_>>();
        assert_eq!(of_depth(0), [Mark::Value(b'{'), Mark::ValueEnd]);
        let member = |first| [Mark::Name, Mark::NameEnd, Mark::Value(first), Mark::ValueEnd];
        assert_eq!(of_depth(1), [&member(b'{')[..], &member(b'-'), &[Mark::Brace]].concat());
    }
}
