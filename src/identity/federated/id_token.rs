//! Whether an ID token is meant for this login. [OpenID Connect Core §3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation)
//!
//! The signature was checked before. Everything is refused that is missing, of a wrong type or not understood.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::keys::Verified;

/// How far the provider's clock may be off, in seconds.
const SKEW: f64 = 60.0;
/// How far in the future a token may be issued, beyond the skew, in seconds.
const EARLY: f64 = 60.0;
/// How long ago a token may have been issued, in seconds: it is fetched the moment it is made.
const STALE: f64 = 86_400.0;
/// 9999-12-31T23:59:59Z. No later date is meant seriously.
const LAST_DATE: f64 = 253_402_300_799.0;

/// What an ID token must say.
pub struct Expected<'a> {
    /// `iss`, to the byte.
    pub issuer: &'a str,
    /// Our `client_id` there.
    pub client_id: &'a str,
    /// `nonce` of this login. `None`: a refresh, which has none.
    pub nonce: Option<&'a Secret>,
    /// The access token that came with it.
    pub access_token: &'a Secret,
    /// The present time.
    pub now: Timestamp,
}

/// The claims of a token whose signature is right, if the token is meant for us and this login.
pub fn check(verified: &Verified, expected: &Expected<'_>) -> Result<Map<String, Value>, String> {
    let claims: Map<String, Value> =
        serde_json::from_slice(&verified.payload).map_err(|_| "the payload is no JSON object".to_owned())?;
    let issuer = text(&claims, "iss")?.ok_or("iss is missing")?;
    if issuer != expected.issuer {
        return Err(format!("iss is {issuer:?}, not {:?}", expected.issuer));
    }
    check_audience(&claims, expected.client_id)?;
    check_times(&claims, expected.now)?;
    check_nonce(&claims, expected.nonce)?;
    check_access_token(&claims, &verified.algorithm, expected.access_token)?;
    subject(&claims)?;
    Ok(claims)
}

/// `sub` of an ID token or userinfo: at most 255 ASCII characters (OpenID Connect Core §2), and all of them visible, since
/// they become a part of an identifier.
pub fn subject(claims: &Map<String, Value>) -> Result<&str, String> {
    let subject = text(claims, "sub")?.ok_or("sub is missing")?;
    if is_subject(subject) { Ok(subject) } else { Err("sub is not 1 to 255 visible ASCII characters".to_owned()) }
}

/// Whether this can be a subject.
pub fn is_subject(subject: &str) -> bool {
    (1..=255).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic())
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is no text")),
    }
}

/// §3.1.3.7 points 3 to 5.
fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), String> {
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => {
            several.iter().map(Value::as_str).collect::<Option<_>>().ok_or("aud holds more than texts")?
        }
        _ => return Err("aud is missing, or neither a text nor a list".to_owned()),
    };
    if !audience.contains(&client_id) {
        return Err("aud does not name our client_id".to_owned());
    }
    match text(claims, "azp")? {
        Some(party) if party != client_id => Err("azp is not our client_id".to_owned()),
        None if audience.iter().any(|other| *other != client_id) => {
            Err("aud names others, and azp is missing".to_owned())
        }
        _ => Ok(()),
    }
}

/// §3.1.3.7 points 9 and 10, RFC 7519 §4.1.4 to §4.1.6.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "exact for a quarter of a billion years")]
    let now = now.unix() as f64;
    let expires_at = date(claims, "exp")?.ok_or("exp is missing")?;
    if now >= expires_at + SKEW {
        return Err("it has expired (exp)".to_owned());
    }
    let issued_at = date(claims, "iat")?.ok_or("iat is missing")?;
    if issued_at > now + SKEW + EARLY {
        return Err("it was issued in the future (iat)".to_owned());
    }
    if issued_at < now - STALE {
        return Err("it was issued too long ago (iat)".to_owned());
    }
    if date(claims, "nbf")?.is_some_and(|not_before| not_before > now + SKEW) {
        return Err("it is not valid yet (nbf)".to_owned());
    }
    Ok(())
}

/// A `NumericDate`, which may have a fraction (RFC 7519 §2).
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let date = value.as_f64().filter(|date| (0.0..=LAST_DATE).contains(date));
    date.map(Some).ok_or_else(|| format!("{name} is no date"))
}

/// §3.1.3.7 point 11: the token answers this login and no other.
fn check_nonce(claims: &Map<String, Value>, expected: Option<&Secret>) -> Result<(), String> {
    let nonce = text(claims, "nonce")?;
    let Some(expected) = expected else { return Ok(()) };
    let nonce = Secret::new(nonce.ok_or("nonce is missing")?);
    if nonce == *expected { Ok(()) } else { Err("nonce is that of another login".to_owned()) }
}

/// §3.1.3.8: `at_hash` is the left half of the hash that the algorithm uses. An algorithm whose hash we do not know fails:
/// not to look would let any access token through (CVE-2026-28498).
fn check_access_token(claims: &Map<String, Value>, algorithm: &str, access_token: &Secret) -> Result<(), String> {
    let Some(claimed) = text(claims, "at_hash")? else { return Ok(()) };
    let token = access_token.expose().as_bytes();
    let hash = match algorithm {
        "RS256" | "PS256" | "ES256" | "ES256K" => Sha256::digest(token).to_vec(),
        "RS384" | "PS384" | "ES384" => Sha384::digest(token).to_vec(),
        "RS512" | "PS512" | "ES512" | "EdDSA" | "Ed25519" => Sha512::digest(token).to_vec(),
        _ => return Err(format!("at_hash under {algorithm:?} cannot be checked")),
    };
    let half = hash.get(..hash.len() / 2).unwrap_or_default();
    let expected = Secret::from(URL_SAFE_NO_PAD.encode(half));
    if Secret::new(claimed) == expected { Ok(()) } else { Err("at_hash is that of another access token".to_owned()) }
}
