//! The public half of a signing key as a JWK, and its thumbprint.
//! [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517), [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::base::digest::Digest;

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
