//! Generated signing keys in their folder. The name of a file says from when on its key signs, `signing-es256-1800000000.pem`;
//! a file is never changed, only added and removed, so that no crash leaves anything half done.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::config::section::SigningAlgorithm;
use crate::keys::KeyError;
use crate::keys::folder::{self, Folder};
use crate::keys::schedule;

/// A generated key by its file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dated {
    /// From when on it signs.
    pub signs_from: Timestamp,
    /// The name.
    pub name: String,
}

impl Dated {
    /// The file's name says it; one without a date is of a version before there was rotation.
    fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("signing-")?.strip_suffix(".pem")?;
        let (algorithm, signs_from) = match rest.split_once('-') {
            Some((algorithm, seconds)) => (algorithm, seconds.parse().ok()?),
            None => (rest, 0),
        };
        let is_known = ALGORITHMS.iter().any(|(known, _)| *known == algorithm);
        is_known.then(|| Self { signs_from: Timestamp::from_unix(signs_from), name: name.to_owned() })
    }

    fn new(algorithm: SigningAlgorithm, signs_from: Timestamp) -> Self {
        let word = ALGORITHMS.iter().find(|(_, known)| *known == algorithm).map_or("", |(word, _)| word);
        Self { signs_from, name: format!("signing-{word}-{}.pem", signs_from.unix()) }
    }
}

/// The words of file names.
const ALGORITHMS: [(&str, SigningAlgorithm); 3] =
    [("rs256", SigningAlgorithm::Rs256), ("es256", SigningAlgorithm::Es256), ("eddsa", SigningAlgorithm::EdDsa)];

/// The keys of a folder, in the order in which they sign.
pub fn list(folder: &Folder) -> Result<Vec<Dated>, KeyError> {
    let mut keys: Vec<Dated> = folder.names()?.iter().filter_map(|name| Dated::parse(name)).collect();
    keys.sort();
    Ok(keys)
}

/// The times of keys.
pub fn times(keys: &[Dated]) -> Vec<Timestamp> {
    keys.iter().map(|key| key.signs_from).collect()
}

/// The file of the key that signs now, by its name: whether what stands in it is fit is not asked.
pub fn signing(folder: &Folder, now: Timestamp) -> Result<Option<PathBuf>, KeyError> {
    let keys = list(folder)?;
    let signing = schedule::signing(&times(&keys), now).and_then(|index| keys.get(index));
    Ok(signing.map(|key| folder.path(&key.name)))
}

/// What [`Turn`] locks.
const LOCK: &str = ".lock";
/// How long another process may take: it makes a key, and a slow machine makes RSA in seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked whether it is done.
const INTERVAL: Duration = Duration::from_millis(20);

/// Whoever holds this is the only one, of all processes, that adds and removes keys. The system takes it back when a process
/// ends, however that happens.
pub struct Turn<'a> {
    folder: &'a Folder,
    _lock: File,
}

impl<'a> Turn<'a> {
    /// Waits until it is one's turn, but not for ever: a process that was stopped while it held the lock gives no sign.
    pub fn wait(folder: &'a Folder) -> Result<Self, KeyError> {
        let began = Instant::now();
        loop {
            if let Some(turn) = Self::take(folder)? {
                return Ok(turn);
            }
            if began.elapsed() >= PATIENCE {
                return Err(KeyError::Held { path: folder.path(LOCK), waited: PATIENCE });
            }
            thread::sleep(INTERVAL);
        }
    }

    /// `None`: somebody else is at it.
    pub fn take(folder: &'a Folder) -> Result<Option<Self>, KeyError> {
        let path = folder.path(LOCK);
        let lock = open_lock(&path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { folder, _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(KeyError::file(&path, error.into())),
        }
    }

    /// Adds a key that signs from some time on, or a little later where that time is taken.
    pub fn add(
        &self,
        algorithm: SigningAlgorithm,
        signs_from: Timestamp,
        pem: &Secret,
    ) -> Result<(PathBuf, Timestamp), KeyError> {
        let taken = times(&list(self.folder)?);
        let mut signs_from = signs_from;
        while taken.contains(&signs_from) {
            signs_from = signs_from + Duration::from_secs(1);
        }
        let name = Dated::new(algorithm, signs_from).name;
        self.folder.add(&name, pem).map_err(|source| KeyError::file(&self.folder.path(&name), source))?;
        Ok((self.folder.path(&name), signs_from))
    }

    /// Removes the keys nobody can have a valid token of, and what a crash left of keys that never came to be.
    pub fn remove_ended(&self, now: Timestamp, longest_token: Duration) -> Result<(), KeyError> {
        let keys = list(self.folder)?;
        let ended = schedule::ended(&times(&keys), now, longest_token);
        let drafts = self.folder.names()?.into_iter().filter(|name| name.starts_with(".signing-"));
        for name in keys.into_iter().take(ended).map(|key| key.name).chain(drafts) {
            self.folder.remove(&name)?;
        }
        Ok(())
    }
}

/// A file of ours rather than the folder: whoever may list the folder could lock that, and no key would change any more. For
/// the same reason it is nobody else's, and open to nobody else.
fn open_lock(path: &Path) -> Result<File, KeyError> {
    // Nothing is made behind a link, and a named pipe is not waited for.
    let careful = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).custom_flags(careful);
    let lock = options.open(path).map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => KeyError::Lock { path: path.to_owned() },
        _ => KeyError::file(path, source),
    })?;
    let metadata = lock.metadata().map_err(|source| KeyError::file(path, source))?;
    if !metadata.is_file() {
        return Err(KeyError::Lock { path: path.to_owned() });
    }
    folder::check_owner(path, &metadata)?;
    match metadata.mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(KeyError::Mode { path: path.to_owned(), mode }),
        _ => Ok(lock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_are_read_as_they_are_written_and_other_files_are_none() {
        for (_, algorithm) in ALGORITHMS {
            let key = Dated::new(algorithm, Timestamp::from_unix(1_800_000_000));
            assert_eq!(Dated::parse(&key.name), Some(key));
        }
        assert_eq!(Dated::parse("signing-es256.pem").map(|key| key.signs_from), Some(Timestamp::from_unix(0)));
        for other in ["derivation.key", "signing-es256.new.pem", "signing-es512-1.pem", "signing-es256-x.pem", "a.pem"]
        {
            assert_eq!(Dated::parse(other), None, "{other}");
        }
    }
}
