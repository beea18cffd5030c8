//! The lock of the processes that write one trail: on a file of its own beside the trail, which nobody else may open. On the trail
//! itself whoever may read it could hold a lock, and with it every login.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::audit::owner::Owner;

/// What nobody else may do with the file: anything.
const OTHERS: u32 = 0o077;

/// The way to be the only one who writes.
pub(super) struct Lock {
    path: PathBuf,
    file: File,
    /// Whose the trail is.
    owner: Owner,
}

/// Nobody else writes while this is there. The system takes it back when a process ends, however that happens.
pub(super) struct Turn<'a>(&'a File);

impl Lock {
    /// The lock of the trail of this name.
    pub(super) fn beside(trail: &Path, owner: Owner) -> io::Result<Self> {
        let mut name = OsString::from(trail);
        name.push(".lock");
        let path = PathBuf::from(name);
        Ok(Self { file: open(&path, &owner)?, path, owner })
    }

    /// Waits for the turn.
    pub(super) fn wait(&mut self) -> io::Result<Turn<'_>> {
        loop {
            self.file.lock()?;
            // Whoever removed it has left the others without a lock in common.
            let (ours, named) = (self.file.metadata()?, fs::metadata(&self.path));
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Turn(&self.file));
            }
            self.file = open(&self.path, &self.owner)?;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the lock of the audit trail could not be given back");
        }
    }
}

fn open(path: &Path, owner: &Owner) -> io::Result<File> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    // Nothing is made behind a link, and a named pipe is not waited for.
    let careful = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(careful);
    let file = loop {
        match options.clone().create_new(true).open(path) {
            Ok(file) => {
                owner.keep(&file);
                break file;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        match options.open(path) {
            // It was removed in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => break opened.map_err(failed)?,
        }
    };
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(mode & !OTHERS)).map_err(failed)?;
    }
    Ok(file)
}
