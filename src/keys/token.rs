//! Access tokens as compact JWS: made, and taken apart again with nothing left open.
//! [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515), [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068), [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725)

use std::borrow::Cow;

use josekit::JoseError;
use josekit::jws::{ES256, EdDSA, JwsSigner, JwsVerifier, RS256};
use serde::Deserialize;

use crate::base::limit::Limit;
use crate::base::secret::Secret;
use crate::config::section::SigningAlgorithm;
use crate::keys::KeyError;
use crate::keys::compact::{self, Compact};
use crate::keys::private_key::{PrivateKey, Unfit};
use crate::protocol::oauth::claims::{AccessTokenClaims, InvalidClaims};

/// The longest access token, in bytes. Longer ones are refused before anything is done with them.
pub const MAX_TOKEN_LENGTH: usize = 4096;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::bytes("access token", MAX_TOKEN_LENGTH, "401")];

/// Why a token is not one of ours. For the log: the wire is told less.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Over [`MAX_TOKEN_LENGTH`].
    #[error("longer than {MAX_TOKEN_LENGTH} bytes")]
    TooLong,
    /// Not three parts in canonical base64url (RFC 7515 §3.1): also a JWE, the JSON serialization, no token at all.
    #[error("not a compact JWS")]
    Form,
    /// A header that is no JSON object of `typ`, `alg` and `kid`, each a string and once.
    #[error("a header with other members than typ, alg and kid")]
    Header,
    /// `typ` is not `at+jwt`: an ID token, for instance.
    #[error("not typed as an access token")]
    Type,
    /// `alg` is not that of our key.
    #[error("another algorithm than that of our key")]
    Algorithm,
    /// `kid` is not that of our key.
    #[error("an unknown key id")]
    Key,
    /// Not signed by our key.
    #[error("the signature does not match")]
    Signature,
    /// Signed by our key, but not an access token as we write it.
    #[error(transparent)]
    Claims(#[from] InvalidClaims),
}

/// The key that tokens are signed with, ready for use.
pub struct TokenKey {
    /// `kid`.
    pub key_id: String,
    /// Its one algorithm.
    pub algorithm: SigningAlgorithm,
    /// The header of every token, encoded.
    header: String,
    signature_length: usize,
    /// Signs any bytes; tests sign what we never would.
    pub(super) signer: Box<dyn JwsSigner>,
    verifier: Box<dyn JwsVerifier>,
}

/// What we write into a header and all that we read. `crit`, `b64`, `zip`, `cty`, `jku`, `jwk`, `x5u`, `x5c` have no place in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
}

impl TokenKey {
    /// Hands the key to OpenSSL, once.
    pub fn new(key: &PrivateKey, key_id: String) -> Result<Self, Unfit> {
        let algorithm = key.algorithm();
        Ok(Self {
            algorithm,
            header: compact::header("at+jwt", algorithm, &key_id),
            key_id,
            signature_length: key.signature_length(),
            signer: signer(key)?,
            verifier: verifier(key)?,
        })
    }

    /// Signs.
    pub fn sign(&self, claims: &AccessTokenClaims) -> Result<Secret, KeyError> {
        let payload = serde_json::to_vec(claims).map_err(|error| KeyError::Signing(error.to_string()))?;
        let token = compact::sign(&self.header, &payload, self.signer.as_ref())?;
        // Better no token than one that every request refuses.
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(KeyError::Signing(format!("the token would be longer than {MAX_TOKEN_LENGTH} bytes")));
        }
        Ok(Secret::from(token))
    }

    /// Takes a token apart. The payload is read only when the signature is right.
    pub fn verify(&self, token: &str) -> Result<AccessTokenClaims, TokenFault> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenFault::TooLong);
        }
        let Compact { signed, header, payload, signature } = Compact::parse(token).ok_or(TokenFault::Form)?;
        self.check_header(&header)?;
        // RFC 7518 §3.4: exactly as long as the algorithm makes them, so a DER signature is none.
        if signature.len() != self.signature_length {
            return Err(TokenFault::Signature);
        }
        self.verifier.verify(signed.as_bytes(), &signature).map_err(|_| TokenFault::Signature)?;
        Ok(AccessTokenClaims::from_json(&payload)?)
    }

    fn check_header(&self, header: &[u8]) -> Result<(), TokenFault> {
        // serde also reads a struct from an array; a header is an object (RFC 7515 §4).
        if header.first() != Some(&b'{') {
            return Err(TokenFault::Header);
        }
        let header: Header<'_> = serde_json::from_slice(header).map_err(|_| TokenFault::Header)?;
        // RFC 9068 §4: `at+jwt` or `application/at+jwt`; media types have no case (RFC 7515 §4.1.9).
        if !["at+jwt", "application/at+jwt"].iter().any(|typ| header.typ.eq_ignore_ascii_case(typ)) {
            return Err(TokenFault::Type);
        }
        // RFC 8725 §3.1: the algorithm follows from our key, the header only has to agree.
        if header.alg != compact::name(self.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        if header.kid != self.key_id { Err(TokenFault::Key) } else { Ok(()) }
    }
}

/// What signs with a key, by OpenSSL.
pub fn signer(key: &PrivateKey) -> Result<Box<dyn JwsSigner>, Unfit> {
    let pkcs8 = key.to_pkcs8()?;
    let signer = || -> Result<Box<dyn JwsSigner>, JoseError> {
        Ok(match key.algorithm() {
            SigningAlgorithm::Rs256 => Box::new(RS256.signer_from_der(&pkcs8)?),
            SigningAlgorithm::Es256 => Box::new(ES256.signer_from_der(&pkcs8)?),
            SigningAlgorithm::EdDsa => Box::new(EdDSA.signer_from_der(&pkcs8)?),
        })
    };
    signer().map_err(|error| Unfit(error.to_string()))
}

fn verifier(key: &PrivateKey) -> Result<Box<dyn JwsVerifier>, Unfit> {
    let spki = key.to_spki()?;
    let verifier = || -> Result<Box<dyn JwsVerifier>, JoseError> {
        Ok(match key.algorithm() {
            SigningAlgorithm::Rs256 => Box::new(RS256.verifier_from_der(&spki)?),
            SigningAlgorithm::Es256 => Box::new(ES256.verifier_from_der(&spki)?),
            SigningAlgorithm::EdDsa => Box::new(EdDSA.verifier_from_der(&spki)?),
        })
    };
    verifier().map_err(|error| Unfit(error.to_string()))
}
