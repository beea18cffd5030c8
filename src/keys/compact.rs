//! The compact serialization of a JWS: taken apart without reading it, and put together.
//! [RFC 7515 §7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jws::JwsSigner;
use serde_json::json;

use crate::config::section::SigningAlgorithm;
use crate::keys::KeyError;

/// The parts of a token. Nothing is known of them yet but that each is base64url.
pub struct Compact<'a> {
    /// What the signature is over: header and payload as they were sent (RFC 7515 §5.2).
    pub signed: &'a str,
    /// The protected header.
    pub header: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. `None`: not exactly three parts in canonical base64url, as a JWE or the JSON serialization.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        Some(Self { signed, header: decoded(header)?, payload: decoded(payload)?, signature: decoded(signature)? })
    }
}

/// A header of ours, encoded.
pub fn header(typ: &str, algorithm: SigningAlgorithm, key_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({ "typ": typ, "alg": name(algorithm), "kid": key_id }).to_string())
}

/// A token of an encoded header and a payload.
pub fn sign(header: &str, payload: &[u8], signer: &dyn JwsSigner) -> Result<String, KeyError> {
    let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = signer.sign(token.as_bytes()).map_err(|error| KeyError::Signing(error.to_string()))?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// RFC 7515 §2: base64url without padding. The decoder also refuses set bits after the last byte, so that a token has one spelling.
pub fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// The name of an algorithm on the wire (RFC 7518 §3.1, RFC 8037 §3.1).
pub const fn name(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::Rs256 => "RS256",
        SigningAlgorithm::Es256 => "ES256",
        SigningAlgorithm::EdDsa => "EdDSA",
    }
}
