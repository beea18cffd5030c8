//! A JSON text in the form that it shares with every other text that says the same: members sorted, without white space.
//!
//! Numbers stay as they are written, and what comes twice stays twice and in its order: what could mean something else to
//! some parser is not the same here. Rejected: to compare parsed values, which loses digits of long numbers, one of two
//! members of a name, and all of a text with a number or a character that the parser has no room for.

use std::borrow::Cow;
use std::ops::Range;

/// The canonical form of an object, without those of its own members whose names are given; `None` when it is no object.
///
/// It is written once, into one buffer; members that are out of order are then moved within it.
#[must_use]
pub fn object(json: &str, without: &[&str]) -> Option<Vec<u8>> {
    let mut writer = Writer { json, at: 0, out: Vec::with_capacity(json.len()), moved: Vec::new() };
    let without: Vec<String> = without.iter().map(|name| quoted(name)).collect();
    writer.skip_space();
    writer.members(&without)?;
    writer.skip_space();
    (writer.at == json.len()).then_some(writer.out)
}

struct Writer<'a> {
    json: &'a str,
    at: usize,
    out: Vec<u8>,
    /// Where members are put in order; empty in between.
    moved: Vec<u8>,
}

/// The name of a member, and where the member stands in what is written.
type Member<'a> = (Cow<'a, str>, Range<usize>);

impl<'a> Writer<'a> {
    /// The value that begins here. Recursion is bounded by the depth that messages may have.
    fn value(&mut self) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            b'{' => self.members(&[]),
            b'[' => self.items(),
            b'"' => self.string().map(|string| self.out.extend_from_slice(string.as_bytes())),
            _ => {
                let rest = self.json.get(self.at..)?;
                let ends = |byte: char| matches!(byte, ',' | ']' | '}') || byte.is_ascii_whitespace();
                let word = rest.get(..rest.find(ends).unwrap_or(rest.len()))?;
                self.at += word.len();
                self.out.extend_from_slice(word.as_bytes());
                (!word.is_empty()).then_some(())
            }
        }
    }

    /// The members of the object that begins here, each with a comma behind it until they are in order.
    fn members(&mut self, without: &[String]) -> Option<()> {
        self.take(b'{')?;
        self.out.push(b'{');
        let begin = self.out.len();
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut is_first = true;
        while self.more(b'}', is_first)? {
            is_first = false;
            let (name, start) = (self.string()?, self.out.len());
            self.take(b':')?;
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b':');
            self.value()?;
            self.out.push(b',');
            match without.iter().any(|without| *name == **without) {
                true => self.out.truncate(start),
                false => members.push((name, start..self.out.len())),
            }
        }
        self.order(begin, members);
        if self.out.len() > begin {
            self.out.pop();
        }
        self.out.push(b'}');
        Some(())
    }

    fn order(&mut self, begin: usize, mut members: Vec<Member<'_>>) {
        if members.is_sorted_by(|(one, _), (other, _)| one <= other) {
            return;
        }
        // Stable: two of one name stay in their order.
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (_, place) in members {
            self.moved.extend_from_slice(self.out.get(place).unwrap_or_default());
        }
        self.out.truncate(begin);
        self.out.append(&mut self.moved);
    }

    fn items(&mut self) -> Option<()> {
        self.take(b'[')?;
        self.out.push(b'[');
        let begin = self.out.len();
        while self.more(b']', self.out.len() == begin)? {
            if self.out.len() > begin {
                self.out.push(b',');
            }
            self.value()?;
        }
        self.out.push(b']');
        Some(())
    }

    /// The string that begins here, with no more escapes than it needs; as written where it is no text.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.skip_space();
        let rest = self.json.get(self.at..).filter(|rest| rest.starts_with('"'))?;
        let mut is_escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        })?;
        let string = rest.get(..end + 2)?;
        self.at += string.len();
        if !string.contains('\\') {
            return Some(Cow::Borrowed(string));
        }
        Some(serde_json::from_str::<String>(string).map_or(Cow::Borrowed(string), |text| Cow::Owned(quoted(&text))))
    }

    /// Whether another element comes; takes the comma before it, or the bracket after the last one.
    fn more(&mut self, end: u8, is_first: bool) -> Option<bool> {
        self.skip_space();
        if self.peek()? == end {
            self.at += 1;
            return Some(false);
        }
        if is_first { Some(true) } else { self.take(b',').map(|()| true) }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<String> {
        object(json, &["x"]).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_order_of_members_and_how_strings_are_written_say_nothing() {
        let one = r#"{"a":"t\"\\","b":[1,{"c":null,"d":"é"}]}"#;
        assert_eq!(of(one).unwrap(), one);
        let other = r#" { "b" : [ 1 , {"d":"\u00e9","c":null} ] , "x" : {"a":[2]}, "\u0061":"\u0074\u0022\\" } "#;
        assert_eq!(of(other).unwrap(), one);
        assert_eq!(of(r#"{"x":1}"#).unwrap(), "{}");
    }

    #[test]
    fn c_19_what_some_parser_would_tell_apart_is_told_apart() {
        let all = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e400}"#,
            r#"{"a":2e400}"#,
            r#"{"a":123456789012345678901234567890}"#,
            r#"{"a":123456789012345678901234567891}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\ud801"}"#,
            r#"{"a":"\\ud800"}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":{"b":2,"b":1}}"#,
            r#"{"a":{"b":2}}"#,
            r#"{"\ud800":1}"#,
            r#"{"a":[]}"#,
            r#"{"a":[[]]}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":"1,\"b\":2"}"#,
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert!(of(one).is_some() && of(one) != of(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_nested_deeply_is_put_in_order_at_every_level() {
        let nested = |before: &str, after: &str| {
            let begin = format!(r#"{{{before}"m":"#).repeat(64);
            format!("{begin}0{}", format!("{after}}}").repeat(64))
        };
        let ordered = nested(r#""a":1,"#, r#","z":{}"#);
        assert_eq!(of(&ordered).unwrap(), ordered);
        assert_eq!(of(&nested(r#""z":{},"#, r#","a":1"#)).unwrap(), ordered);
        assert_eq!(of(&nested(r#""x":[{"a":{}}],"z":{},"a":1,"#, "")).unwrap().matches("\"x\"").count(), 63);
    }

    #[test]
    fn what_is_no_object_has_no_form() {
        for not in ["", "[]", "1", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1"#, r#"{"a":1}x"#, r#"{"a":1 "b":2}"#] {
            assert_eq!(of(not), None, "{not}");
        }
    }
}
