//! One key after the other: the next is published before it signs, the one before is kept until its last token has ended.
//! Safe beside other processes at the same folder, and wherever one is killed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Timestamp};
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::folder::Folder;
use crate::keys::generated::{self, Turn};
use crate::keys::ring::{Ring, Signer, UnfitFile};
use crate::keys::token::VerifyingKey;
use crate::keys::{KeyError, Keys, compact, generate, schedule};

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It is published, and signs from some time on.
    Added {
        /// `kid`.
        key_id: String,
        /// From when on.
        signs_from: Timestamp,
    },
    /// Its tokens are refused from now on: all of them have ended, or the operator took it away.
    Removed {
        /// `kid`.
        key_id: String,
    },
}

/// Why the keys are not up to date in everything.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Untended {
    /// What became of them all the same.
    pub changes: Vec<KeyChange>,
    /// What is wrong.
    pub source: KeyError,
}

/// A key, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// `kid`.
    pub key_id: String,
    /// Its algorithm, as it is written on the wire.
    pub algorithm: &'static str,
    /// What it is for.
    pub role: KeyRole,
    /// Its file.
    pub path: Option<PathBuf>,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// It will sign.
    Next(Timestamp),
    /// It signs, since then.
    Signs(Timestamp),
    /// It signed until another did; its tokens are accepted until they end.
    Before(Timestamp),
    /// It is one of `additional_keys`.
    Additional,
}

/// When a new key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// After it was published for as long as others keep a key set.
    Published,
    /// As soon as every process that shares the folder has noticed it.
    AtOnce,
}

/// What became of the wish for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// It is there.
    Added(ListedKey),
    /// One waits for its time already.
    Waiting(Timestamp),
}

impl Keys {
    /// Learns of keys that were added or taken away, makes the next one when it is due, and removes those of which every
    /// token has ended when tokens live for `longest_token` at most. To be called every second; it reads no file that it knows.
    ///
    /// # Errors
    /// As [`Keys::open`]. The keys are then what they were, but for those that were taken away.
    pub fn tend(&self, now: Timestamp, longest_token: Duration) -> Result<Vec<KeyChange>, Untended> {
        let mut changes = Vec::new();
        match self.try_tend(now, longest_token, &mut changes) {
            Ok(()) => Ok(changes),
            Err(source) => Err(Untended { changes, source }),
        }
    }

    fn try_tend(&self, now: Timestamp, longest_token: Duration, changes: &mut Vec<KeyChange>) -> Result<(), KeyError> {
        let before = self.ring.load_full();
        let mut unfit = Vec::new();
        if !before.is_of(&Ring::scan(&self.settings, &self.folder)?) {
            let mut ring;
            (ring, unfit) = Ring::load_anew(&self.settings, &self.folder, &before)?;
            if self.settings.key_file.is_some() {
                // Files that an operator is just replacing are taken together, or not yet.
                fit(&mut unfit)?;
            }
            if ring.signer(now).is_none() {
                // All of them were taken away: others have to learn of the new one as they can.
                ring = add_key(&self.settings, &self.folder, &ring, now)?;
            }
            changes.extend(self.replace(ring));
        }
        if self.settings.key_file.is_none() {
            check_signing(&self.folder, &mut unfit, now)?;
            changes.extend(self.rotate_when_due(now, longest_token)?);
        }
        // Of one that only verifies, or waits, the operator is told; the others take their turns all the same.
        fit(&mut unfit)
    }

    fn rotate_when_due(&self, now: Timestamp, longest_token: Duration) -> Result<Vec<KeyChange>, KeyError> {
        let ring = self.ring.load_full();
        let has_ended = schedule::ended(&ring.times(), now, longest_token);
        if due(&self.settings, &ring, now).is_none() && has_ended == 0 {
            return Ok(Vec::new());
        }
        if self.settings.ephemeral {
            let kept = ring.with_signers(ring.signing.iter().skip(has_ended).cloned().collect());
            return Ok(self.replace(add_key_when_due(&self.settings, kept, now)?));
        }
        // Another process is at it: its work is seen next time.
        let Some(turn) = Turn::take(&self.folder)? else { return Ok(Vec::new()) };
        let current = self.load_to_rotate(&ring, now)?;
        if let Some(signs_from) = due(&self.settings, &current, now) {
            let algorithm = algorithm(&self.settings);
            turn.add(algorithm, signs_from, &generate(algorithm)?)?;
        }
        turn.remove_ended(now, longest_token)?;
        Ok(self.replace(self.load_to_rotate(&current, now)?))
    }

    /// The keys as they are now, if the one that signs is fit. Of others the caller has said, or will the next time.
    fn load_to_rotate(&self, before: &Ring, now: Timestamp) -> Result<Ring, KeyError> {
        let (ring, mut unfit) = Ring::load_anew(&self.settings, &self.folder, before)?;
        check_signing(&self.folder, &mut unfit, now).map(|()| ring)
    }

    fn replace(&self, ring: Ring) -> Vec<KeyChange> {
        let ring = Arc::new(ring);
        let before = self.ring.swap(Arc::clone(&ring));
        let changes = changes(&before, &ring);
        if !changes.is_empty() {
            self.version.send_modify(|version| *version += 1);
        }
        changes
    }

    /// The keys of a configuration, without making any. Those of `ephemeral` are in the running process alone.
    ///
    /// # Errors
    /// As [`Keys::open`].
    pub fn list(signing: &Signing, now: Timestamp) -> Result<Vec<ListedKey>, KeyError> {
        let folder = Folder::existing(&signing.key_dir).unwrap_or_else(Folder::none);
        Ok(listed(&Ring::load(signing, &folder)?, now))
    }

    /// Adds a key that signs next, beside a running process or before the first. The configuration has generated keys.
    ///
    /// # Errors
    /// As [`Keys::open`].
    pub fn rotate(signing: &Signing, begin: Begin, clock: &Clock) -> Result<Rotated, KeyError> {
        let folder = Folder::open(&signing.key_dir)?;
        let turn = Turn::wait(&folder)?;
        let now = clock.now();
        let ring = Ring::load(signing, &folder)?;
        let signs_from = match begin {
            _ if ring.signing.is_empty() => now,
            Begin::AtOnce => now + schedule::NOTICED_WITHIN,
            Begin::Published => match schedule::pending(&ring.times(), now) {
                Some(waiting) => return Ok(Rotated::Waiting(waiting)),
                None => now + schedule::PUBLISHED_BEFORE,
            },
        };
        let algorithm = algorithm(signing);
        let (path, _) = turn.add(algorithm, signs_from, &generate(algorithm)?)?;
        let (ring, mut unfit) = Ring::load_anew(signing, &folder, &ring)?;
        fit(&mut unfit)?;
        let keys = listed(&ring, now);
        let added = keys.into_iter().find(|key| key.path.as_ref() == Some(&path));
        added.map(Rotated::Added).ok_or_else(|| KeyError::file(&path, io::ErrorKind::NotFound.into()))
    }
}

/// What generated keys sign with.
fn algorithm(signing: &Signing) -> SigningAlgorithm {
    signing.algorithm.unwrap_or(SigningAlgorithm::Es256)
}

/// From when on a key has to sign that must be made now. Another `algorithm` than that of the last key makes one due, so that
/// a change of it is a rotation like any other.
fn due(signing: &Signing, ring: &Ring, now: Timestamp) -> Option<Timestamp> {
    let times = ring.times();
    let is_other = |signer: &Arc<Signer>| signer.key.verifying.algorithm != algorithm(signing);
    if ring.signing.last().is_some_and(is_other) && schedule::pending(&times, now).is_none() {
        return Some(now + schedule::PUBLISHED_BEFORE);
    }
    schedule::due(&times, now, signing.rotation_interval)
}

/// The keys with the first one made, or whatever another process made meanwhile.
pub(super) fn add_key(signing: &Signing, folder: &Folder, ring: &Ring, now: Timestamp) -> Result<Ring, KeyError> {
    if signing.ephemeral {
        return Ok(ring.with_signers(vec![Arc::new(Signer::in_memory(algorithm(signing), now)?)]));
    }
    let turn = Turn::wait(folder)?;
    let (current, _) = Ring::load_anew(signing, folder, ring)?;
    if current.signing.is_empty() {
        turn.add(algorithm(signing), now, &generate(algorithm(signing))?)?;
    }
    Ok(Ring::load_anew(signing, folder, &current)?.0)
}

/// Fails with the first of the files that are unfit.
fn fit(unfit: &mut Vec<UnfitFile>) -> Result<(), KeyError> {
    if unfit.is_empty() { Ok(()) } else { Err(unfit.swap_remove(0).fault) }
}

/// Fails when one of the unfit files is that of the key that has to sign: nobody can know when the next has to, and which of the
/// others may go.
fn check_signing(folder: &Folder, unfit: &mut Vec<UnfitFile>, now: Timestamp) -> Result<(), KeyError> {
    if unfit.is_empty() {
        return Ok(());
    }
    let signing = generated::signing(folder, now)?;
    let found = unfit.iter().position(|file| Some(&file.path) == signing.as_ref());
    found.map_or(Ok(()), |index| Err(unfit.swap_remove(index).fault))
}

/// Of keys in memory.
fn add_key_when_due(signing: &Signing, ring: Ring, now: Timestamp) -> Result<Ring, KeyError> {
    let Some(signs_from) = due(signing, &ring, now) else { return Ok(ring) };
    let next = Arc::new(Signer::in_memory(algorithm(signing), signs_from)?);
    Ok(ring.with_signers(ring.signing.iter().cloned().chain([next]).collect()))
}

fn changes(before: &Ring, after: &Ring) -> Vec<KeyChange> {
    let removed = before.verifying().filter(|key| after.find(&key.key_id).is_none());
    let removed = removed.map(|key| KeyChange::Removed { key_id: key.key_id.clone() });
    let added = after.signing.iter().filter(|signer| before.find(&signer.key.verifying.key_id).is_none());
    let added = added
        .map(|signer| KeyChange::Added { key_id: signer.key.verifying.key_id.clone(), signs_from: signer.signs_from });
    removed.chain(added).collect()
}

fn listed(ring: &Ring, now: Timestamp) -> Vec<ListedKey> {
    let signing = schedule::signing(&ring.times(), now);
    let role = |index: usize, time| match signing {
        Some(current) if index < current => KeyRole::Before(time),
        Some(current) if index == current => KeyRole::Signs(time),
        _ => KeyRole::Next(time),
    };
    let list = |key: &VerifyingKey, role, path: Option<&Path>| ListedKey {
        key_id: key.key_id.clone(),
        algorithm: compact::name(key.algorithm),
        role,
        path: path.map(Path::to_owned),
    };
    let signers = ring.signing.iter().enumerate();
    let signers =
        signers.map(|(index, signer)| list(&signer.key.verifying, role(index, signer.signs_from), signer.path()));
    signers.chain(ring.additional().iter().map(|key| list(key, KeyRole::Additional, None))).collect()
}
