//! Values that only this installation can make and can make again: HMAC-SHA256 under a key kept beside the signing key.
//! [RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::random;
use crate::base::secret::Secret;
use crate::keys::KeyError;
use crate::keys::folder::Folder;

/// The name of its file: 256 random bits in base64url.
const FILE: &str = "derivation.key";

/// The key, already worked into the two halves of HMAC.
pub struct DerivationKey(Hmac<Sha256>);

impl DerivationKey {
    /// Loads the key, which is made first if it is not there.
    pub fn open(folder: &Folder) -> Result<Self, KeyError> {
        let text = folder.read_or_create(FILE, || Ok(random::token()))?;
        let key = URL_SAFE_NO_PAD.decode(text.trim_ascii()).ok().map(zeroize::Zeroizing::new);
        match key.filter(|key| key.len() == 32).and_then(|key| Hmac::new_from_slice(&key).ok()) {
            Some(hmac) => Ok(Self(hmac)),
            None => Err(KeyError::Derivation { path: folder.path(FILE) }),
        }
    }

    /// 256 bits in base64url. Each length precedes its part, so that no two lists of parts are encoded alike, and the label
    /// keeps values for different purposes apart.
    pub fn derive(&self, label: &str, input: &[&[u8]]) -> Secret {
        let mut hmac = self.0.clone();
        for part in std::iter::once(label.as_bytes()).chain(input.iter().copied()) {
            hmac.update(&(part.len() as u64).to_be_bytes());
            hmac.update(part);
        }
        Secret::new(URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes()))
    }
}
