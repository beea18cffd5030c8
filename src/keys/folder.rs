//! Private files: the folder that generated keys are kept in, and the rules for reading any key file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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

/// No key file is longer than this, in bytes.
const MAX_LENGTH: u64 = 64 * 1024;

/// The folder of `signing.key_dir`.
pub struct Folder(PathBuf);

impl Folder {
    /// Takes a folder, made with mode 0700 if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or every user may write to it.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::file(path, source);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        // An existing folder keeps its mode: the repository's own `keys/` is checked out 0755, and the files are 0600.
        let mode = fs::metadata(path).map_err(failed)?.mode() & 0o7777;
        if mode & 0o002 != 0 {
            return Err(KeyError::Mode { path: path.to_owned(), mode, command: "chmod 700" });
        }
        Ok(Self(path.to_owned()))
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

/// Reads a key file.
///
/// # Errors
/// There is none, it is no plain file, is unreasonably long, or open to others than it should be.
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
        return Err(KeyError::Mode { path: path.to_owned(), mode, command: "chmod 600" });
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
