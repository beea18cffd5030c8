//! The key with which we show another server that we are its client: `private_key_jwt`.
//! [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)

use std::fmt;
use std::path::Path;

use josekit::jws::JwsSigner;
use serde_json::{Map, Value};

use crate::base::secret::Secret;
use crate::keys::token::signer;
use crate::keys::{KeyError, Keys, compact, folder, load, unusable};

/// Not `at+jwt`, so that a server that knows our key set never takes an assertion for an access token (RFC 8725 §3.11).
const TYPE: &str = "JWT";

/// Signs client assertions.
pub struct ClientKey {
    /// The header of every assertion, encoded.
    header: String,
    signer: Box<dyn JwsSigner>,
}

impl ClientKey {
    /// The key of a PEM file, or the one that signs our access tokens when there is none. `key_id`: its `kid`; without it
    /// the RFC 7638 thumbprint, or for the signing key the `kid` that it has in our own key set.
    ///
    /// # Errors
    /// As [`Keys::open`] about that file.
    pub fn open(keys: &Keys, key_file: Option<&Path>, key_id: Option<&str>) -> Result<Self, KeyError> {
        let Some(path) = key_file else {
            let header = compact::header(TYPE, keys.algorithm(), key_id.unwrap_or(keys.key_id()));
            return Ok(Self { header, signer: keys.token_key.signer.box_clone() });
        };
        let key = load(path, &folder::read(path)?, None)?;
        let signer = signer(&key).map_err(|unfit| unusable(path, unfit, None))?;
        let key_id = key_id.map_or_else(|| key.public_key().thumbprint(), ToOwned::to_owned);
        Ok(Self { header: compact::header(TYPE, key.algorithm(), &key_id), signer })
    }

    /// A signed JWT of these claims, with `typ: JWT`, which is never taken for an access token of ours.
    ///
    /// # Errors
    /// OpenSSL failed.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<Secret, KeyError> {
        let payload = serde_json::to_vec(claims).map_err(|error| KeyError::Signing(error.to_string()))?;
        compact::sign(&self.header, &payload, self.signer.as_ref()).map(Secret::from)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(…)")
    }
}
