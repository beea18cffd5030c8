//! The claims of our access tokens. [RFC 9068 §2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, GrantId, UserId};
use crate::protocol::oauth::scope::ScopeSet;

/// What an access token says. Read with [`AccessTokenClaims::from_json`], and only after its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessTokenClaims {
    /// `iss`: the issuer, byte for byte.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// `sub`: the person.
    #[serde(rename = "sub")]
    pub subject: UserId,
    /// `aud`: the one canonical resource URL.
    #[serde(rename = "aud")]
    pub audience: String,
    /// `client_id`: to whom the token was issued.
    pub client_id: ClientId,
    /// `scope`.
    pub scope: ScopeSet,
    /// `jti`: the token's own identifier.
    pub jti: String,
    /// `iat`.
    #[serde(rename = "iat")]
    pub issued_at: Timestamp,
    /// `exp`: the token is refused from this second on.
    #[serde(rename = "exp")]
    pub expires_at: Timestamp,
    /// `grant_id`, a private claim: the grant it was made from, for immediate revocation.
    #[serde(rename = "grant_id")]
    pub grant: GrantId,
}

impl AccessTokenClaims {
    /// Reads a payload.
    ///
    /// # Errors
    /// Anything but one JSON object with each of our claims once and in the type we write: a date that is no whole number,
    /// an `aud` that is no single string, a claim twice.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidClaims> {
        // serde also reads a struct from an array of its values; a payload is an object (RFC 7519 §7.2).
        if json.first() != Some(&b'{') {
            return Err(InvalidClaims("the payload is no JSON object".to_owned()));
        }
        let wire: Wire = serde_json::from_slice(json).map_err(|error| InvalidClaims(error.to_string()))?;
        Ok(wire.into())
    }
}

/// The payload is not one that we write. The text may quote it: for the log, not for the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claims are not ours: {0}")]
pub struct InvalidClaims(String);

/// The payload as it stands. RFC 7519 §4: claims that are not understood are ignored.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    sub: UserId,
    aud: String,
    client_id: ClientId,
    scope: ScopeSet,
    jti: String,
    #[serde(deserialize_with = "numeric_date")]
    iat: Timestamp,
    #[serde(deserialize_with = "numeric_date")]
    exp: Timestamp,
    grant_id: GrantId,
    #[serde(default, deserialize_with = "never")]
    nbf: (),
}

impl From<Wire> for AccessTokenClaims {
    fn from(wire: Wire) -> Self {
        let Wire { iss, sub, aud, client_id, scope, jti, iat, exp, grant_id, nbf: () } = wire;
        Self {
            issuer: iss,
            subject: sub,
            audience: aud,
            client_id,
            scope,
            jti,
            issued_at: iat,
            expires_at: exp,
            grant: grant_id,
        }
    }
}

/// Whole seconds, not negative. A fraction is legal in a `NumericDate` but never written by us.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    i64::try_from(seconds).map(Timestamp::from_unix).map_err(|_| D::Error::custom("a date beyond all time"))
}

/// RFC 7519 §4.1.5: `nbf` must be honoured. We never write it, so a token that has it is refused rather than compared.
fn never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Err(D::Error::custom("`nbf` is never written here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"iss":"https://as","sub":"alice","aud":"https://as/mcp","client_id":"c","scope":"mcp:read","jti":"j","iat":10,"exp":20,"grant_id":"g"}"#;

    #[test]
    fn what_is_written_is_read_again() {
        let claims = AccessTokenClaims::from_json(GOOD.as_bytes()).unwrap();
        assert_eq!(claims.expires_at, Timestamp::from_unix(20));
        assert_eq!(serde_json::to_string(&claims).unwrap(), GOOD);
    }

    #[test]
    fn jwt_8_a_date_is_a_whole_number() {
        for (claim, value) in [("\"exp\":", "20"), ("\"iat\":", "10")] {
            let good = format!("{claim}{value}");
            assert!(GOOD.contains(&good));
            for bad in
                ["\"9999999999\"", "20.5", "20.0", "2e1", "-1", "1e400", "null", "true", "[20]", "18446744073709551615"]
            {
                let json = GOOD.replace(&good, &format!("{claim}{bad}"));
                assert!(AccessTokenClaims::from_json(json.as_bytes()).is_err(), "{json}");
            }
            let missing = GOOD.replace(&format!("{good},"), "");
            assert!(AccessTokenClaims::from_json(missing.as_bytes()).is_err(), "{missing}");
        }
        for nbf in ["99999999999", "\"1\"", "1", "null"] {
            let json = GOOD.replace("\"iat\"", &format!("\"nbf\":{nbf},\"iat\""));
            assert!(AccessTokenClaims::from_json(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn jwt_14_a_claim_stands_once() {
        for claim in [r#""aud":"https://as/mcp""#, r#""scope":"mcp:read""#, r#""exp":20"#, r#""sub":"alice""#] {
            let json = GOOD.replace(claim, &format!("{claim},{claim}"));
            assert!(AccessTokenClaims::from_json(json.as_bytes()).is_err(), "{json}");
        }
        let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for claim in ["\"scope\":\"mcp:read\"", "\"exp\":20"] {
            let name = claim.split(':').next().unwrap();
            let deep = GOOD.replace(claim, &format!("{name}:{nested}"));
            assert!(AccessTokenClaims::from_json(deep.as_bytes()).is_err(), "{deep}");
        }
        // RFC 7519 §4: skipped, without a stack to overflow.
        let deep = GOOD.replace("\"iat\"", &format!("\"x\":{nested},\"iat\""));
        assert!(AccessTokenClaims::from_json(deep.as_bytes()).is_ok());
    }

    #[test]
    fn jwt_10_aud_is_one_string() {
        for aud in [r#"["https://as/mcp"]"#, r#"["https://as/mcp","https://other"]"#, "null", "{}", "1"] {
            let json = GOOD.replace(r#""aud":"https://as/mcp""#, &format!("\"aud\":{aud}"));
            assert!(AccessTokenClaims::from_json(json.as_bytes()).is_err(), "{json}");
        }
        let array = r#"["https://as","alice","https://as/mcp","c","mcp:read","j",10,20,"g"]"#;
        assert!(AccessTokenClaims::from_json(array.as_bytes()).is_err());
    }
}
