//! Keys, and everything made or checked with them: access tokens, client assertions, the key set, derived values, sealed
//! secrets, and tokens that others signed.
//!
//! Owns every use of josekit, rsa and p256, and the files that private keys are kept in. What a token means (issuer, audience,
//! time, revocation) is not decided here.

mod client_key;
mod compact;
mod derivation;
mod folder;
mod foreign;
mod foreign_algorithm;
mod foreign_key;
mod members;
mod pem;
mod private_key;
mod public_key;
mod seal;
mod token;

pub use foreign::LIMITS as FOREIGN_LIMITS;
pub use token::LIMITS as TOKEN_LIMITS;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::base::secret::Secret;
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::derivation::DerivationKey;
use crate::keys::folder::Folder;
use crate::keys::private_key::{PrivateKey, Unfit};
use crate::keys::token::TokenKey;
use crate::protocol::oauth::claims::AccessTokenClaims;

pub use client_key::ClientKey;
pub use foreign::{
    ForeignTokenFault, KeySet, MAX_FOREIGN_TOKEN_LENGTH, Verified, foreign_algorithms, unverified_payload,
};
pub use token::{MAX_TOKEN_LENGTH, TokenFault};

/// The keys of this installation.
pub struct Keys {
    token_key: TokenKey,
    derivation: DerivationKey,
    jwks: Bytes,
}

impl Keys {
    /// Loads the configured signing key, or the generated one, which is made at the first start.
    ///
    /// # Errors
    /// A file cannot be read or made, is open to other users, or holds no fit key; see [`KeyError`].
    pub fn open(signing: &Signing) -> Result<Self, KeyError> {
        let folder = Folder::open(&signing.key_dir)?;
        let (path, key) = match &signing.key_file {
            Some(path) => (path.clone(), load(path, &folder::read(path)?, signing.algorithm)?),
            None => generated(&folder, signing.algorithm.unwrap_or(SigningAlgorithm::Es256))?,
        };
        let key_id = signing.key_id.clone().unwrap_or_else(|| key.public_key().thumbprint());
        let jwks = key_set(&key, &key_id);
        let token_key = TokenKey::new(&key, key_id).map_err(|unfit| unusable(&path, unfit, signing.algorithm))?;
        Ok(Self { token_key, derivation: DerivationKey::open(&folder)?, jwks })
    }

    /// Whether the configured key file could be opened; makes nothing, for `config check`.
    ///
    /// # Errors
    /// As [`Keys::open`] about that file.
    pub fn check(signing: &Signing) -> Result<(), KeyError> {
        let Some(path) = &signing.key_file else { return Ok(()) };
        let key = load(path, &folder::read(path)?, signing.algorithm)?;
        TokenKey::new(&key, String::new()).map_err(|unfit| unusable(path, unfit, signing.algorithm)).map(drop)
    }

    /// Signs an access token (RFC 9068 §2.1).
    ///
    /// # Errors
    /// [`KeyError::Signing`]: OpenSSL failed, or the token would be too long to be accepted again.
    pub fn sign(&self, claims: &AccessTokenClaims) -> Result<Secret, KeyError> {
        self.token_key.sign(claims)
    }

    /// The claims of an access token that our key signed. Issuer, audience, time and revocation are the caller's to check.
    ///
    /// # Errors
    /// Anything that is not exactly such a token. Never panics, whatever comes.
    pub fn verify(&self, token: &str) -> Result<AccessTokenClaims, TokenFault> {
        self.token_key.verify(token)
    }

    /// The public key as a JWK set (RFC 7517 §5), ready to send.
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
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

    /// `kid` of the signing key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.token_key.key_id
    }

    /// The algorithm of the signing key.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.token_key.algorithm
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?} {})", self.algorithm(), self.key_id())
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
    /// A file or folder is open to other users.
    #[error("{} is open to other users (mode {mode:04o}); run: {command} {}", path.display(), path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What mends it, before the path.
        command: &'static str,
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

/// The key in a file, if it fits the configured algorithm.
fn load(path: &Path, content: &[u8], algorithm: Option<SigningAlgorithm>) -> Result<PrivateKey, KeyError> {
    // What is no text has no PEM block either, and is answered as such.
    let key = PrivateKey::from_pem(std::str::from_utf8(content).unwrap_or_default());
    let fits = |key: &PrivateKey| algorithm.is_none_or(|algorithm| algorithm == key.algorithm());
    key.and_then(|key| if fits(&key) { Ok(key) } else { Err(Unfit(key.description())) })
        .map_err(|unfit| unusable(path, unfit, algorithm))
}

/// The generated key for an algorithm. Each has its own file, so a change of the algorithm and back finds its keys again.
fn generated(folder: &Folder, algorithm: SigningAlgorithm) -> Result<(PathBuf, PrivateKey), KeyError> {
    let name = match algorithm {
        SigningAlgorithm::Rs256 => "signing-rs256.pem",
        SigningAlgorithm::Es256 => "signing-es256.pem",
        SigningAlgorithm::EdDsa => "signing-eddsa.pem",
    };
    let path = folder.path(name);
    let content: Zeroizing<Vec<u8>> = folder.read_or_create(name, || generate(algorithm))?;
    let key = load(&path, &content, Some(algorithm))?;
    Ok((path, key))
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

/// RFC 7517 §5, with the members of RFC 7517 §4 that a verifier goes by. Made from [`public_key::PublicKey`], so no private
/// member can get into it.
fn key_set(key: &PrivateKey, key_id: &str) -> Bytes {
    let mut jwk = key.public_key().members();
    for (name, value) in [("use", "sig"), ("alg", compact::name(key.algorithm())), ("kid", key_id)] {
        jwk.insert(name.to_owned(), Value::from(value));
    }
    Bytes::from(json!({ "keys": [jwk] }).to_string())
}
