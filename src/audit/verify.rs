//! Whether a trail is as it was written.
//!
//! A line that does not follow the one before it says that something is wrong, and the lines after it say what: one that was
//! changed is followed by another that does not follow; where lines are missing, the next one follows again; and what was put in
//! stands between two that belong together.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::audit::chain;
use crate::audit::file::{LONGEST_LINE, numbered};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: PathBuf,
    /// From 1.
    line: u64,
}

/// What is to be said of a place in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No fault: the first line of all, and lines were written before it.
    BeginsLater(Place),
    /// No fault: so many lines up to here are from before lines were tied to each other.
    Older(Place, u64),
    /// No fault: a line breaks off, as a crash leaves it.
    Torn(Place),
    /// These lines have no chain, and were there when the next one was written.
    Foreign(Place, Place),
    /// Lines are missing before it.
    Missing(Place),
    /// These lines were changed, or others are in their place.
    Changed(Place, Place),
    /// These lines were put in.
    Inserted(Place, Place),
    /// The last line was changed, or lines before it are missing.
    LastDoesNotFollow(Place),
}

/// What there is altogether.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many lines there are.
    pub lines: u64,
    /// How many findings are faults.
    pub faults: u64,
    /// The `chain` of the last line, which stands for all the lines there are.
    pub last: Option<String>,
    /// Whether a line has the `chain` that was asked for.
    pub is_found: bool,
}

/// A file of the trail, opened.
pub struct Part {
    path: PathBuf,
    file: File,
    /// What is written behind it meanwhile is not looked at.
    length: u64,
}

/// The files of a trail, the oldest first: those that were put aside, and the one that is written.
///
/// # Errors
/// One of them cannot be opened; one that is not there is no fault.
pub fn parts(path: &Path) -> io::Result<Vec<Part>> {
    loop {
        let Some(current) = opened(path)? else { return Ok(aside(path)?.into_iter().rev().collect()) };
        // While it is locked nobody is in the middle of a line, and nothing is put aside.
        current.file.lock_shared()?;
        let (ours, named) = (current.file.metadata()?, fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            let current = Part { length: ours.len(), ..current };
            let older = aside(path)?;
            current.file.unlock()?;
            return Ok(older.into_iter().rev().chain([current]).collect());
        }
    }
}

/// These files, in this order: copies of a trail.
///
/// # Errors
/// One of them cannot be opened.
pub fn copies(paths: &[PathBuf]) -> io::Result<Vec<Part>> {
    let missing = |path: &Path| io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()));
    paths.iter().map(|path| opened(path)?.ok_or_else(|| missing(path))).collect()
}

/// Reads all lines. `wanted`: the `chain` that one of them must have.
///
/// # Errors
/// A file cannot be read.
pub fn verify(parts: Vec<Part>, wanted: Option<&str>, tell: &mut dyn FnMut(Finding)) -> io::Result<Verified> {
    let mut reading = Reading { tell, wanted, before: None, anchor: None, suspects: None, seen: Verified::default() };
    for Part { path, file, length } in parts {
        let (mut from, mut line) = (BufReader::new(file.take(length)), Vec::new());
        let mut place = Place { file: path, line: 0 };
        while next_line(&mut from, &mut line)? {
            place.line += 1;
            reading.take(&place, &line);
        }
    }
    Ok(reading.end())
}

fn opened(path: &Path) -> io::Result<Option<Part>> {
    match File::open(path) {
        Ok(file) => Ok(Some(Part { path: path.to_owned(), length: file.metadata()?.len(), file })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The youngest first.
fn aside(path: &Path) -> io::Result<Vec<Part>> {
    (1..).map_while(|number| opened(&numbered(path, number)).transpose()).collect()
}

/// Reads one line, without its line break; of one that is too long, its end.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut is_there = false;
    loop {
        if from.by_ref().take(LONGEST_LINE).read_until(b'\n', line)? == 0 {
            return Ok(is_there);
        }
        is_there = true;
        let is_whole = line.pop_if(|last| *last == b'\n').is_some();
        line.drain(..line.len().saturating_sub(LONGEST_LINE as usize));
        if is_whole {
            return Ok(true);
        }
    }
}

struct Reading<'a> {
    tell: &'a mut dyn FnMut(Finding),
    wanted: Option<&'a str>,
    /// The line before. `None`: there is none.
    before: Option<Vec<u8>>,
    /// The last line that nothing is wrong with.
    anchor: Option<Vec<u8>>,
    /// The lines since then.
    suspects: Option<Suspects>,
    seen: Verified,
}

/// Lines in a row that do not follow.
struct Suspects {
    first: Place,
    last_but_one: Place,
    last: Place,
    last_kind: Kind,
    count: u64,
    /// Whether one of them has a chain.
    is_tied: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has a chain, which does not fit.
    Tied,
    /// A whole line that has none.
    Foreign,
    /// It is no JSON object.
    Torn,
}

impl Reading<'_> {
    fn take(&mut self, place: &Place, line: &[u8]) {
        self.seen.lines += 1;
        let value = chain::value_in(line);
        self.seen.is_found |= value.is_some() && value == self.wanted;
        match (&self.before, &self.anchor) {
            (None, _) if value.is_some() => {
                if !chain::follows(b"", line) {
                    (self.tell)(Finding::BeginsLater(place.clone()));
                }
                self.anchor = Some(line.to_vec());
            }
            (Some(before), _) if chain::follows(before, line) => {
                // It follows the last of the suspects, which therefore is as it was then.
                self.explain(Finding::Missing);
                self.anchor = Some(line.to_vec());
            }
            (Some(_), Some(anchor)) if chain::follows(anchor, line) => {
                if let Some(suspects) = self.suspects.take() {
                    self.fault(Finding::Inserted(suspects.first, suspects.last));
                }
                self.anchor = Some(line.to_vec());
            }
            _ => self.suspect(place, line),
        }
        self.before = Some(line.to_vec());
        if let Some(value) = value {
            self.seen.last = Some(value.to_owned());
        }
    }

    fn suspect(&mut self, place: &Place, line: &[u8]) {
        let last_kind = match serde_json::from_slice::<Map<String, Value>>(line) {
            _ if chain::value_in(line).is_some() => Kind::Tied,
            Ok(_) => Kind::Foreign,
            Err(_) => Kind::Torn,
        };
        let (last, is_tied) = (place.clone(), last_kind == Kind::Tied);
        self.suspects = Some(match self.suspects.take() {
            None => Suspects { first: last.clone(), last_but_one: last.clone(), last, last_kind, count: 1, is_tied },
            Some(before) => Suspects {
                last_but_one: before.last,
                last,
                last_kind,
                count: before.count + 1,
                is_tied: before.is_tied || is_tied,
                ..before
            },
        });
    }

    /// What the suspects mean. `alone`: a single one that has a chain.
    fn explain(&mut self, alone: fn(Place) -> Finding) {
        let Some(suspects) = self.suspects.take() else { return };
        if self.anchor.is_none() && !suspects.is_tied {
            return (self.tell)(Finding::Older(suspects.last, suspects.count));
        }
        match suspects.last_kind {
            Kind::Torn if suspects.count == 1 => (self.tell)(Finding::Torn(suspects.last)),
            _ if !suspects.is_tied => self.fault(Finding::Foreign(suspects.first, suspects.last)),
            // The last one does not follow because the one before it is another.
            _ if suspects.count > 1 => self.fault(Finding::Changed(suspects.first, suspects.last_but_one)),
            _ => self.fault(alone(suspects.last)),
        }
    }

    fn end(mut self) -> Verified {
        self.explain(Finding::LastDoesNotFollow);
        self.seen
    }

    fn fault(&mut self, finding: Finding) {
        self.seen.faults += 1;
        (self.tell)(finding);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeginsLater(place) => write!(f, "{place}: lines before this one were written, and are not here"),
            Self::Older(place, count) => {
                write!(f, "{place}: the {count} lines up to here have no chain, as before there were chains")
            }
            Self::Torn(place) => write!(f, "{place}: breaks off, as a crash leaves a line"),
            Self::Foreign(first, last) => {
                write!(f, "{}: FAULT: not written by the bridge, or by a version without chains", Span(first, last))
            }
            Self::Missing(place) => write!(f, "{place}: FAULT: lines before this one are missing"),
            Self::Changed(first, last) => {
                write!(f, "{}: FAULT: changed since, or in the place of others", Span(first, last))
            }
            Self::Inserted(first, last) => write!(f, "{}: FAULT: put in since", Span(first, last)),
            Self::LastDoesNotFollow(place) => {
                write!(f, "{place}: FAULT: the last line was changed since, or lines before it are missing")
            }
        }
    }
}

/// From one line to another, which may be the same.
struct Span<'a>(&'a Place, &'a Place);

impl fmt::Display for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, last) = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}
