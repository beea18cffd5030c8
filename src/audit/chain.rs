//! What ties each line of a file to the line before it, so that a line shows that was changed, taken out or put in.
//!
//! The last member of a line, `chain`, is the SHA-256 (in base64url) of the line before as it stands in the file, a line break,
//! and this line as far as that member. A line that a crash tore, or that somebody else wrote, is tied in like any other.
//! There is no key in it: whoever may write the file could write all of it anew, but not so that it ends in a value that was
//! noted elsewhere. A key beside the file would be as far away as the file.

use crate::base::digest::Digest;

/// What stands before the value.
const BEFORE: &[u8] = b",\"chain\":\"";
/// What stands after it.
const AFTER: &[u8] = b"\"}";
/// 256 bits in base64url.
const VALUE: usize = 43;
/// How much longer a line becomes.
pub(super) const MEMBER: usize = BEFORE.len() + VALUE + 1;

/// Ties whole lines to the line before them and to each other. What is to be written, and the last line of it without its line
/// break; `previous` itself where there are no lines.
pub(super) fn tied(previous: &[u8], lines: &str) -> (Vec<u8>, Vec<u8>) {
    let (mut all, mut last) = (Vec::with_capacity(lines.len() + 4 * MEMBER), previous.to_vec());
    for line in lines.lines() {
        let head = line.strip_suffix('}').expect("a record is an object").as_bytes();
        let value = value(&last, head);
        last = [head, BEFORE, value.as_bytes(), AFTER].concat();
        all.extend_from_slice(&last);
        all.push(b'\n');
    }
    (all, last)
}

/// Whether a line was written after that one, and both are as they were then.
pub(super) fn follows(previous: &[u8], line: &[u8]) -> bool {
    parts(line).is_some_and(|(head, found)| found == value(previous, head).as_bytes())
}

/// The value in a line.
pub(super) fn value_in(line: &[u8]) -> Option<&str> {
    parts(line).and_then(|(_, value)| std::str::from_utf8(value).ok())
}

fn value(previous: &[u8], head: &[u8]) -> String {
    Digest::of_bytes(&[previous, b"\n", head].concat()).base64url()
}

fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(AFTER)?;
    let (rest, value) = rest.split_at_checked(rest.len().checked_sub(VALUE)?)?;
    Some((rest.strip_suffix(BEFORE)?, value))
}
