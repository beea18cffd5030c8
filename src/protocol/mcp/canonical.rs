//! A JSON text in the form that it shares with every other text that says the same: members sorted, without white space.
//!
//! Numbers stay as they are written, and what comes twice stays twice and in its order: what could mean something else to
//! some parser is not the same here. Rejected: to compare parsed values, which loses digits of long numbers, one of two
//! members of a name, and all of a text with a number or a character that the parser has no room for.

use std::borrow::Cow;

/// The canonical form of an object, without those of its own members whose names are given; `None` when it is no object.
#[must_use]
pub fn object(json: &str, without: &[&str]) -> Option<Vec<u8>> {
    let mut reader = Reader { json, at: 0 };
    reader.skip_space();
    let mut members = reader.members()?;
    reader.skip_space();
    members.retain(|(name, _)| !without.iter().any(|without| *name == quoted(without)));
    (reader.at == json.len()).then(|| joined(members))
}

struct Reader<'a> {
    json: &'a str,
    at: usize,
}

type Member<'a> = (Cow<'a, str>, Vec<u8>);

impl<'a> Reader<'a> {
    /// The value that begins here. Recursion is bounded by the depth that messages may have.
    fn value(&mut self) -> Option<Vec<u8>> {
        self.skip_space();
        match self.peek()? {
            b'{' => self.members().map(joined),
            b'[' => self.items(),
            b'"' => self.string().map(|string| string.into_owned().into_bytes()),
            _ => {
                let rest = self.json.get(self.at..)?;
                let ends = |byte: char| matches!(byte, ',' | ']' | '}') || byte.is_ascii_whitespace();
                let word = rest.get(..rest.find(ends).unwrap_or(rest.len()))?;
                self.at += word.len();
                (!word.is_empty()).then(|| word.as_bytes().to_vec())
            }
        }
    }

    fn members(&mut self) -> Option<Vec<Member<'a>>> {
        self.take(b'{')?;
        let mut members = Vec::new();
        while self.more(b'}', members.is_empty())? {
            let name = self.string()?;
            self.take(b':')?;
            members.push((name, self.value()?));
        }
        Some(members)
    }

    fn items(&mut self) -> Option<Vec<u8>> {
        self.take(b'[')?;
        let mut items = b"[".to_vec();
        while self.more(b']', items.len() == 1)? {
            if items.len() > 1 {
                items.push(b',');
            }
            items.extend(self.value()?);
        }
        items.push(b']');
        Some(items)
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

fn joined(mut members: Vec<Member<'_>>) -> Vec<u8> {
    // Stable: two of one name stay in their order.
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = b"{".to_vec();
    for (name, value) in members {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend(value);
    }
    text.push(b'}');
    text
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
    fn what_is_no_object_has_no_form() {
        for not in ["", "[]", "1", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1"#, r#"{"a":1}x"#, r#"{"a":1 "b":2}"#] {
            assert_eq!(of(not), None, "{not}");
        }
    }
}
