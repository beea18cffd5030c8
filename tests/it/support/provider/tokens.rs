//! The provider's keys, and ID tokens made with them, rightly or not.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jwk::KeyPair as _;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jws::{ES256, HS256, JwsSigner, RS256};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::script::{Script, Signer, lay};

/// Keys take long to make: every provider of a run has the same.
struct Keys {
    /// One after the other, at each rotation.
    rsa: Vec<Jwk>,
    p256: Jwk,
    /// In no JWK set of an honest provider.
    stranger: Jwk,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let rsa = |key_id: &str| named(Jwk::generate_rsa_key(2048).unwrap(), key_id, "RS256");
        Keys {
            rsa: vec![rsa("rsa-1"), rsa("rsa-2")],
            p256: named(Jwk::generate_ec_key(EcCurve::P256).unwrap(), "ec-1", "ES256"),
            stranger: rsa("stranger"),
        }
    })
}

fn named(mut key: Jwk, key_id: &str, algorithm: &str) -> Jwk {
    key.set_key_id(key_id);
    key.set_algorithm(algorithm);
    key.set_key_use("sig");
    key
}

/// josekit leaves out what a key is called and made for.
fn public(key: &Jwk) -> Value {
    let public = named(key.to_public_key().unwrap(), key.key_id().unwrap(), key.algorithm().unwrap());
    Value::Object(public.into())
}

/// The JWK set of the moment.
pub fn key_set(script: &Script) -> Value {
    json!({"keys": [public(&keys().rsa[script.rotation]), public(&keys().p256)]})
}

/// The public half of the key that belongs to nobody, as an attacker would offer it.
pub fn strangers_key() -> Value {
    public(&keys().stranger)
}

/// An ID token of these claims, as the script has it.
pub fn id_token(script: &Script, mut claims: Value) -> String {
    lay(&script.id_token, &mut claims);
    signed(script, "JWT", &claims)
}

/// A token of these claims, and of this type unless the script says otherwise.
pub fn signed(script: &Script, kind: &str, claims: &Value) -> String {
    let mut header = honest_header(script);
    header["typ"] = json!(kind);
    lay(&script.header, &mut header);
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = signature(script, message.as_bytes());
    format!("{message}.{}", encode(signature))
}

/// `at_hash` and `c_hash` (OpenID Connect Core §3.1.3.6).
pub fn half_hash(token: &str) -> String {
    encode(&Sha256::digest(token)[..16])
}

fn honest_header(script: &Script) -> Value {
    match script.signer {
        Signer::P256 => json!({"alg": "ES256", "kid": "ec-1"}),
        Signer::PublicKeyAsSecret | Signer::ClientSecret => json!({"alg": "HS256"}),
        Signer::Nobody => json!({"alg": "none"}),
        _ => json!({"alg": "RS256", "kid": keys().rsa[script.rotation].key_id()}),
    }
}

fn signature(script: &Script, message: &[u8]) -> Vec<u8> {
    let rsa = &keys().rsa[script.rotation];
    let hmac = |secret: &[u8]| HS256.signer_from_bytes(padded(secret)).unwrap().sign(message).unwrap();
    match script.signer {
        Signer::Rsa => RS256.signer_from_jwk(rsa).unwrap().sign(message).unwrap(),
        Signer::P256 => ES256.signer_from_jwk(&keys().p256).unwrap().sign(message).unwrap(),
        Signer::Stranger => RS256.signer_from_jwk(&keys().stranger).unwrap().sign(message).unwrap(),
        Signer::PublicKeyAsSecret => hmac(&RsaKeyPair::from_jwk(rsa).unwrap().to_pem_public_key()),
        Signer::ClientSecret => hmac(script.client_secret.as_deref().unwrap_or_default().as_bytes()),
        Signer::Nobody => Vec::new(),
        Signer::Wrong => RS256.signer_from_jwk(rsa).unwrap().sign(b"other bytes").unwrap(),
    }
}

/// josekit wants 32 bytes at least; HMAC itself fills a shorter key with zeros (RFC 2104 §2).
fn padded(secret: &[u8]) -> Vec<u8> {
    let mut padded = secret.to_vec();
    padded.resize(padded.len().max(32), 0);
    padded
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
