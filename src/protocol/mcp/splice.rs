//! Changing a few places of a text and nothing else.

use bytes::Bytes;

/// A place in a text: from one byte to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

impl Span {
    /// Where `part`, which was borrowed from `whole`, stands in it.
    ///
    /// `None` when it does not lie within `whole`.
    #[must_use]
    pub fn of(part: &str, whole: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        (end <= whole.len()).then_some(Self { start, end })
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
    edits.sort_unstable_by_key(|edit| edit.at.start);
    let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut out = Vec::with_capacity(text.len() + added);
    let mut from = 0;
    for edit in edits {
        copy(&mut out, text.get(from..edit.at.start).unwrap_or_default(), one_line);
        out.extend_from_slice(edit.with);
        from = edit.at.end;
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
    fn line_breaks_become_spaces() {
        assert_eq!(splice(b"{\r\n\"a\":\n1}", &mut [], true), "{  \"a\": 1}");
    }
}
