//! The public half of a signing key: out of a PEM file, as a JWK, and its thumbprint.
//! [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517), [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::config::section::SigningAlgorithm;
use crate::keys::pem::{self, Unfit};

/// What precedes the 32 bytes of an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410 §4).
pub const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// What everybody may know of a key. It has no private member to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RFC 7518 §6.3.1.
    Rsa {
        /// The modulus, big-endian, without leading zeros.
        modulus: Vec<u8>,
        /// The exponent, likewise.
        exponent: Vec<u8>,
    },
    /// RFC 7518 §6.2.1, on P-256.
    P256 {
        /// The first coordinate, 32 bytes.
        x: Vec<u8>,
        /// The second coordinate, 32 bytes.
        y: Vec<u8>,
    },
    /// RFC 8037 §2.
    Ed25519 {
        /// The key, 32 bytes.
        x: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads the one public key of a PEM file; `None` when that holds something else.
    pub fn from_pem(text: &str) -> Result<Option<Self>, Unfit> {
        let blocks = pem::blocks(text).ok_or_else(|| Unfit("a damaged PEM block".to_owned()))?;
        let (label, der) = match blocks.as_slice() {
            [block] => (block.label.as_str(), block.der.as_slice()),
            _ => return Ok(None),
        };
        let rsa = match label {
            "RSA PUBLIC KEY" => rsa::RsaPublicKey::from_pkcs1_der(der).ok(),
            "PUBLIC KEY" => rsa::RsaPublicKey::from_public_key_der(der).ok(),
            _ => return Ok(None),
        };
        match rsa {
            // RFC 7518 §3.3 asks for 2048 bits or more; what is longer costs too much to check.
            Some(key) if !(2048..=4096).contains(&key.n().bits()) => {
                Err(Unfit(format!("an RSA key of {} bits", key.n().bits())))
            }
            Some(key) => Ok(Some(Self::Rsa { modulus: key.n().to_bytes_be(), exponent: key.e().to_bytes_be() })),
            None => match Self::from_spki(der) {
                Some(key) => Ok(Some(key)),
                None => Err(Unfit("a public key of another kind".to_owned())),
            },
        }
    }

    fn from_spki(der: &[u8]) -> Option<Self> {
        if let Some(x) = der.strip_prefix(&ED25519_SPKI).filter(|x| x.len() == 32) {
            return Some(Self::Ed25519 { x: x.to_vec() });
        }
        p256::PublicKey::from_public_key_der(der).ok().map(|key| Self::of_p256(&key))
    }

    /// That of an EC key.
    pub fn of_p256(key: &p256::PublicKey) -> Self {
        let point = key.to_sec1_point(false);
        let (x, y) = point.as_bytes().get(1..).unwrap_or_default().split_at(32);
        Self::P256 { x: x.to_vec(), y: y.to_vec() }
    }

    /// The one algorithm whose signatures it checks.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Rsa { .. } => SigningAlgorithm::Rs256,
            Self::P256 { .. } => SigningAlgorithm::Es256,
            Self::Ed25519 { .. } => SigningAlgorithm::EdDsa,
        }
    }

    /// How long these are, in bytes. (josekit says 256 for every RSA key.)
    pub fn signature_length(&self) -> usize {
        match self {
            Self::Rsa { modulus, .. } => modulus.len(),
            Self::P256 { .. } | Self::Ed25519 { .. } => 64,
        }
    }

    /// As SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub fn to_spki(&self) -> Result<Vec<u8>, Unfit> {
        let failed = |error: &dyn std::fmt::Display| Unfit(error.to_string());
        match self {
            Self::Rsa { modulus, exponent } => {
                let [modulus, exponent] = [modulus, exponent].map(|bytes| rsa::BigUint::from_bytes_be(bytes));
                let key = rsa::RsaPublicKey::new(modulus, exponent).map_err(|error| failed(&error))?;
                key.to_public_key_der().map(|der| der.into_vec()).map_err(|error| failed(&error))
            }
            Self::P256 { x, y } => {
                let point = [&[4][..], x, y].concat();
                let key = p256::PublicKey::from_sec1_bytes(&point).map_err(|error| failed(&error))?;
                key.to_public_key_der().map(|der| der.into_vec()).map_err(|error| failed(&error))
            }
            Self::Ed25519 { x } => Ok([ED25519_SPKI.as_slice(), x].concat()),
        }
    }

    /// The members that make the key what it is: all that a thumbprint covers.
    pub fn members(&self) -> Map<String, Value> {
        let members = match self {
            Self::Rsa { modulus, exponent } => {
                json!({ "kty": "RSA", "n": base64url(modulus), "e": base64url(exponent) })
            }
            Self::P256 { x, y } => json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) }),
            Self::Ed25519 { x } => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(x) }),
        };
        members.as_object().cloned().unwrap_or_default()
    }

    /// The SHA-256 thumbprint, in base64url.
    pub fn thumbprint(&self) -> String {
        // RFC 7638 §3.3: the required members alone, in lexicographic order, no white space. Written out rather than left
        // to the order of a map, which a feature of serde_json can change.
        let members = self.members();
        let mut names: Vec<&String> = members.keys().collect();
        names.sort();
        let pairs: Vec<String> = names.iter().map(|name| format!("\"{name}\":{}", members[*name])).collect();
        Digest::of_bytes(format!("{{{}}}", pairs.join(",")).as_bytes()).base64url()
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn thumbprint_of_rfc_7638_section_3_1() {
        let modulus = decoded(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        );
        let key = PublicKey::Rsa { modulus, exponent: decoded("AQAB") };
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a_3() {
        let key = PublicKey::Ed25519 { x: decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") };
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
