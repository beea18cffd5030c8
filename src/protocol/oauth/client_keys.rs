//! The public keys of a client that signs: `jwks` and `jwks_uri`. [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2)

use serde::{Deserialize, Serialize};
use serde_json::Value;
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
            (Some(jwks), None) => {
                let keys = jwks.get("keys").and_then(Value::as_array).ok_or("jwks is no key set")?;
                match keys.iter().any(is_private) {
                    true => Err("jwks has a private key"),
                    false => Ok(Some(Self::Inline(jwks.to_string()))),
                }
            }
            (None, Some(uri)) => Url::parse(uri).map(Self::Url).map(Some).map_err(|_| "jwks_uri is no URL"),
            (None, None) => Ok(None),
        }
    }
}

/// RFC 7518 §6: `d` and its companions are private, and the one member of a symmetric key is.
fn is_private(key: &Value) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|member| key.get(member).is_some())
}
