//! Unguessable values, all from the operating system's generator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;

use crate::base::secret::Secret;

/// `N` random bytes.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where randomness is drawn")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A secret of 256 random bits in the URL-safe alphabet, 43 characters: codes, tokens, cookies.
///
/// The alphabet needs no escaping anywhere, so HTTP Basic credentials read the same form-encoded and raw.
#[must_use]
pub fn token() -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(bytes::<32>()))
}

/// An identifier of 128 random bits, 22 characters: not secret, but not to be guessed or counted either.
#[must_use]
pub fn identifier() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}
