//! The public keys of a client that signs: `jwks` and `jwks_uri`. [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2)

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

/// Where the public keys of a client are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// `jwks`, as JSON.
    Inline(String),
    /// `jwks_uri`.
    Url(Url),
}

impl KeySource {
    /// What the two members of client metadata say; `None` when there is neither.
    ///
    /// # Errors
    /// Both are there, one is none, or a private key is among them. Nothing of what was sent is in the text.
    pub fn read(jwks: Option<&Value>, jwks_uri: Option<&str>) -> Result<Option<Self>, &'static str> {
        let jwks_uri = jwks_uri.filter(|uri| !uri.is_empty());
        match (jwks, jwks_uri) {
            // RFC 7591 §2: jwks and jwks_uri MUST NOT both be present.
            (Some(_), Some(_)) => Err("jwks and jwks_uri are both there"),
            (Some(jwks), None) => Ok(Some(Self::Inline(public_keys(jwks)?.to_string()))),
            (None, Some(uri)) => Url::parse(uri).map(Self::Url).map(Some).map_err(|_| "jwks_uri is no URL"),
            (None, None) => Ok(None),
        }
    }
}

/// The members of a public key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2), but for certificates, which are not looked at here.
const MEMBERS: [&str; 10] = ["kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e"];
/// The most that is kept of the keys that a client sends, in bytes.
pub(super) const LONGEST_KEYS: usize = 16 * 1024;

/// What is kept of `jwks`: of each key the members that are known.
///
/// # Errors
/// It is none, a private key is in it, or what would be kept is too long.
pub(super) fn public_keys(jwks: &Value) -> Result<Value, &'static str> {
    let keys = jwks.get("keys").and_then(Value::as_array).ok_or("jwks is no key set")?;
    if keys.iter().any(is_private) {
        return Err("jwks has a private key");
    }
    let known = |key: &Value| -> Map<String, Value> {
        MEMBERS.iter().filter_map(|name| Some(((*name).to_owned(), key.get(name)?.clone()))).collect()
    };
    let keys = json!({"keys": keys.iter().map(known).collect::<Vec<_>>()});
    if keys.to_string().len() > LONGEST_KEYS { Err("jwks is longer than 16 KiB") } else { Ok(keys) }
}

/// RFC 7518 §6: `d` and its companions are private, and the one member of a symmetric key is.
fn is_private(key: &Value) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|member| key.get(member).is_some())
}
