//! Keys, and everything made or checked with them: access tokens, client assertions, the key set, derived values, sealed
//! secrets, and tokens that others signed.
//!
//! Owns every use of josekit, rsa and p256, and the files that private keys are kept in. What a token means (issuer, audience,
//! time, revocation) is not decided here.

mod client_key;
mod compact;
mod derivation;
mod folder;
mod generated;
mod foreign;
mod foreign_algorithm;
mod foreign_key;
mod members;
mod pem;
mod private_key;
mod public_key;
mod ring;
mod rotation;
mod schedule;
mod seal;
mod token;

pub use foreign::LIMITS as FOREIGN_LIMITS;
pub use schedule::LIMITS as SCHEDULE_LIMITS;
pub use token::LIMITS as TOKEN_LIMITS;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::watch;

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::derivation::DerivationKey;
use crate::keys::folder::Folder;
use crate::keys::pem::Unfit;
use crate::keys::private_key::PrivateKey;
use crate::keys::ring::Ring;
use crate::protocol::oauth::claims::AccessTokenClaims;

pub use client_key::ClientKey;
pub use foreign::{
    ForeignTokenFault, KeySet, MAX_FOREIGN_TOKEN_LENGTH, Verified, foreign_algorithms, unverified_payload,
};
pub use rotation::{Begin, KeyChange, KeyRole, ListedKey, Rotated, Untended};
pub use token::{MAX_TOKEN_LENGTH, TokenFault};

/// The keys of this installation. Which of them signs follows from the time; [`Keys::tend`] makes the next one when it is due
/// and learns of what others do in the folder.
pub struct Keys {
    settings: Signing,
    folder: Folder,
    ring: ArcSwap<Ring>,
    /// The one that was made because there was none.
    first_key: Option<String>,
    /// Told a new number whenever the keys are others.
    version: watch::Sender<u64>,
    derivation: DerivationKey,
}

impl Keys {
    /// Loads the configured signing key, or the generated ones, of which the first is made at the first start.
    ///
    /// # Errors
    /// A file cannot be read or made, is open to other users, or holds no fit key; see [`KeyError`].
    pub fn open(signing: &Signing, now: Timestamp) -> Result<Self, KeyError> {
        let folder = Folder::open(&signing.key_dir)?;
        let mut ring = Ring::load(signing, &folder)?;
        let mut first_key = None;
        if ring.signer(now).is_none() {
            ring = rotation::add_key(signing, &folder, &ring, now)?;
            first_key = ring.signer(now).map(|signer| signer.key.verifying.key_id.clone());
        }
        let derivation = DerivationKey::open(&folder)?;
        let (settings, version) = (signing.clone(), watch::Sender::new(0));
        Ok(Self { settings, folder, ring: ArcSwap::from_pointee(ring), first_key, version, derivation })
    }

    /// Whether the keys that are there could be opened; makes and changes nothing, for `config check`. Gives what deserves a
    /// word.
    ///
    /// # Errors
    /// As [`Keys::open`] about them.
    pub fn check(signing: &Signing) -> Result<Option<String>, KeyError> {
        match Folder::check(&signing.key_dir)? {
            Some((folder, word)) => Ring::load(signing, &folder).map(|_| word),
            // Nothing was generated yet.
            None => Ring::load(&Signing { ephemeral: true, ..signing.clone() }, &Folder::none()).map(|_| None),
        }
    }

    /// Signs an access token (RFC 9068 §2.1) with the key of its `iat`.
    ///
    /// # Errors
    /// [`KeyError::Signing`]: OpenSSL failed, or the token would be too long to be accepted again.
    pub fn sign(&self, claims: &AccessTokenClaims) -> Result<Secret, KeyError> {
        let ring = self.ring.load();
        let signer = ring.signer(claims.issued_at).ok_or_else(|| KeyError::Signing("there is no key".to_owned()))?;
        signer.key.sign(claims)
    }

    /// The claims of an access token that one of our keys signed. Issuer, audience, time and revocation are the caller's to
    /// check.
    ///
    /// # Errors
    /// Anything that is not exactly such a token. Never panics, whatever comes.
    pub fn verify(&self, token: &str) -> Result<AccessTokenClaims, TokenFault> {
        self.verify_with_key(token).map(|(claims, _)| claims)
    }

    /// The same, and the `kid` of the key, to be asked about with [`Keys::has_key`].
    ///
    /// # Errors
    /// As [`Keys::verify`].
    pub fn verify_with_key(&self, token: &str) -> Result<(AccessTokenClaims, String), TokenFault> {
        let token = token::unverified(token)?;
        let ring = self.ring.load();
        let key = ring.find(token.key_id()).ok_or(TokenFault::Key)?;
        Ok((key.verify(&token)?, key.key_id.clone()))
    }

    /// `kid` of the key that was made when these were opened, because there was none.
    #[must_use]
    pub fn first_key(&self) -> Option<&str> {
        self.first_key.as_deref()
    }

    /// `kid` of the key that signs at `now`.
    #[must_use]
    pub fn signing_key(&self, now: Timestamp) -> Option<String> {
        self.ring.load().signer(now).map(|signer| signer.key.verifying.key_id.clone())
    }

    /// Whether what this key signed is still accepted.
    #[must_use]
    pub fn has_key(&self, key_id: &str) -> bool {
        self.ring.load().find(key_id).is_some()
    }

    /// Told a new number whenever keys were added or taken away. Subscribe first, and ask [`Keys::has_key`] then.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The public keys as a JWK set (RFC 7517 §5), ready to send: also the one that will sign next, so that it is known
    /// everywhere when it does.
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.ring.load().jwks()
    }

    /// A value of 256 bits, in base64url, that follows from `label` and `input` and that nobody else can make.
    /// The same after a restart.
    #[must_use]
    pub fn derive(&self, label: &str, input: &[&[u8]]) -> Secret {
        self.derivation.derive(label, input)
    }

    /// Makes a secret unreadable to whoever only has the store. `label` says what it is; it opens under that label alone.
    ///
    /// # Errors
    /// [`KeyError::Sealing`]: OpenSSL failed.
    pub fn seal(&self, label: &str, secret: &Secret) -> Result<String, KeyError> {
        seal::seal(&self.derivation, label, secret)
    }

    /// What was sealed. `None`: under another label or key, or changed since.
    #[must_use]
    pub fn unseal(&self, label: &str, sealed: &str) -> Option<Secret> {
        seal::unseal(&self.derivation, label, sealed)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ring.load().verifying().map(|key| &key.key_id)).finish()
    }
}

/// Makes a private key, in PEM (PKCS#8): RSA of 2048 bits, EC on P-256 or Ed25519.
///
/// # Errors
/// [`KeyError::Generation`]: OpenSSL or the system's random numbers failed.
pub fn generate(algorithm: SigningAlgorithm) -> Result<Secret, KeyError> {
    let pkcs8 = PrivateKey::generate(algorithm).and_then(|key| key.to_pkcs8());
    pkcs8.map(|der| Secret::from(pem::private_key(&der))).map_err(|Unfit(error)| KeyError::Generation(error))
}

/// Why there is no usable key, or no token.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or folder cannot be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is open to other users.
    #[error("{} is open to other users (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others may put keys into the folder.
    #[error(
        "{} can be written to by other users (mode {mode:04o}), who could put a signing key into it; run: chmod go-w {}, or name a folder in it as key_dir, which is then made with mode 0700",
        path.display(), path.display()
    )]
    Writable {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file or folder of the generated keys belongs to somebody else.
    #[error(
        "{} belongs to user {owner}, and this is user {me}: whoever owns the keys can change them; run this as user {owner}, or: chown -R {me} {}",
        path.display(), path.display()
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        me: u32,
    },
    /// `.lock` is not the file that we made.
    #[error("{} is no plain file; remove it", path.display())]
    Lock {
        /// Which.
        path: PathBuf,
    },
    /// Another process holds the folder of the keys.
    #[error(
        "{} is held by another process for {} seconds already; `fuser {}` says by which",
        path.display(), waited.as_secs(), path.display()
    )]
    Held {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A key file holds no fit key.
    #[error("{} holds {found}; needed is {needed}. Make one with: {command}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What it should hold.
        needed: &'static str,
        /// The command that makes such a key.
        command: String,
    },
    /// A file of `additional_keys` holds no fit key.
    #[error("{} holds {found}; needed is a public or private key in PEM: EC on P-256, RSA of 2048 to 4096 bits, or Ed25519", path.display())]
    UnusableAdditional {
        /// Which.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// `derivation.key` is not what we wrote.
    #[error(
        "{} is damaged; restore it, or remove it to have a new one made (every login then starts anew)",
        path.display()
    )]
    Derivation {
        /// Where it stands.
        path: PathBuf,
    },
    /// No key could be generated.
    #[error("no key could be generated: {0}")]
    Generation(String),
    /// No token could be signed.
    #[error("no token could be signed: {0}")]
    Signing(String),
    /// No secret could be sealed.
    #[error("no secret could be sealed: {0}")]
    Sealing(String),
}

impl KeyError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

fn unusable(path: &Path, Unfit(found): Unfit, algorithm: Option<SigningAlgorithm>) -> KeyError {
    let needed = match algorithm {
        None => "an unencrypted private key in PEM: EC on P-256, RSA of 2048 to 4096 bits, or Ed25519",
        Some(SigningAlgorithm::Es256) => "an unencrypted EC private key on P-256 in PEM, for algorithm ES256",
        Some(SigningAlgorithm::Rs256) => {
            "an unencrypted RSA private key of 2048 to 4096 bits in PEM, for algorithm RS256"
        }
        Some(SigningAlgorithm::EdDsa) => "an unencrypted Ed25519 private key in PEM, for algorithm EdDSA",
    };
    // A new file: what stands in the other one may still be wanted.
    let file = path.with_extension("new.pem");
    let file = file.display();
    let command = match algorithm {
        None | Some(SigningAlgorithm::Es256) => format!("openssl ecparam -genkey -name prime256v1 -noout -out {file}"),
        Some(SigningAlgorithm::Rs256) => format!("openssl genrsa -out {file} 2048"),
        Some(SigningAlgorithm::EdDsa) => format!("openssl genpkey -algorithm ed25519 -out {file}"),
    };
    KeyError::Unusable { path: path.to_owned(), found, needed, command }
}
