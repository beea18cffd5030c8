//! The file of the trail, which several processes may write: the bridge, and commands beside it.
//!
//! Whoever writes holds the lock beside the file and looks whether it is still the one of that name, so that no line gets into a
//! file that was put aside meanwhile, by us or by the operator's own rotation.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::audit::chain;
use crate::audit::lock::Lock;
use crate::audit::owner::Owner;
use crate::base::clock::Timestamp;
use crate::config::section::Audit;

/// No line of ours is longer; what is, is somebody else's.
pub(super) const LONGEST_LINE: u64 = 64 * 1024;
/// What others may not do with the file: anything, and the group no more than read it.
const OTHERS: u32 = 0o037;

/// The file of this name, whichever that is now.
pub(super) struct TrailFile {
    path: PathBuf,
    max_size: u64,
    max_age: Duration,
    keep: u32,
    current: File,
    /// `None` beside a device or a pipe, whose lines are not tied to each other.
    lock: Option<Lock>,
    /// The time in the first line of `current`, as it is written there; `None`: not read, or there is no line yet.
    began: Option<String>,
    /// What was written last, by us.
    last: Option<Last>,
}

/// The last line of a file of this length.
struct Last {
    length: u64,
    /// Without its line break.
    line: Vec<u8>,
}

impl TrailFile {
    pub(super) fn open(section: &Audit, path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let (max_size, max_age, keep) = (section.max_size, section.max_age, section.keep);
        let current = create(path, None)?;
        let is_file = current.metadata()?.is_file();
        let lock = if is_file { Some(Lock::beside(path, Owner::of(&current)?)?) } else { None };
        Ok(Self { path: path.to_owned(), max_size, max_age, keep, current, lock, began: None, last: None })
    }

    /// Writes whole lines, each tied to the one before it, and waits for the disk; on a fault takes back what was written of them.
    pub(super) fn append(&mut self, lines: &str, now: Timestamp) -> io::Result<()> {
        let Some(mut lock) = self.lock.take() else { return self.append_alone(lines, now) };
        let written = lock.wait().and_then(|_turn| self.append_alone(lines, now));
        self.lock = Some(lock);
        written
    }

    fn append_alone(&mut self, lines: &str, now: Timestamp) -> io::Result<()> {
        self.find_current()?;
        let metadata = self.current.metadata()?;
        // A device or a pipe has no length, no age, no line before, and nothing to wait for.
        if !metadata.is_file() {
            return self.current.write_all(lines.as_bytes());
        }
        let mut length = metadata.len();
        let before = self.last_line(length)?;
        let (tied, line) = chain::tied(&before, lines);
        if length > 0 && (length + tied.len() as u64 > self.max_size || self.is_old(now)?) {
            self.put_aside()?;
            length = self.current.metadata()?.len();
        }
        let is_torn = self.is_torn(length)?;
        let ended = if is_torn { self.current.write_all(b"\n") } else { Ok(()) };
        let written = ended.and_then(|()| self.current.write_all(&tied));
        if let Err(error) = written.and_then(|()| self.current.sync_data()) {
            // Half a line would swallow the next one. What cannot be taken back is a torn line.
            let taken_back = self.current.set_len(length).is_ok() && !is_torn;
            self.last = taken_back.then_some(Last { length, line: before });
            return Err(error);
        }
        self.last = Some(Last { length: self.current.metadata()?.len(), line });
        Ok(())
    }

    /// The line that the next one is tied to. While nobody else writes, the one we wrote; at the beginning of a file, the last one of the
    /// file that was put aside before it. Where ours is not what it was any more, it is tied to ours all the same, so that the
    /// trail shows what is missing from then on.
    fn last_line(&mut self, length: u64) -> io::Result<Vec<u8>> {
        match self.last.take() {
            Some(last) if !self.has(&last)? => {
                let path = self.path.display();
                tracing::error!(
                    "lines of the audit trail {path} were cut off or changed since they were written; `mcp-bridge audit verify` shows where"
                );
                Ok(last.line)
            }
            Some(last) if last.length == length => Ok(last.line),
            _ if length > 0 => read_last_line(&mut self.current, length),
            _ => match File::open(numbered(&self.path, 1)) {
                Ok(mut aside) => {
                    let length = aside.metadata()?.len();
                    read_last_line(&mut aside, length)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            },
        }
    }

    /// Whether what was written last still stands where it was written.
    fn has(&self, last: &Last) -> io::Result<bool> {
        if last.length == 0 {
            return Ok(true);
        }
        let mut found = vec![0; last.line.len() + 1];
        let place = last.length.saturating_sub(found.len() as u64);
        match self.current.read_exact_at(&mut found, place) {
            Ok(()) => Ok(found.strip_suffix(b"\n") == Some(&last.line)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the file that has the name now the current one.
    fn find_current(&mut self) -> io::Result<()> {
        let (ours, named) = (self.current.metadata()?, fs::metadata(&self.path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok(());
        }
        // If the new one is empty, the line before its first is the last of the one that we knew.
        self.last = Some(Last { length: 0, line: self.last_line(ours.len())? });
        self.current = create(&self.path, Some(Owner::of(&self.current)?))?;
        self.began = None;
        Ok(())
    }

    /// A process that ended in the middle of a line leaves it without an end.
    fn is_torn(&self, length: u64) -> io::Result<bool> {
        let mut last = [b'\n'];
        if let Some(place) = length.checked_sub(1) {
            self.current.read_exact_at(&mut last, place)?;
        }
        Ok(last != [b'\n'])
    }

    /// Whether the first line was written too long ago.
    fn is_old(&mut self, now: Timestamp) -> io::Result<bool> {
        if self.max_age.is_zero() {
            return Ok(false);
        }
        if self.began.is_none() {
            let mut first = String::new();
            self.current.seek(SeekFrom::Start(0))?;
            BufReader::new(&self.current).take(64 * 1024).read_line(&mut first)?;
            let line: Value = serde_json::from_str(&first).unwrap_or_default();
            self.began = Some(line["ts"].as_str().unwrap_or_default().to_owned());
        }
        // Times of this form stand in the order of their letters. A first line that is none of ours is old.
        Ok(self.began.as_ref().is_some_and(|began| *began <= (now - self.max_age).rfc3339()))
    }

    /// `path` becomes `path.1`, `path.1` becomes `path.2`, and the last one goes.
    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            match fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let owner = Owner::of(&self.current)?;
        fs::rename(&self.path, numbered(&self.path, 1))?;
        self.current = create(&self.path, Some(owner))?;
        self.began = None;
        Ok(())
    }
}

/// The last line without its line break, also one that breaks off; of one that is too long, its end.
fn read_last_line(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE + 1)))?;
    file.take(LONGEST_LINE + 1).read_to_end(&mut line)?;
    let is_whole = line.pop_if(|last| *last == b'\n').is_some();
    let start = match line.iter().rposition(|byte| *byte == b'\n') {
        Some(end_before) => end_before + 1,
        // Only a line break leaves room for a whole line in what was read.
        None => usize::from(!is_whole && line.len() as u64 > LONGEST_LINE),
    };
    line.drain(..start);
    Ok(line)
}

/// The file that was put aside so many rotations ago.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Opens the file, making it if there is none, and has its name on disk. What is made belongs to this owner, or to whom the
/// folder does.
fn create(path: &Path, owner: Option<Owner>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    // Read, too: the first line tells the age, the last byte whether a line was torn. What is no file may not allow it.
    let open = |options: &OpenOptions| options.open(path);
    match open(options.clone().read(true).create_new(true)) {
        Ok(file) => {
            if let Some(folder) = path.parent() {
                let folder = File::open(folder)?;
                owner.map_or_else(|| Owner::of(&folder), Ok)?.keep(&file);
                folder.sync_all()?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = open(options.read(true))?;
            close_to_others(&file, path)?;
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

/// Takes from a file that was there already what nobody else may do: everybody's reading, for who was where and when is nobody's
/// business, and the group's writing. A group that may read stays, as the operator's shipper of logs may be in it. No fault
/// as with a key: nothing in the trail lets anybody in, and a start that fails would be the worse answer.
fn close_to_others(file: &File, path: &Path) -> io::Result<()> {
    let metadata = file.metadata()?;
    let (mode, path) = (metadata.mode() & 0o7777, path.display());
    if !metadata.is_file() || mode & OTHERS == 0 {
        return Ok(());
    }
    match file.set_permissions(fs::Permissions::from_mode(mode & !OTHERS)) {
        Ok(()) => tracing::warn!("the audit trail {path} was open to others (mode {mode:04o}), and is no more"),
        Err(error) => tracing::warn!(%error, "the audit trail {path} is open to others (mode {mode:04o})"),
    }
    Ok(())
}
