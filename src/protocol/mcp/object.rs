//! One JSON object, read without taking its values apart, and strictly: what one parser sees, every parser sees.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::mcp::splice::{Edit, Span};

/// Reads the values of the `known` members of an object, as the bytes they are written in.
///
/// Parsers disagree about a name that comes twice (first wins, last wins) and about `"Method"` (Go matches it to
/// `method`). Where a decision hangs on a member, both are refused, so that nobody behind us can read another one.
///
/// # Errors
/// Not JSON, not an object, a name that comes twice, or a name that differs from a known one only in case.
pub fn members<'a, const N: usize>(
    json: &'a str,
    known: &[&'static str; N],
) -> Result<[Option<&'a RawValue>; N], ObjectFault> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = Members { known }.deserialize(&mut deserializer).map_err(ObjectFault::json)?;
    deserializer.end().map_err(ObjectFault::json)?;
    read
}

/// All members of an object, in the order in which they are written.
///
/// # Errors
/// Not JSON, not an object, or a name that comes twice.
pub fn entries(json: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, ObjectFault> {
    let Entries(entries) = serde_json::from_str(json).map_err(ObjectFault::json)?;
    let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
        Some(name) => Err(ObjectFault::Duplicate((*name).to_owned())),
        None => Ok(entries),
    }
}

/// The edits that take members out of an object that stands at `at` in its text, and leave the rest as it is.
#[must_use]
pub fn without(object: &str, at: Span, goes: impl Fn(&str) -> bool) -> Vec<Edit<'static>> {
    let Ok(entries) = entries(object) else { return Vec::new() };
    let mut members = Vec::with_capacity(entries.len());
    let mut start = 1;
    for (name, value) in entries {
        let Some(place) = Span::of(value.get(), object) else { return Vec::new() };
        members.push((start, place.end, goes(&name)));
        let after = object.get(place.end..).unwrap_or_default();
        start = place.end + after.find(',').map_or(after.len(), |comma| comma + 1);
    }
    let cut = |from: usize, to: usize| Edit { at: Span { start: at.start + from, end: at.start + to }, with: b"" };
    let last_kept = members.iter().rposition(|(_, _, goes)| !goes);
    let mut edits = Vec::new();
    for (index, pair) in members.windows(2).enumerate() {
        // What is followed by something that stays goes with the comma behind it.
        if let [(start, _, true), (next, _, _)] = pair
            && last_kept.is_some_and(|last| index < last)
        {
            edits.push(cut(*start, *next));
        }
    }
    if let Some((_, end, true)) = members.last() {
        let kept_end = last_kept.and_then(|last| members.get(last)).map_or(1, |(_, end, _)| *end);
        edits.push(cut(kept_end, *end));
    }
    edits
}

/// Why an object was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFault {
    /// It cannot be parsed, or is something else.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// A member comes twice.
    #[error("the member {0:?} comes twice")]
    Duplicate(String),
    /// A member's name looks like a known one, but is not.
    #[error("the member {0:?} differs from {1:?} only in case")]
    CaseFolded(String, &'static str),
}

impl ObjectFault {
    fn json(error: serde_json::Error) -> Self {
        // Only the place: serde_json's text may quote the input.
        Self::NotAnObject(format!("line {} column {}", error.line(), error.column()))
    }
}

/// A member's name, without a copy where it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    entries.push((name, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All)
    }
}

struct Members<'k, const N: usize> {
    known: &'k [&'static str; N],
}

type Read<'de, const N: usize> = Result<[Option<&'de RawValue>; N], ObjectFault>;

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = Read<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = Read<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        let mut fault = None;
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        // The whole object is read even after a fault, so that "not JSON" is said where it is not JSON.
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            match self.known.iter().position(|known| *known == name) {
                Some(index) => match values.get_mut(index) {
                    Some(slot @ None) => *slot = Some(value),
                    _ => fault = Some(ObjectFault::Duplicate(name.into_owned())),
                },
                None => match self.known.iter().find(|known| equal_but_for_case(known, &name)) {
                    Some(known) => fault = Some(ObjectFault::CaseFolded(name.into_owned(), known)),
                    None => others.push(name),
                },
            }
        }
        others.sort_unstable();
        let twice = others.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first());
        Ok(match (fault, twice) {
            (Some(fault), _) => Err(fault),
            (None, Some(name)) => Err(ObjectFault::Duplicate(name.to_string())),
            (None, None) => Ok(values),
        })
    }
}

/// Equality under Unicode simple case folding with an ASCII name, as Go's `encoding/json` matches names.
pub(super) fn equal_but_for_case(known: &str, name: &str) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known);
    }
    let folded = name.chars().map(|letter| match letter {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    // Any letter takes at most three bytes more than the ASCII letter it folds to.
    name.len() <= known.len() * 3 && folded.eq(known.chars().map(|letter| letter.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Option<&str>>, ObjectFault> {
        Ok(members(json, &["id", "params"])?.iter().map(|value| value.map(RawValue::get)).collect())
    }

    #[test]
    fn values_keep_their_bytes() {
        assert_eq!(
            read(r#" {"x":1, "id" : 1.50e+2 ,"params":{ "a" :1}} "#).unwrap(),
            [Some("1.50e+2"), Some(r#"{ "a" :1}"#)]
        );
        assert_eq!(read(r#"{"i\u0064":null}"#).unwrap(), [Some("null"), None]);
    }

    #[test]
    fn mcp_3_names_that_parsers_read_differently_are_refused() {
        for twice in [r#"{"id":1,"id":2}"#, r#"{"id":1,"i\u0064":2}"#, r#"{"x":1,"y":2,"x":1}"#] {
            assert!(matches!(read(twice), Err(ObjectFault::Duplicate(_))), "{twice}");
        }
        for folded in [r#"{"ID":1}"#, r#"{"paramſ":{}}"#, r#"{"PARAMS":1,"params":1}"#] {
            assert!(matches!(read(folded), Err(ObjectFault::CaseFolded(..))), "{folded}");
        }
        for not in ["", "[]", "1", r#"{"id":1,}"#, r#"{"id":NaN}"#, r#"{"id":1}x"#, "{\"id\":\"a\nb\"}", "{'id':1}"] {
            assert!(matches!(read(not), Err(ObjectFault::NotAnObject(_))), "{not}");
        }
    }
}
