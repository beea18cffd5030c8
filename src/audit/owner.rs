//! Whose the files of the trail are: the bridge's, also where a command that root runs beside it makes them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};

/// The user and the group that a file belongs to.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Whose this file is.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self { uid: metadata.uid(), gid: metadata.gid() })
    }

    /// Gives a file that was just made to this one. Never a file that was there: it may be a link to another.
    pub(super) fn keep(&self, made: &File) {
        let is_theirs = Self::of(made).is_ok_and(|is| (is.uid, is.gid) == (self.uid, self.gid));
        if !is_theirs && let Err(error) = fchown(made, Some(self.uid), Some(self.gid)) {
            // Only root can, and only root has to.
            tracing::debug!(%error, "a file of the audit trail could not be given to its owner");
        }
    }
}
