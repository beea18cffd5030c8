//! The key with which we show another server that we are its client: `private_key_jwt`.
//! [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use josekit::jws::JwsSigner;
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::keys::folder::Privacy;
use crate::keys::token::signer;
use crate::keys::{KeyError, Keys, compact, ring, unusable};

/// Not `at+jwt`, so that a server that knows our key set never takes an assertion for an access token (RFC 8725 §3.11).
const TYPE: &str = "JWT";

/// Signs client assertions.
pub struct ClientKey(Source);

enum Source {
    /// A key of its own.
    File {
        /// The header of every assertion, encoded.
        header: String,
        signer: Box<dyn JwsSigner>,
    },
    /// Whichever key signs our access tokens: the provider learns of it from our key set.
    Ours { keys: Arc<Keys>, key_id: Option<String> },
}

impl ClientKey {
    /// The key of a PEM file, or the one that signs our access tokens when there is none. `key_id`: its `kid`; without it
    /// the RFC 7638 thumbprint, or for the signing key the `kid` that it has in our own key set.
    ///
    /// # Errors
    /// As [`Keys::open`] about that file.
    pub fn open(keys: &Arc<Keys>, key_file: Option<&Path>, key_id: Option<&str>) -> Result<Self, KeyError> {
        let Some(path) = key_file else {
            return Ok(Self(Source::Ours { keys: Arc::clone(keys), key_id: key_id.map(ToOwned::to_owned) }));
        };
        let key = ring::load(path, Privacy::Group, None)?;
        let signer = signer(&key).map_err(|unfit| unusable(path, unfit, None))?;
        let public_key = key.public_key();
        let key_id = key_id.map_or_else(|| public_key.thumbprint(), ToOwned::to_owned);
        Ok(Self(Source::File { header: compact::header(TYPE, public_key.algorithm(), &key_id), signer }))
    }

    /// A signed JWT of these claims, with `typ: JWT`, which is never taken for an access token of ours.
    ///
    /// # Errors
    /// OpenSSL failed.
    pub fn sign(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Secret, KeyError> {
        let payload = serde_json::to_vec(claims).map_err(|error| KeyError::Signing(error.to_string()))?;
        match &self.0 {
            Source::File { header, signer } => compact::sign(header, &payload, signer.as_ref()).map(Secret::from),
            Source::Ours { keys, key_id } => keys.sign_assertion(&payload, key_id.as_deref(), now),
        }
    }
}

impl Keys {
    fn sign_assertion(&self, payload: &[u8], key_id: Option<&str>, now: Timestamp) -> Result<Secret, KeyError> {
        let ring = self.ring.load();
        let signer = ring.signer(now).ok_or_else(|| KeyError::Signing("there is no key".to_owned()))?;
        let key = &signer.key.verifying;
        let header = compact::header(TYPE, key.algorithm, key_id.unwrap_or(&key.key_id));
        compact::sign(&header, payload, signer.key.signer.as_ref()).map(Secret::from)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(…)")
    }
}
