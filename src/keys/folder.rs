//! Private files: the folder that generated keys are kept in, and the rules for reading any key file.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::base::random;
use crate::base::secret::Secret;
use crate::keys::KeyError;

/// Who may do what with a key file, as the bits of its mode that must not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Files that we made: their owner alone.
    Owner,
    /// An operator's: 0640 at most. A group may be let in on purpose, as secrets mounted by an orchestrator are.
    Group,
    /// There is nothing secret in it.
    Public,
}

impl Privacy {
    const fn forbidden(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::Group => 0o037,
            Self::Public => 0,
        }
    }
}

/// Whose a file or folder is, and what its mode forbids nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guarded {
    /// Nobody but its owner can change what is in it.
    Yes,
    /// Others can, and its owner is who runs this: he may end that.
    NotYet,
    /// Others can, and it is not ours to change.
    No,
    /// It belongs to somebody else, who can do with it what he likes.
    Foreign,
}

impl Guarded {
    /// Of a folder with this owner and mode, for the user `me`. Root can do everything anyway.
    const fn of(owner: u32, mode: u32, me: u32) -> Self {
        match (owner == me || owner == 0, mode & OTHERS_WRITE == 0) {
            (false, _) => Self::Foreign,
            (true, true) => Self::Yes,
            (true, false) if owner == me => Self::NotYet,
            (true, false) => Self::No,
        }
    }
}

/// Whoever may write to the folder can put a signing key into it.
const OTHERS_WRITE: u32 = 0o022;

/// No key file is longer than this, in bytes.
const MAX_LENGTH: u64 = 64 * 1024;

/// The folder of `signing.key_dir`.
pub struct Folder(PathBuf);

impl Folder {
    /// Takes a folder, made with mode 0700 if it is not there. One of ours that others may write to is closed to them: with
    /// the umask 002 of many systems git checks out the repository's own `keys/` so, and refusing it would make the first
    /// start fail. What they put into it before is not taken, for it is theirs.
    ///
    /// # Errors
    /// It cannot be made, it belongs to another user, or others may write to it and that cannot be changed.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::file(path, source);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        if let Some(mode) = open_to_others(path)? {
            fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS_WRITE)).map_err(failed)?;
            // Not every file system keeps modes.
            if open_to_others(path)?.is_some() {
                return Err(writable(path, mode));
            }
            let path = path.display();
            tracing::warn!(%path, mode = format!("{mode:04o}"), "other users could write to the folder of the keys; now they cannot (chmod go-w)");
        }
        Ok(Self(path.to_owned()))
    }

    /// A folder that is there, and what deserves a word about it.
    ///
    /// # Errors
    /// As [`Folder::open`], which would close it to others.
    pub fn check(path: &Path) -> Result<Option<(Self, Option<String>)>, KeyError> {
        let Some(folder) = Self::existing(path) else { return Ok(None) };
        let word = open_to_others(path)?.map(|mode| {
            format!("{} can be written to by other users (mode {mode:04o}); the start takes that away", path.display())
        });
        Ok(Some((folder, word)))
    }

    /// A folder that is there.
    pub fn existing(path: &Path) -> Option<Self> {
        path.is_dir().then(|| Self(path.to_owned()))
    }

    /// One in which there is nothing.
    pub fn none() -> Self {
        Self(PathBuf::new())
    }

    /// The names of what is in it.
    pub fn names(&self) -> Result<Vec<String>, KeyError> {
        if self.0.as_os_str().is_empty() {
            return Ok(Vec::new());
        }
        let failed = |source| KeyError::file(&self.0, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            // What is no text is none of ours.
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), KeyError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeyError::file(&path, error)),
            _ => Ok(()),
        }
    }

    /// Where a file of this name stands.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The content of a file, which is made first if it is not there. Of several processes that make it at once one wins,
    /// and all of them read what that one wrote.
    pub fn read_or_create(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Secret, KeyError>,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let path = self.path(name);
        match read(&path, Privacy::Owner) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            answer => return answer,
        }
        let content = make()?;
        self.add(name, &content).map_err(|source| KeyError::file(&path, source))?;
        read(&path, Privacy::Owner)
    }

    /// Adds a file unless there is one. It has its whole content from the first moment, also after a crash: it is written
    /// under another name and linked. Creating it under its own name would show others an empty key, renaming would replace theirs.
    pub fn add(&self, name: &str, content: &Secret) -> io::Result<()> {
        let draft = self.path(&format!(".{name}.{}", random::identifier()));
        let result = write_new(&draft, content).and_then(|()| match fs::hard_link(&draft, self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        });
        fs::remove_file(&draft).or_else(|error| if result.is_err() { Ok(()) } else { Err(error) })?;
        result?;
        File::open(&self.0)?.sync_all()
    }
}

/// The mode of a folder of ours that others may write to.
fn open_to_others(path: &Path) -> Result<Option<u32>, KeyError> {
    let metadata = fs::metadata(path).map_err(|source| KeyError::file(path, source))?;
    let mode = metadata.mode() & 0o7777;
    match Guarded::of(metadata.uid(), mode, geteuid().as_raw()) {
        Guarded::Yes => Ok(None),
        Guarded::NotYet => Ok(Some(mode)),
        Guarded::No => Err(writable(path, mode)),
        Guarded::Foreign => Err(foreign(path, metadata.uid())),
    }
}

fn writable(path: &Path, mode: u32) -> KeyError {
    KeyError::Writable { path: path.to_owned(), mode }
}

fn foreign(path: &Path, owner: u32) -> KeyError {
    KeyError::Foreign { path: path.to_owned(), owner, me: geteuid().as_raw() }
}

/// Fails unless a file in the folder is ours, or root's.
pub fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), KeyError> {
    match Guarded::of(metadata.uid(), 0, geteuid().as_raw()) {
        Guarded::Foreign => Err(foreign(path, metadata.uid())),
        Guarded::Yes | Guarded::NotYet | Guarded::No => Ok(()),
    }
}

/// Reads a key file.
///
/// # Errors
/// There is none, it is no plain file, is unreasonably long, or open to others than it should be. One that we made is ours.
pub fn read(path: &Path, privacy: Privacy) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source| KeyError::file(path, source);
    // Asked before it is opened: opening a named pipe would wait for a writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a plain file")));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    if mode & privacy.forbidden() != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    if privacy == Privacy::Owner {
        check_owner(path, &metadata)?;
    }
    if metadata.len() > MAX_LENGTH {
        return Err(failed(io::Error::other("too long for a key file")));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    file.take(MAX_LENGTH).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

fn write_new(path: &Path, content: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.expose().as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crash_8_a_folder_is_ours_or_roots_and_nobody_else_writes_to_it() {
        for (owner, mode, verdict) in [
            (1000, 0o700, Guarded::Yes),
            (1000, 0o755, Guarded::Yes),
            (0, 0o755, Guarded::Yes),
            (1000, 0o775, Guarded::NotYet),
            (1000, 0o1777, Guarded::NotYet),
            (0, 0o2775, Guarded::No),
            (1001, 0o700, Guarded::Foreign),
            (1001, 0o777, Guarded::Foreign),
        ] {
            assert_eq!(Guarded::of(owner, mode, 1000), verdict, "{owner} {mode:o}");
        }
        assert_eq!(Guarded::of(1000, 0o700, 0), Guarded::Foreign, "root writes keys that their owner could not read");
    }
}
