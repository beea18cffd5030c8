//! Access tokens as compact JWS: made, and taken apart again with nothing left open.
//! [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515), [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068), [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725)

use josekit::JoseError;
use josekit::jws::{ES256, EdDSA, JwsSigner, JwsVerifier, RS256};
use serde::Deserialize;
use serde_json::Value;

use crate::base::limit::Limit;
use crate::base::secret::Secret;
use crate::config::section::SigningAlgorithm;
use crate::keys::KeyError;
use crate::keys::compact::{self, Compact};
use crate::keys::pem::Unfit;
use crate::keys::private_key::PrivateKey;
use crate::keys::public_key::PublicKey;
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
    /// `alg` is not that of the key.
    #[error("another algorithm than that of our key")]
    Algorithm,
    /// `kid` is none of our keys.
    #[error("an unknown key id")]
    Key,
    /// Not signed by that key.
    #[error("the signature does not match")]
    Signature,
    /// Signed by our key, but not an access token as we write it.
    #[error(transparent)]
    Claims(#[from] InvalidClaims),
}

/// A key that tokens are checked with, ready for use.
#[derive(Clone)]
pub struct VerifyingKey {
    /// `kid`.
    pub key_id: String,
    /// Its one algorithm.
    pub algorithm: SigningAlgorithm,
    /// The public key.
    public_key: PublicKey,
    verifier: Box<dyn JwsVerifier>,
}

/// A key that tokens are signed with, ready for use.
pub struct SigningKey {
    /// Its public half.
    pub verifying: VerifyingKey,
    /// The header of every token, encoded.
    header: String,
    /// Signs any bytes: assertions too, and in tests what we never would.
    pub signer: Box<dyn JwsSigner>,
}

/// What we write into a header and all that we read. `crit`, `b64`, `zip`, `cty`, `jku`, `jwk`, `x5u`, `x5c` have no place in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// A token taken apart, with a header of ours. Nothing is known of its signature yet.
pub struct Unverified<'a> {
    compact: Compact<'a>,
    header: Header,
}

impl Unverified<'_> {
    /// The key that it says it was signed with.
    pub fn key_id(&self) -> &str {
        &self.header.kid
    }
}

impl SigningKey {
    /// Hands the key to OpenSSL, once.
    pub fn new(key: &PrivateKey, key_id: Option<&str>) -> Result<Self, Unfit> {
        let verifying = VerifyingKey::new(key.public_key(), key_id)?;
        let header = compact::header("at+jwt", verifying.algorithm, &verifying.key_id);
        Ok(Self { verifying, header, signer: signer(key)? })
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
}

impl VerifyingKey {
    /// Hands the key to OpenSSL, once. Without a `kid` of its own it has its thumbprint (RFC 7638).
    pub fn new(public_key: PublicKey, key_id: Option<&str>) -> Result<Self, Unfit> {
        let key_id = key_id.map_or_else(|| public_key.thumbprint(), ToOwned::to_owned);
        Ok(Self { key_id, algorithm: public_key.algorithm(), verifier: verifier(&public_key)?, public_key })
    }

    /// Checks a token that says it was signed with this key. The payload is read only when the signature is right.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<AccessTokenClaims, TokenFault> {
        // RFC 8725 §3.1: the algorithm follows from our key, the header only has to agree.
        if token.header.alg != compact::name(self.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let Compact { signed, payload, signature, .. } = &token.compact;
        // RFC 7518 §3.4: exactly as long as the algorithm makes them, so a DER signature is none.
        if signature.len() != self.public_key.signature_length() {
            return Err(TokenFault::Signature);
        }
        self.verifier.verify(signed.as_bytes(), signature).map_err(|_| TokenFault::Signature)?;
        Ok(AccessTokenClaims::from_json(payload)?)
    }

    /// RFC 7517 §4: what everybody may know. Made from [`PublicKey`], so no private member can get into it.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.public_key.members();
        for (name, value) in [("use", "sig"), ("alg", compact::name(self.algorithm)), ("kid", &self.key_id)] {
            jwk.insert(name.to_owned(), Value::from(value));
        }
        Value::Object(jwk)
    }
}

/// Takes a token apart, as far as nobody vouches for it.
pub fn unverified(token: &str) -> Result<Unverified<'_>, TokenFault> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(TokenFault::TooLong);
    }
    let compact = Compact::parse(token).ok_or(TokenFault::Form)?;
    let header = read_header(&compact.header)?;
    Ok(Unverified { header, compact })
}

fn read_header(header: &[u8]) -> Result<Header, TokenFault> {
    // serde also reads a struct from an array; a header is an object (RFC 7515 §4).
    if header.first() != Some(&b'{') {
        return Err(TokenFault::Header);
    }
    let header: Header = serde_json::from_slice(header).map_err(|_| TokenFault::Header)?;
    // RFC 9068 §4: `at+jwt` or `application/at+jwt`; media types have no case (RFC 7515 §4.1.9).
    if !["at+jwt", "application/at+jwt"].iter().any(|typ| header.typ.eq_ignore_ascii_case(typ)) {
        return Err(TokenFault::Type);
    }
    Ok(header)
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

fn verifier(key: &PublicKey) -> Result<Box<dyn JwsVerifier>, Unfit> {
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
