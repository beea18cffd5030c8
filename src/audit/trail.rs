//! Reading the trail: its last lines, and those that come.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::audit::file::{LONGEST_LINE, numbered};

/// The last lines of a trail, the oldest first, as many as `count`, of those that `is_wanted`. Files that were put aside are
/// read as far back as they are needed.
///
/// # Errors
/// The file cannot be read; one that was put aside and is gone is no fault.
pub fn last(path: &Path, count: usize, is_wanted: &mut dyn FnMut(&str) -> bool) -> io::Result<(Vec<String>, Follower)> {
    let (mut follower, mut found) = (Follower::new(path), VecDeque::new());
    follower.read(&mut |line| keep(&mut found, count, line, is_wanted))?;
    for number in 1.. {
        let missing = count.saturating_sub(found.len());
        let aside = match File::open(numbered(path, number)) {
            Ok(aside) if missing > 0 => aside,
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let (mut older, mut rest) = (VecDeque::new(), Vec::new());
        read_lines(&mut BufReader::new(aside), &mut rest, &mut |line| keep(&mut older, missing, line, is_wanted))?;
        older.append(&mut found);
        found = older;
    }
    Ok((found.into(), follower))
}

fn keep(lines: &mut VecDeque<String>, count: usize, line: &str, is_wanted: &mut dyn FnMut(&str) -> bool) {
    if count == 0 || !is_wanted(line) {
        return;
    }
    if lines.len() == count {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
}

/// Reads what comes, also after the file was put aside.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    current: Option<BufReader<File>>,
    /// A line whose end has not come yet.
    rest: Vec<u8>,
}

impl Follower {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), current: None, rest: Vec::new() }
    }

    /// Hands on every line that has come since the last time.
    ///
    /// # Errors
    /// The file cannot be read. One that is not there yet is no fault.
    pub fn read(&mut self, take: &mut dyn FnMut(&str)) -> io::Result<()> {
        loop {
            // Looked for first: what was written to the old one until then is read before the new one is.
            let next = self.next_file()?;
            if let Some(current) = &mut self.current {
                read_lines(current, &mut self.rest, take)?;
            }
            let Some(next) = next else { return Ok(()) };
            self.current = Some(BufReader::new(next));
            self.rest.clear();
        }
    }

    /// The file that has the name now, if it is another one.
    fn next_file(&self) -> io::Result<Option<File>> {
        let named = match File::open(&self.path) {
            Ok(named) => named,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(current) = &self.current else { return Ok(Some(named)) };
        let (ours, other) = (current.get_ref().metadata()?, named.metadata()?);
        Ok(((ours.dev(), ours.ino()) != (other.dev(), other.ino())).then_some(named))
    }
}

fn read_lines(from: &mut BufReader<File>, rest: &mut Vec<u8>, take: &mut dyn FnMut(&str)) -> io::Result<()> {
    loop {
        if from.by_ref().take(LONGEST_LINE).read_until(b'\n', rest)? == 0 {
            return Ok(());
        }
        if rest.ends_with(b"\n") || rest.len() as u64 >= LONGEST_LINE {
            take(String::from_utf8_lossy(rest).trim_end_matches('\n'));
            rest.clear();
        }
    }
}
