//! The key with which we show another server that we are its client: `private_key_jwt`.
//! [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)

use std::path::Path;

use serde_json::{Map, Value};

use crate::base::secret::Secret;
use crate::keys::{KeyError, Keys};

/// Signs client assertions.
pub struct ClientKey {}

impl ClientKey {
    /// The key of a PEM file, or the one that signs our access tokens when there is none. `key_id`: its `kid`, without it
    /// the RFC 7638 thumbprint.
    ///
    /// # Errors
    /// As [`Keys::open`] about that file.
    pub fn open(_keys: &Keys, _key_file: Option<&Path>, _key_id: Option<&str>) -> Result<Self, KeyError> {
        Ok(Self {})
    }

    /// A signed JWT of these claims, with `typ: JWT`, which is never taken for an access token of ours.
    ///
    /// # Errors
    /// OpenSSL failed.
    pub fn sign(&self, _claims: &Map<String, Value>) -> Result<Secret, KeyError> {
        Err(KeyError::Signing("skeleton".to_owned()))
    }
}
