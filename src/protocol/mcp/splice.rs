//! Changing a few places of a text and nothing else.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use bytes::Bytes;

/// A place in a text of at most [`Span::FURTHEST`] bytes: from one byte to another.
///
/// It is small, and as small when it is there or not: a message has two dozen of them, and is moved with them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    /// One past the byte after the last.
    after: NonZeroU32,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range().fmt(f)
    }
}

// The reason for its form.
const _: () = assert!(size_of::<Option<Span>>() == 8);

impl Span {
    /// The furthest that one may end, in bytes: 4 GiB, all but.
    pub const FURTHEST: usize = u32::MAX as usize - 1;

    /// From the first byte to the one past the last.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let short = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self { start: short(start), after: NonZeroU32::MIN.saturating_add(short(end)) }
    }

    /// The place before a byte, where something can be added.
    #[must_use]
    pub fn before(byte: usize) -> Self {
        Self::new(byte, byte)
    }

    /// The first byte.
    #[must_use]
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// One past the last.
    #[must_use]
    pub const fn end(self) -> usize {
        (self.after.get() - 1) as usize
    }

    /// Both.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start()..self.end()
    }

    /// Where `part`, which was borrowed from `whole`, stands in it.
    ///
    /// `None` when it does not lie within `whole`.
    #[must_use]
    pub fn of(part: &str, whole: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        (end <= whole.len()).then(|| Self::new(start, end))
    }
}

/// What comes to stand in a place.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// The place.
    pub at: Span,
    /// The new bytes.
    pub with: &'a [u8],
}

/// A text with edits made to it; with `one_line`, the line breaks outside the edits become spaces.
///
/// In JSON a line break can only be white space between tokens, so a space in its place changes nothing.
#[must_use]
pub fn splice(text: &[u8], edits: &mut [Edit<'_>], one_line: bool) -> Bytes {
    edits.sort_unstable_by_key(|edit| edit.at.start());
    let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut out = Vec::with_capacity(text.len() + added);
    let mut from = 0;
    for edit in edits {
        copy(&mut out, text.get(from..edit.at.start()).unwrap_or_default(), one_line);
        out.extend_from_slice(edit.with);
        from = edit.at.end();
    }
    copy(&mut out, text.get(from..).unwrap_or_default(), one_line);
    Bytes::from(out)
}

fn copy(out: &mut Vec<u8>, part: &[u8], one_line: bool) {
    if one_line {
        out.extend(part.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    } else {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_places_change() {
        let text = r#"{"id" : 9007199254740993, "n":1.0E+2,"x":"id"}"#;
        let id = Span::of(&text[8..24], text).unwrap();
        let n = Span::of(&text[30..36], text).unwrap();
        let mut edits = [Edit { at: n, with: b"null" }, Edit { at: id, with: b"\"a\"" }];
        assert_eq!(splice(text.as_bytes(), &mut edits, false), r#"{"id" : "a", "n":null,"x":"id"}"#);
        assert_eq!(Span::of("elsewhere", text), None);
    }

    #[test]
    fn a_place_may_be_empty_and_anywhere_in_a_text() {
        for (start, end) in [(0, 0), (0, 1), (7, 7), (Span::FURTHEST, Span::FURTHEST)] {
            assert_eq!(Span::new(start, end).range(), start..end);
        }
        let mut edits = [Edit { at: Span::before(2), with: b"c" }, Edit { at: Span::before(0), with: b"a" }];
        assert_eq!(splice(b"--", &mut edits, false), "a--c");
    }

    #[test]
    fn line_breaks_become_spaces() {
        assert_eq!(splice(b"{\r\n\"a\":\n1}", &mut [], true), "{  \"a\": 1}");
    }
}
