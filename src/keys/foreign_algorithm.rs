//! The algorithms that other people's tokens may be signed with: all of them asymmetric.
//! [RFC 7518 §3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1), [RFC 8037 §3.1](https://www.rfc-editor.org/rfc/rfc8037#section-3.1), [RFC 8812 §3.2](https://www.rfc-editor.org/rfc/rfc8812#section-3.2), [RFC 9864 §2](https://www.rfc-editor.org/rfc/rfc9864#section-2)

use josekit::JoseError;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, ES256K, ES384, ES512, EdDSA, JwsVerifier, PS256, PS384, PS512, RS256, RS384, RS512};

/// The allow-list (RFC 8725 §3.1). There is no variant for `none` or for a MAC, so nothing can fall back to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// ECDSA on secp256k1 with SHA-256.
    Es256k,
    /// EdDSA, on the curve of the key.
    EdDsa,
    /// EdDSA on Ed25519, by its own name.
    Ed25519,
    /// EdDSA on Ed448, by its own name.
    Ed448,
}

impl ForeignAlgorithm {
    const ALL: [Self; 13] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Es256k,
        Self::EdDsa,
        Self::Ed25519,
        Self::Ed448,
    ];

    /// The names of all.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.into_iter().map(Self::name).collect()
    }

    /// The algorithm of a name, which has its case (RFC 7515 §4.1.1).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Es256k => "ES256K",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
        }
    }

    /// Hands a key to OpenSSL.
    pub fn verifier(self, jwk: &Jwk) -> Result<Box<dyn JwsVerifier>, JoseError> {
        Ok(match self {
            Self::Rs256 => Box::new(RS256.verifier_from_jwk(jwk)?),
            Self::Rs384 => Box::new(RS384.verifier_from_jwk(jwk)?),
            Self::Rs512 => Box::new(RS512.verifier_from_jwk(jwk)?),
            Self::Ps256 => Box::new(PS256.verifier_from_jwk(jwk)?),
            Self::Ps384 => Box::new(PS384.verifier_from_jwk(jwk)?),
            Self::Ps512 => Box::new(PS512.verifier_from_jwk(jwk)?),
            Self::Es256 => Box::new(ES256.verifier_from_jwk(jwk)?),
            Self::Es384 => Box::new(ES384.verifier_from_jwk(jwk)?),
            Self::Es512 => Box::new(ES512.verifier_from_jwk(jwk)?),
            Self::Es256k => Box::new(ES256K.verifier_from_jwk(jwk)?),
            // josekit knows one name; which curve it is follows from the key.
            Self::EdDsa | Self::Ed25519 | Self::Ed448 => Box::new(EdDSA.verifier_from_jwk(jwk)?),
        })
    }
}
