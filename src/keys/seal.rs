//! Secrets that the store keeps for us without being able to read them: a compact JWE under a derived key.
//! [RFC 7516 §3.1](https://www.rfc-editor.org/rfc/rfc7516#section-3.1), [RFC 7518 §4.5, §5.3](https://www.rfc-editor.org/rfc/rfc7518#section-4.5)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwe::JweContentEncryption as _;
use josekit::jwe::enc::A256GCM;
use zeroize::Zeroizing;

use crate::base::random;
use crate::base::secret::Secret;
use crate::keys::KeyError;
use crate::keys::compact::decoded;
use crate::keys::derivation::DerivationKey;

/// `{"alg":"dir","enc":"A256GCM"}`, the one header there is. Written down and compared as it is, rather than read with
/// josekit's `deserialize_compact`: so there is no algorithm, compression or `crit` that a changed header could ask for.
pub(super) const HEADER: &str = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0";
/// What the keys are derived for.
const PURPOSE: &str = "seal";
/// RFC 7518 §5.3: 96 bits of initialization vector.
const NONCE_LENGTH: usize = 12;
/// RFC 7518 §5.3: 128 bits of authentication tag. OpenSSL would be content with fewer.
const TAG_LENGTH: usize = 16;

/// Encrypts.
pub fn seal(derivation: &DerivationKey, label: &str, secret: &Secret) -> Result<String, KeyError> {
    let failed = |error: String| KeyError::Sealing(error);
    let key = content_key(derivation, label).ok_or_else(|| failed("no key".to_owned()))?;
    let nonce: [u8; NONCE_LENGTH] = random::bytes();
    let (ciphertext, tag) = A256GCM
        .encrypt(&key, Some(&nonce), secret.expose().as_bytes(), HEADER.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    let tag = tag.ok_or_else(|| failed("no tag".to_owned()))?;
    let [nonce, ciphertext, tag] = [&nonce[..], &ciphertext, &tag].map(|part| URL_SAFE_NO_PAD.encode(part));
    // RFC 7518 §4.5: with `dir` the second part, the encrypted key, is empty.
    Ok(format!("{HEADER}..{nonce}.{ciphertext}.{tag}"))
}

/// Decrypts.
pub fn unseal(derivation: &DerivationKey, label: &str, sealed: &str) -> Option<Secret> {
    let mut parts = sealed.strip_prefix(HEADER)?.strip_prefix("..")?.split('.');
    let (nonce, ciphertext, tag) = (decoded(parts.next()?)?, decoded(parts.next()?)?, decoded(parts.next()?)?);
    if parts.next().is_some() || nonce.len() != NONCE_LENGTH || tag.len() != TAG_LENGTH {
        return None;
    }
    let key = content_key(derivation, label)?;
    let plaintext = A256GCM.decrypt(&key, Some(&nonce), &ciphertext, HEADER.as_bytes(), Some(&tag)).ok()?;
    let plaintext = Zeroizing::new(plaintext);
    std::str::from_utf8(&plaintext).ok().map(Secret::new)
}

/// Each label has a key of its own, so that what was sealed under one opens under no other.
fn content_key(derivation: &DerivationKey, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    decoded(derivation.derive(PURPOSE, &[label.as_bytes()]).expose()).map(Zeroizing::new)
}
