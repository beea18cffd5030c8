//! Other people's keys: a JWK set, and tokens that it verifies.
//! [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5), [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725)

use std::fmt;

use serde_json::value::RawValue;

use crate::base::limit::Limit;
use crate::keys::compact::Compact;
use crate::keys::foreign_algorithm::ForeignAlgorithm;
use crate::keys::foreign_key::ForeignKey;
use crate::keys::members::Members;

/// The longest foreign token that is looked at, in bytes.
pub const MAX_FOREIGN_TOKEN_LENGTH: usize = 64 * 1024;

/// A set with more keys is refused: making each ready costs time.
const MAX_KEYS: usize = 100;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::bytes("token of an identity provider", MAX_FOREIGN_TOKEN_LENGTH, "the login fails"),
    Limit::count("keys in one key set of a provider", MAX_KEYS, "the login fails"),
];
/// So many keys are tried on one token.
const MAX_TRIES: usize = 8;
/// So much of a name that a stranger chose goes into a fault, in characters.
const MAX_QUOTED: usize = 64;

/// The algorithms that other people's tokens may be signed with, by their names.
#[must_use]
pub fn foreign_algorithms() -> Vec<&'static str> {
    ForeignAlgorithm::names()
}

/// The payload of a compact JWS that nobody has verified: only good for finding out whose keys to verify it with.
#[must_use]
pub fn unverified_payload(token: &str) -> Option<Vec<u8>> {
    let token = (token.len() <= MAX_FOREIGN_TOKEN_LENGTH).then_some(token)?;
    let Compact { payload, .. } = Compact::parse(token)?;
    Members::parse(&payload).is_some().then_some(payload)
}

/// The public keys of somebody else, as far as they can verify signatures.
pub struct KeySet(Vec<ForeignKey>);

/// A token whose signature is right. Whether it is meant for us is the caller's to check.
#[derive(Debug)]
pub struct Verified {
    /// The payload, one JSON object as text that names no member twice at its top level.
    pub payload: Vec<u8>,
    /// `alg`, for claims such as `at_hash` that follow from it. `EdDSA` may stand for either curve.
    pub algorithm: String,
    /// `typ` (RFC 8725 §3.11): what kind of token it is, as its maker says.
    pub token_type: Option<String>,
}

/// Why a token was not verified. For the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignTokenFault {
    /// Not three parts in canonical base64url, too long, or a header or payload that is no JSON object of different members.
    #[error("not a compact JWS of two JSON objects")]
    Form,
    /// `crit` or `b64`: what we do not understand must be refused (RFC 7515 §4.1.11).
    #[error("a header that asks for an extension")]
    Extension,
    /// `none`, symmetric, or unknown.
    #[error("the algorithm {0:?} is not accepted")]
    Algorithm(String),
    /// No key of this `kid`, none that fits the algorithm, or no `kid` and none of the keys made the signature: worth
    /// fetching the set again.
    #[error("no key fits: kid {0:?}")]
    UnknownKey(Option<String>),
    /// The signature is wrong.
    #[error("the signature does not match")]
    Signature,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify anything here are left out (RFC 7517 §5).
    ///
    /// # Errors
    /// Not a JWK set; the text says why.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let set = Members::parse(json).ok_or("no JSON object of different members")?;
        let keys: Option<Vec<&RawValue>> = set.read("keys").map_err(|_| "`keys` is no array")?;
        let keys = keys.ok_or("no `keys` in it")?;
        if keys.len() > MAX_KEYS {
            return Err(format!("{} keys in it, at most {MAX_KEYS} are taken", keys.len()));
        }
        Ok(Self(keys.iter().filter_map(|key| ForeignKey::parse(key.get().as_bytes())).collect()))
    }

    /// Whether nothing can be verified with it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the signature of a compact JWS by one of an allow-list of asymmetric algorithms. Never panics, whatever comes.
    ///
    /// # Errors
    /// [`ForeignTokenFault`].
    pub fn verify(&self, token: &str) -> Result<Verified, ForeignTokenFault> {
        let verified = self.verify_bytes(token)?;
        // RFC 7519 §4: a claim that stands there twice is refused here, once for all that read claims.
        if Members::parse(&verified.payload).is_some() { Ok(verified) } else { Err(ForeignTokenFault::Form) }
    }

    /// The same for a payload of any bytes, which RFC 7515 allows and its examples have.
    pub(super) fn verify_bytes(&self, token: &str) -> Result<Verified, ForeignTokenFault> {
        if token.len() > MAX_FOREIGN_TOKEN_LENGTH {
            return Err(ForeignTokenFault::Form);
        }
        let Compact { signed, header, payload, signature } = Compact::parse(token).ok_or(ForeignTokenFault::Form)?;
        let Header { algorithm, key_id, token_type } = Header::parse(&header)?;
        let fitting = self.0.iter().filter(|key| key_id.is_none() || key.key_id == key_id);
        let mut candidates = fitting.filter_map(|key| Some((key, key.verifier(algorithm)?))).take(MAX_TRIES).peekable();
        let unknown = || ForeignTokenFault::UnknownKey(key_id.as_deref().map(quoted));
        if candidates.peek().is_none() {
            return Err(unknown());
        }
        if candidates.any(|(key, verifier)| key.has_made(&signature, signed, verifier)) {
            return Ok(Verified { payload, algorithm: algorithm.name().to_owned(), token_type });
        }
        // Of a provider whose keys have no names this is all that is seen of a change of keys.
        Err(if key_id.is_none() { unknown() } else { ForeignTokenFault::Signature })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.0.len())
    }
}

/// What is gone by. `jku`, `jwk`, `x5u`, `x5c` and the rest stay unread: no token says which key it is checked with, but by
/// the name of one that we have (RFC 8725 §3.10).
struct Header {
    algorithm: ForeignAlgorithm,
    key_id: Option<String>,
    token_type: Option<String>,
}

impl Header {
    fn parse(json: &[u8]) -> Result<Self, ForeignTokenFault> {
        // RFC 7515 §4: member names are unique, and a token where they are not is refused.
        let members = Members::parse(json).ok_or(ForeignTokenFault::Form)?;
        // RFC 7515 §4.1.11: we understand no extension. RFC 7797 §6: `b64` asks for one, even where `crit` forgets it.
        if members.has("crit") || members.has("b64") {
            return Err(ForeignTokenFault::Extension);
        }
        let text = |name| members.read::<String>(name).map_err(|_| ForeignTokenFault::Form);
        // RFC 7515 §4.1.1: `alg` must be there.
        let algorithm = text("alg")?.ok_or(ForeignTokenFault::Form)?;
        let (key_id, token_type) = (text("kid")?, text("typ")?);
        match ForeignAlgorithm::named(&algorithm) {
            Some(algorithm) => Ok(Self { algorithm, key_id, token_type }),
            None => Err(ForeignTokenFault::Algorithm(quoted(&algorithm))),
        }
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}
