//! JSON read once, from front to back: all of it is checked, and what somebody asks for is found where it stands. [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)
//!
//! What is in a value that nobody asks for is passed, not taken apart. Rejected: `RawValue` of `serde_json`, which reads what is nested
//! as often as it is nested, and knows nothing of depth and line breaks, for which all was read once more.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::protocol::mcp::splice::Span;

/// A text, and how far it was read.
#[derive(Debug)]
pub struct Scan<'a> {
    json: &'a str,
    at: usize,
    /// The brackets that are to close what is open, the innermost last.
    open: SmallVec<[u8; 16]>,
    max_depth: usize,
    has_line_breaks: bool,
    has_escapes: bool,
}

/// The name of a member, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    written: &'a str,
    has_escapes: bool,
}

impl<'a> Name<'a> {
    /// Whether there are escapes in it.
    #[must_use]
    pub const fn has_escapes(self) -> bool {
        self.has_escapes
    }

    /// Without a copy where it holds no escape; `None` when it is no text, as half of a surrogate pair is none.
    #[must_use]
    #[inline]
    pub fn decoded(self) -> Option<Cow<'a, str>> {
        if self.has_escapes {
            return serde_json::from_str(self.written).ok().map(Cow::Owned);
        }
        self.written.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
    }
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFault {
    /// At this byte it is no JSON, or not what it has to be.
    NotJson(usize),
    /// Nested beyond the bound.
    TooDeep,
}

impl<'a> Scan<'a> {
    /// Nothing of `json` was read yet.
    #[must_use]
    pub const fn new(json: &'a str, max_depth: usize) -> Self {
        Self { json, at: 0, open: SmallVec::new_const(), max_depth, has_line_breaks: false, has_escapes: false }
    }

    /// All of the text.
    #[must_use]
    pub const fn json(&self) -> &'a str {
        self.json
    }

    /// Whether there was a line break so far. Between tokens alone there can be one.
    #[must_use]
    pub const fn has_line_breaks(&self) -> bool {
        self.has_line_breaks
    }

    /// Whether there was an escape in any string so far.
    #[must_use]
    pub const fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// Whether an object comes next.
    #[must_use]
    pub fn is_at_object(&mut self) -> bool {
        self.pass_space();
        self.peek() == Some(b'{')
    }

    /// Passes an object. `member` is called at each of its members, with its name, and passes its value.
    ///
    /// # Errors
    /// It is none, or what `member` says.
    #[inline]
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Name<'a>) -> Result<(), ScanFault>,
    ) -> Result<Span, ScanFault> {
        if !self.is_at_object() {
            return Err(self.not_json());
        }
        let start = self.at;
        let mut has_more = self.enter(b'}')?;
        while has_more {
            let name = self.name()?;
            member(self, name)?;
            has_more = self.next()?;
        }
        Ok(Span::new(start, self.at))
    }

    /// How many objects and arrays within one another may come next.
    #[must_use]
    pub fn room(&self) -> usize {
        self.max_depth.saturating_sub(self.open.len())
    }

    /// Passes what comes next if it is `object`: one that a scan with no more [`Scan::room`] has passed, and in which there are no line
    /// breaks and no escapes. `None` when it is another one.
    ///
    /// With an object a value is over, whatever comes behind it. So one that the rest begins with is all that comes next.
    #[inline]
    pub fn again(&mut self, object: &str) -> Option<Span> {
        debug_assert!(object.starts_with('{') && object.ends_with('}'), "nothing but an object ends by itself");
        self.pass_space();
        let start = self.at;
        self.rest().starts_with(object.as_bytes()).then(|| {
            self.at += object.len();
            Span::new(start, self.at)
        })
    }

    /// Passes one value, whatever it is.
    ///
    /// # Errors
    /// There is none.
    pub fn value(&mut self) -> Result<Span, ScanFault> {
        self.pass_space();
        let (start, around) = (self.at, self.open.len());
        loop {
            let mut has_more = match self.peek() {
                Some(b'{') => self.enter(b'}')?,
                Some(b'[') => self.enter(b']')?,
                _ => self.scalar().map(|()| false)?,
            };
            // With a value what is around it may end, too.
            while !has_more {
                if self.open.len() == around {
                    return Ok(Span::new(start, self.at));
                }
                has_more = self.next()?;
            }
            if self.open.last() == Some(&b'}') {
                self.name()?;
            }
            self.pass_space();
        }
    }

    /// Passes what may stand behind the only value of a text.
    ///
    /// # Errors
    /// Something stands there that may not.
    pub fn end(&mut self) -> Result<(), ScanFault> {
        self.pass_space();
        if self.at == self.json.len() { Ok(()) } else { Err(self.not_json()) }
    }

    /// Passes the bracket that opens an object or an array; gives whether something is in it.
    #[inline]
    fn enter(&mut self, close: u8) -> Result<bool, ScanFault> {
        if self.open.len() >= self.max_depth {
            return Err(ScanFault::TooDeep);
        }
        self.at += 1;
        self.pass_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        self.open.push(close);
        Ok(true)
    }

    /// Passes what stands behind a value; gives whether another one comes beside it, or what is around it has ended.
    #[inline]
    fn next(&mut self) -> Result<bool, ScanFault> {
        self.pass_space();
        match (self.peek(), self.open.last().copied()) {
            (Some(b','), Some(_)) => {
                self.at += 1;
                Ok(true)
            }
            (byte, close) if byte.is_some() && byte == close => {
                self.at += 1;
                self.open.pop();
                Ok(false)
            }
            _ => Err(self.not_json()),
        }
    }

    /// Passes the name of a member, and the colon behind it.
    #[inline]
    fn name(&mut self) -> Result<Name<'a>, ScanFault> {
        self.pass_space();
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.not_json());
        }
        let has_escapes = self.string()?;
        let written = self.json.get(start..self.at).unwrap_or_default();
        self.pass_space();
        if self.peek() != Some(b':') {
            return Err(self.not_json());
        }
        self.at += 1;
        Ok(Name { written, has_escapes })
    }

    fn scalar(&mut self) -> Result<(), ScanFault> {
        let rest = self.rest();
        let length = match rest {
            [b'"', ..] => return self.string().map(drop),
            [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => 4,
            [b'f', b'a', b'l', b's', b'e', ..] => 5,
            _ => number(rest).ok_or_else(|| self.not_json())?,
        };
        self.at += length;
        Ok(())
    }

    /// Passes a string; gives whether there are escapes in it.
    fn string(&mut self) -> Result<bool, ScanFault> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            self.at += plain(self.rest());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += escape(self.rest()).ok_or_else(|| self.not_json())?,
                _ => return Err(self.not_json()),
            }
            has_escapes = true;
        }
        self.at += 1;
        if has_escapes {
            self.has_escapes = true;
        }
        Ok(has_escapes)
    }

    #[inline]
    fn pass_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.has_line_breaks |= matches!(byte, b'\n' | b'\r');
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// That what comes next may not stand there.
    #[must_use]
    pub const fn not_json(&self) -> ScanFault {
        ScanFault::NotJson(self.at)
    }
}

/// How many bytes come before the first that means something in a string: its end, an escape, or one that may not stand there.
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    // What is large in a message is a string, so eight bytes are looked at in one step. A byte borrows from its neighbour only
    // where it is one of them itself: of the bits that are set the lowest is right.
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    // With this bit turned round, a quote (0x22) comes next to what is below 0x20, and that stays below it.
    let is_control_or_quote = |word: u64| below(word ^ (ONES * 0x02), 0x21);
    let is_escape = |word: u64| below(word ^ (ONES * u64::from(b'\\')), 1);
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = (is_control_or_quote(word) | is_escape(word)) & (ONES << 7);
        if found != 0 {
            return index * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let looked_at = words.len() * 8;
    let rest = text.get(looked_at..).unwrap_or_default();
    looked_at + rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// How many bytes the escape has that stands at the beginning.
fn escape(text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [b'\\', b'u', digits @ ..] => digits.get(..4)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// How many bytes the number has that stands at the beginning.
fn number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let some_digits = |from: usize| Some(digits(from)).filter(|count| *count > 0);
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += if text.get(at) == Some(&b'0') { 1 } else { some_digits(at)? };
    if text.get(at) == Some(&b'.') {
        at += 1 + some_digits(at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at += some_digits(at)?;
    }
    Some(at)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn scan(text: &str, max_depth: usize) -> Result<(Span, bool), ScanFault> {
        let mut scan = Scan::new(text, max_depth);
        let span = scan.value()?;
        scan.end().map(|()| (span, scan.has_line_breaks()))
    }

    /// JSON, and what is nearly JSON.
    pub(in crate::protocol::mcp) const TEXTS: &[&str] = &[
        r#"{"a":[1,-0.5e+3,0,10,1E9,{"b":null}],"c":true,"d":"\u12aF\n\\\"ü\/","":false}"#,
        "{}",
        "{ }",
        "[]",
        r#" [ "" , [ ] ] "#,
        "{\"a\"\n:\r1\t}",
        "1",
        "-0",
        "\"a\"",
        "null ",
        "\"\\ud800\"",
        "[0e0]",
        r#"{"a":1,}"#,
        "[1,]",
        "{,}",
        "[,]",
        "{\"a\"}",
        "{\"a\":}",
        "{1:2}",
        "[01]",
        "[1.]",
        "[.5]",
        "[-]",
        "[1e]",
        "[+1]",
        "[1e+]",
        "[--1]",
        "[0x1]",
        "[nul]",
        "[nulll]",
        "[True]",
        "[\"a\nb\"]",
        r#"["\x"]"#,
        r#"["\u12g4"]"#,
        r#"["\u12"]"#,
        "[\"",
        "[\"\\",
        "[",
        "{",
        "{\"a\":1",
        "[1}",
        "{\"a\":1]",
        "[1] 2",
        "[1]]",
        "[1 2]",
        "{\"a\" 1}",
        "[NaN]",
        "['a']",
        "",
        " ",
        "\u{a0}1",
        "\u{feff}1",
        "[1\u{c}]",
        "{\"a\":1,,\"b\":2}",
        "{\"a\":1 \"b\":2}",
    ];

    #[test]
    fn mcp_3_what_is_json_is_what_serde_takes_for_it() {
        let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
        // Every byte in every place of a word, and behind it.
        for byte in (0..=0x7f_u8).map(char::from) {
            texts.extend((0..17).map(|length| format!("[\"{}{byte}bcdefgh\"]", "é".repeat(length))));
        }
        for text in texts {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            assert_eq!(scan(&text, 8).is_ok(), is_json, "{text:?}");
        }
    }

    #[test]
    fn mcp_7_brackets_and_line_breaks_count_outside_of_strings() {
        for (text, deep, broken) in [
            (r#"{"a":"{{[["}"#, 1, false),
            (r#"{"a\"{":"\\","b":[{}]}"#, 3, false),
            ("{\"a\":\"\\\\\\\"[\",\n\"b\":[]}", 2, true),
            (r#"{"a":"}}","b":[[]]}"#, 3, false),
            ("[[1,[2]],[3]]\r", 3, true),
            ("7", 0, false),
        ] {
            assert_eq!(scan(text, deep).map(|(_, broken)| broken), Ok(broken), "{text}");
            if deep > 0 {
                assert_eq!(scan(text, deep - 1), Err(ScanFault::TooDeep), "{text}");
            }
        }
    }

    #[test]
    fn members_stand_where_they_are_found() {
        let text = r#" { "a" : [1,{"b":2}] ,"\u0062":"x", "c":{"d" : -1.5e3 } } "#;
        let mut found = Vec::new();
        let mut scan = Scan::new(text, 8);
        let whole = scan.object(|scan, name| {
            let at = match name.written {
                r#""c""# => scan.object(|scan, name| scan.value().map(|at| found.push((name.written, at))))?,
                _ => scan.value()?,
            };
            found.push((name.written, at));
            Ok(())
        });
        let at = |span: Span| &text[span.range()];
        assert_eq!((at(whole.unwrap()), scan.end()), (text.trim(), Ok(())));
        let found: Vec<_> = found.into_iter().map(|(name, span)| (name, at(span))).collect();
        let expected = [
            (r#""a""#, r#"[1,{"b":2}]"#),
            (r#""\u0062""#, r#""x""#),
            (r#""d""#, "-1.5e3"),
            (r#""c""#, r#"{"d" : -1.5e3 }"#),
        ];
        assert_eq!(found, expected);
        assert_eq!(Scan::new("[]", 8).object(|scan, _| scan.value().map(drop)), Err(ScanFault::NotJson(0)));
    }
}
