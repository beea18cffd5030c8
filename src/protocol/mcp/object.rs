//! One JSON object, read without taking its values apart, and strictly: what one parser sees, every parser sees.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::protocol::mcp::scan::{Name, Scan, ScanFault};
use crate::protocol::mcp::splice::{Edit, Span};

/// Reads the values of the `known` members of an object, as they are written.
///
/// Parsers disagree about a name that comes twice (first wins, last wins) and about `"Method"` (Go matches it to
/// `method`). Where a decision hangs on a member, both are refused, so that nobody behind us can read another one.
///
/// # Errors
/// Not JSON, not an object, a name that comes twice, or a name that differs from a known one only in case.
pub fn members<'a, const N: usize>(
    json: &'a str,
    known: &[&'static str; N],
) -> Result<[Option<&'a str>; N], ObjectFault> {
    if json == "{}" {
        // As most capabilities and much of `_meta` are.
        return Ok([None; N]);
    }
    let mut scan = Scan::new(json, usize::MAX);
    let read = part(&mut scan, known).and_then(|(_, read)| scan.end().map(|()| read));
    let places = read.map_err(|fault| ObjectFault::of(fault, json))??;
    Ok(places.map(|place| place.and_then(|at| json.get(at.range()))))
}

/// All members of an object, in the order in which they are written.
///
/// # Errors
/// Not JSON, not an object, or a name that comes twice.
pub fn entries(json: &str) -> Result<Vec<(Cow<'_, str>, &str)>, ObjectFault> {
    let mut entries = Vec::new();
    let mut scan = Scan::new(json, usize::MAX);
    let read = scan.object(|scan, name| {
        let name = name.decoded().ok_or_else(|| scan.not_json())?;
        let at = scan.value()?;
        entries.push((name, json.get(at.range()).unwrap_or_default()));
        Ok(())
    });
    read.and_then(|_| scan.end()).map_err(|fault| ObjectFault::of(fault, json))?;
    let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_ref()).collect();
    match twice(&mut names) {
        Some(name) => Err(ObjectFault::Duplicate((*name).to_owned())),
        None => Ok(entries),
    }
}

/// What a scan comes to next, if that is an object: the places of its known members.
pub(super) type Part<const N: usize> = Result<[Option<Span>; N], ObjectFault>;

/// Passes what a scan comes to next; gives its place, and if it is an object that of its `known` members.
///
/// # Errors
/// It is no JSON.
pub(super) fn part<const N: usize>(
    scan: &mut Scan<'_>,
    known: &[&'static str; N],
) -> Result<(Span, Part<N>), ScanFault> {
    if !scan.is_at_object() {
        let at = scan.value()?;
        // Not where it stands: to count lines for each of them would take as long as there are lines, for each.
        return Ok((at, Err(ObjectFault::NotAnObject("it is another value".to_owned()))));
    }
    let (at, names) = named(scan, known)?;
    Ok((at, names.places()))
}

/// The same for what is an object for certain, with what came of other names.
///
/// # Errors
/// It is no JSON, or no object.
pub(super) fn named<'k, 'a, const N: usize>(
    scan: &mut Scan<'a>,
    known: &'k [&'static str; N],
) -> Result<(Span, Names<'k, 'a, N>), ScanFault> {
    let mut names = Names::new(known);
    let at = scan.object(|scan, name| {
        let which = names.which(name);
        names.note(which, scan.value()?);
        Ok(())
    })?;
    Ok((at, names))
}

/// The members of an object that is being read, as far as they are known.
pub(super) struct Names<'k, 'a, const N: usize> {
    known: &'k [&'static str; N],
    places: [Option<Span>; N],
    others: SmallVec<[Cow<'a, str>; 4]>,
    twice: Option<Cow<'a, str>>,
    folded: Option<(usize, Cow<'a, str>)>,
    is_garbled: bool,
}

impl<'k, 'a, const N: usize> Names<'k, 'a, N> {
    /// Nothing came yet.
    pub const fn new(known: &'k [&'static str; N]) -> Self {
        Self { known, places: [None; N], others: SmallVec::new_const(), twice: None, folded: None, is_garbled: false }
    }

    /// Which of the known names this is. What is wrong with it is told at the end, for the whole object is read
    /// even after a fault, so that "not JSON" is said where it is not JSON.
    #[inline]
    pub fn which(&mut self, name: Name<'a>) -> Option<usize> {
        let Some(name) = name.decoded() else {
            self.is_garbled = true;
            return None;
        };
        if let Some(which) = self.known.iter().position(|known| *known == name) {
            if self.places.get(which).is_some_and(Option::is_some) {
                self.twice = Some(name);
            }
            return Some(which);
        }
        match self.known.iter().position(|known| equal_but_for_case(known, &name)) {
            Some(which) if self.folded.as_ref().is_none_or(|(other, _)| which < *other) => {
                self.folded = Some((which, name));
            }
            Some(_) => {}
            None => self.others.push(name),
        }
        None
    }

    /// Notes where the value of the name stands that came last.
    pub fn note(&mut self, which: Option<usize>, at: Span) {
        if let Some(place) = which.and_then(|which| self.places.get_mut(which)) {
            *place = Some(at);
        }
    }

    /// Those that came and are not known.
    pub fn others(&self) -> &[Cow<'a, str>] {
        &self.others
    }

    /// The places of the known ones, when all have come.
    ///
    /// # Errors
    /// A name that comes twice, or that differs from a known one only in case, or that is no text.
    pub fn places(self) -> Result<[Option<Span>; N], ObjectFault> {
        let (places, fault) = self.end();
        fault.map_or(Ok(places), Err)
    }

    /// The same, whatever is wrong: a name that comes twice, or the first of the known ones from which one differs only in case, or a
    /// name that is no text, as half of a surrogate pair is none.
    pub fn end(mut self) -> ([Option<Span>; N], Option<ObjectFault>) {
        let twice = self.twice.as_ref().or_else(|| twice(&mut self.others));
        let fault = twice.map(|name| ObjectFault::Duplicate(name.to_string()));
        let folded = || self.folded.and_then(|(which, name)| Some((name.into_owned(), *self.known.get(which)?)));
        let garbled = self.is_garbled.then(|| ObjectFault::NotAnObject("the name of a member is no text".to_owned()));
        let fault = fault.or_else(|| folded().map(|(name, known)| ObjectFault::CaseFolded(name, known))).or(garbled);
        (self.places, fault)
    }
}

fn twice<T: Ord>(names: &mut [T]) -> Option<&T> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first())
}

/// The JSON string, without a copy where it holds no escape; `None` when it is none, or no text.
pub(super) fn decoded(json: &str) -> Option<Cow<'_, str>> {
    let inner = plain(json)?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// What stands in a JSON string in which there is no escape; `None` when it is none.
pub(super) fn plain(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// The edits that take members out of an object that stands at `at` in its text, and leave the rest as it is.
#[must_use]
pub fn without(object: &str, at: Span, goes: impl Fn(&str) -> bool) -> Vec<Edit<'static>> {
    let Ok(entries) = entries(object) else { return Vec::new() };
    let mut members = Vec::with_capacity(entries.len());
    let mut start = 1;
    for (name, value) in entries {
        let Some(place) = Span::of(value, object) else { return Vec::new() };
        members.push((start, place.end(), goes(&name)));
        let after = object.get(place.end()..).unwrap_or_default();
        start = place.end() + after.find(',').map_or(after.len(), |comma| comma + 1);
    }
    let cut = |from: usize, to: usize| Edit { at: Span::new(at.start() + from, at.start() + to), with: b"" };
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
    pub(super) fn of(fault: ScanFault, json: &str) -> Self {
        // Only the place: nobody's input is quoted.
        Self::NotAnObject(match fault {
            ScanFault::NotJson(at) => {
                let before = json.as_bytes().get(..at).unwrap_or_default();
                let (lines, last) = before.iter().fold((1, 0), |(lines, column), byte| match byte {
                    b'\n' => (lines + 1, 0),
                    _ => (lines, column + 1),
                });
                format!("line {lines} column {}", last + 1)
            }
            ScanFault::TooDeep => "it is nested too deep".to_owned(),
        })
    }
}

/// Equality under Unicode simple case folding with an ASCII name, as Go's `encoding/json` matches names.
pub(super) fn equal_but_for_case(known: &str, name: &str) -> bool {
    // What is no longer than an ASCII name and is not ASCII has fewer letters.
    if name.len() <= known.len() || name.is_ascii() {
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
        Ok(members(json, &["id", "params"])?.to_vec())
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
