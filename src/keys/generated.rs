//! Generated signing keys in their folder. The name of a file says from when on its key signs, `signing-es256-1800000000.pem`;
//! a file is never changed, only added and removed, so that no crash leaves anything half done.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::config::section::SigningAlgorithm;
use crate::keys::KeyError;
use crate::keys::folder::Folder;
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

/// Whoever holds this is the only one, of all processes, that adds and removes keys. The system takes it back when a process
/// ends, however that happens.
pub struct Turn<'a> {
    folder: &'a Folder,
    _lock: File,
}

impl<'a> Turn<'a> {
    /// Waits until it is one's turn.
    pub fn wait(folder: &'a Folder) -> Result<Self, KeyError> {
        Self::lock(folder, FlockOperation::LockExclusive)
    }

    /// `None`: somebody else is at it.
    pub fn take(folder: &'a Folder) -> Result<Option<Self>, KeyError> {
        match Self::lock(folder, FlockOperation::NonBlockingLockExclusive) {
            Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            turn => turn.map(Some),
        }
    }

    fn lock(folder: &'a Folder, operation: FlockOperation) -> Result<Self, KeyError> {
        // A file of ours rather than the folder: whoever may list the folder could lock that, and no key would change any more.
        let path = folder.path(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(|source| KeyError::file(&path, source))?;
        flock(&lock, operation).map_err(|error| KeyError::file(&path, error.into()))?;
        Ok(Self { folder, _lock: lock })
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
