//! Other people's keys: a JWK set, and tokens that it verifies.
//! [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5), [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725)

/// The longest foreign token that is looked at, in bytes.
pub const MAX_FOREIGN_TOKEN_LENGTH: usize = 64 * 1024;

/// The public keys of somebody else, as far as they can verify signatures.
pub struct KeySet {}

/// A token whose signature is right. Whether it is meant for us is the caller's to check.
#[derive(Debug)]
pub struct Verified {
    /// The payload, one JSON object as text.
    pub payload: Vec<u8>,
    /// `alg`, for claims such as `at_hash` that follow from it.
    pub algorithm: String,
}

/// Why a token was not verified. For the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignTokenFault {
    /// Not three parts in canonical base64url, too long, or a header that is no JSON object.
    #[error("not a compact JWS")]
    Form,
    /// `crit`, or `b64: false`: what we do not understand must be refused (RFC 7515 §4.1.11).
    #[error("a header that asks for an extension")]
    Extension,
    /// `none`, symmetric, or unknown.
    #[error("the algorithm {0} is not accepted")]
    Algorithm(String),
    /// No key of this `kid`, or none that fits the algorithm: worth fetching the set again.
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
    pub fn parse(_json: &[u8]) -> Result<Self, String> {
        Err("skeleton".to_owned())
    }

    /// Checks the signature of a compact JWS by one of an allow-list of asymmetric algorithms.
    ///
    /// # Errors
    /// [`ForeignTokenFault`].
    pub fn verify(&self, _token: &str) -> Result<Verified, ForeignTokenFault> {
        Err(ForeignTokenFault::Form)
    }
}
