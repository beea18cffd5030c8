//! The keys in use at one moment: those that sign, each in its time, and those that only verify.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::config::section::{AdditionalKey, Signing, SigningAlgorithm};
use crate::keys::folder::{self, Folder, Privacy};
use crate::keys::generated;
use crate::keys::pem::Unfit;
use crate::keys::private_key::{self, PrivateKey};
use crate::keys::schedule;
use crate::keys::token::{SigningKey, VerifyingKey};
use crate::keys::{KeyError, unusable};

/// The keys, and the set of them that is published.
pub struct Ring {
    /// In the order in which they sign.
    pub signing: Vec<Arc<Signer>>,
    additional: Vec<VerifyingKey>,
    jwks: Bytes,
    /// What it was made of.
    marks: Vec<Mark>,
}

/// A key that signs from some time on.
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// From when on.
    pub signs_from: Timestamp,
    /// Its file; `None` for one in memory.
    mark: Option<Mark>,
}

/// A file as it was when it was read: another inode, size, owner, mode or time is another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    path: PathBuf,
    file: Option<(u64, u64, u32, u32, i64, i64)>,
}

impl Mark {
    fn of(path: PathBuf) -> Self {
        let file = fs::metadata(&path).ok();
        let file = file.map(|file| (file.ino(), file.len(), file.uid(), file.mode(), file.mtime(), file.mtime_nsec()));
        Self { path, file }
    }
}

impl Ring {
    /// The files that the keys of a configuration stand in now, without reading any.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn scan(signing: &Signing, folder: &Folder) -> Result<Vec<Mark>, KeyError> {
        let generated = match (&signing.key_file, signing.ephemeral) {
            (Some(key_file), _) => vec![key_file.clone()],
            (None, true) => Vec::new(),
            (None, false) => generated::list(folder)?.iter().map(|key| folder.path(&key.name)).collect(),
        };
        let additional = signing.additional_keys.iter().map(|key| key.key_file.clone());
        Ok(generated.into_iter().chain(additional).map(Mark::of).collect())
    }

    /// Loads the keys of a configuration.
    ///
    /// # Errors
    /// A file cannot be read, is open to others or holds no fit key.
    pub fn load(signing: &Signing, folder: &Folder) -> Result<Self, KeyError> {
        let (ring, unfit) = Self::load_anew(signing, folder, &Self::new(Vec::new(), Vec::new(), Vec::new()))?;
        unfit.into_iter().next().map_or(Ok(ring), |file| Err(file.fault))
    }

    /// The same when some are known already from `before`: these are not read again, and keys in memory stay. A file that has
    /// become unfit leaves its key as it was and is told of; it is looked at again next time. What is there no more is gone
    /// whatever stands beside it, or a key that had to be taken away would count on for as long as that takes to mend.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn load_anew(signing: &Signing, folder: &Folder, before: &Self) -> Result<(Self, Vec<UnfitFile>), KeyError> {
        let mut found = Found { marks: Self::scan(signing, folder)?, unfit: Vec::new() };
        let keys = match (&signing.key_file, signing.ephemeral) {
            (Some(path), _) => {
                let key = load_named(path, signing);
                found.settle(path, key, before.signing.first().map(Arc::clone)).into_iter().collect()
            }
            (None, true) => before.signing.clone(),
            (None, false) => load_generated(folder, before, &mut found)?,
        };
        let additional = signing.additional_keys.iter().enumerate();
        let additional = additional.filter_map(|(index, key)| {
            found.settle(&key.key_file, load_additional(key), before.additional.get(index).cloned())
        });
        let additional = additional.collect();
        Ok((Self::new(keys, additional, found.marks), found.unfit))
    }

    fn new(signing: Vec<Arc<Signer>>, additional: Vec<VerifyingKey>, marks: Vec<Mark>) -> Self {
        let mut ring = Self { signing, additional, jwks: Bytes::new(), marks };
        let mut jwks: Vec<Value> = Vec::new();
        for key in ring.verifying() {
            // RFC 7517 §4.5: one key of a name. A key may be listed as additional before it signs, and after.
            if !jwks.iter().any(|known| known["kid"] == key.key_id.as_str()) {
                jwks.push(key.jwk());
            }
        }
        ring.jwks = Bytes::from(json!({ "keys": jwks }).to_string());
        ring
    }

    /// The same with another set of keys that sign, in memory; the others stay.
    pub fn with_signers(&self, keys: Vec<Arc<Signer>>) -> Self {
        Self::new(keys, self.additional.clone(), self.marks.clone())
    }

    /// Whether the files are still those it was made of.
    pub fn is_of(&self, marks: &[Mark]) -> bool {
        self.marks == marks
    }

    /// The key that signs now.
    pub fn signer(&self, now: Timestamp) -> Option<&Signer> {
        schedule::signing(&self.times(), now).and_then(|index| self.signing.get(index)).map(AsRef::as_ref)
    }

    /// From when on each of the keys signs.
    pub fn times(&self) -> Vec<Timestamp> {
        self.signing.iter().map(|signer| signer.signs_from).collect()
    }

    /// The key of this `kid`.
    pub fn find(&self, key_id: &str) -> Option<&VerifyingKey> {
        self.verifying().find(|key| key.key_id == key_id)
    }

    /// Every key that verifies.
    pub fn verifying(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.signing.iter().map(|signer| &signer.key.verifying).chain(&self.additional)
    }

    /// The keys that only verify.
    pub fn additional(&self) -> &[VerifyingKey] {
        &self.additional
    }

    /// The JWK set (RFC 7517 §5).
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }
}

impl Signer {
    /// A key out of a file.
    fn new(
        path: &Path,
        key: &PrivateKey,
        key_id: Option<&str>,
        signs_from: Timestamp,
        mark: Option<Mark>,
    ) -> Result<Self, KeyError> {
        let key = SigningKey::new(key, key_id).map_err(|unfit| unusable(path, unfit, None))?;
        Ok(Self { key, signs_from, mark })
    }

    /// A new key that is in memory alone.
    pub fn in_memory(algorithm: SigningAlgorithm, signs_from: Timestamp) -> Result<Self, KeyError> {
        let failed = |Unfit(error)| KeyError::Generation(error);
        let key = PrivateKey::generate(algorithm).and_then(|key| SigningKey::new(&key, None)).map_err(failed)?;
        Ok(Self { key, signs_from, mark: None })
    }

    /// Its file.
    pub fn path(&self) -> Option<&Path> {
        self.mark.as_ref().map(|mark| mark.path.as_path())
    }
}

/// The key in a file, if it fits the configured algorithm.
pub fn load(path: &Path, privacy: Privacy, algorithm: Option<SigningAlgorithm>) -> Result<PrivateKey, KeyError> {
    let content = folder::read(path, privacy)?;
    // What is no text has no PEM block either, and is answered as such.
    let key = PrivateKey::from_pem(std::str::from_utf8(&content).unwrap_or_default());
    let fits = |key: &PrivateKey| algorithm.is_none_or(|algorithm| algorithm == key.public_key().algorithm());
    key.and_then(|key| if fits(&key) { Ok(key) } else { Err(Unfit(key.description())) })
        .map_err(|unfit| unusable(path, unfit, algorithm))
}

/// A file that holds no key that can be used.
pub struct UnfitFile {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub fault: KeyError,
}

/// What is made of the files.
struct Found {
    /// Those of which nothing more is to be said.
    marks: Vec<Mark>,
    /// The others.
    unfit: Vec<UnfitFile>,
}

impl Found {
    /// The key of a file; where that is unfit, the one `before`.
    fn settle<T>(&mut self, path: &Path, key: Result<T, KeyError>, before: Option<T>) -> Option<T> {
        match key {
            Ok(key) => Some(key),
            Err(fault) => {
                self.marks.retain(|mark| mark.path != path);
                self.unfit.push(UnfitFile { path: path.to_owned(), fault });
                before
            }
        }
    }
}

/// The key of `key_file`.
fn load_named(path: &Path, signing: &Signing) -> Result<Arc<Signer>, KeyError> {
    let key = load(path, Privacy::Group, signing.algorithm)?;
    let mark = Mark::of(path.to_owned());
    Signer::new(path, &key, signing.key_id.as_deref(), Timestamp::from_unix(0), Some(mark)).map(Arc::new)
}

fn load_generated(folder: &Folder, before: &Ring, found: &mut Found) -> Result<Vec<Arc<Signer>>, KeyError> {
    let mut keys = Vec::new();
    for dated in generated::list(folder)? {
        let path = folder.path(&dated.name);
        let mark = Mark::of(path.clone());
        let known = before.signing.iter().find(|signer| signer.path() == Some(&path)).map(Arc::clone);
        if let Some(known) = known.as_ref().filter(|known| known.mark.as_ref() == Some(&mark)) {
            keys.push(Arc::clone(known));
            continue;
        }
        let key = match load(&path, Privacy::Owner, None) {
            // Taken away since the folder was read.
            Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            key => key.and_then(|key| Signer::new(&path, &key, None, dated.signs_from, Some(mark))),
        };
        keys.extend(found.settle(&path, key.map(Arc::new), known));
    }
    Ok(keys)
}

fn load_additional(key: &AdditionalKey) -> Result<VerifyingKey, KeyError> {
    let path = key.key_file.as_path();
    let content = folder::read(path, Privacy::Public)?;
    let text = std::str::from_utf8(&content).unwrap_or_default();
    if text.contains("PRIVATE KEY") {
        folder::read(path, Privacy::Group)?;
    }
    private_key::public_key_from_pem(text)
        .and_then(|public_key| VerifyingKey::new(public_key, key.key_id.as_deref()))
        .map_err(|Unfit(found)| KeyError::UnusableAdditional { path: path.to_owned(), found })
}
