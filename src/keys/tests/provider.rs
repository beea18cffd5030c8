//! An identity provider for the tests: it signs whatever it is asked to, with a key of any algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::JoseError;
use josekit::jwk::KeyPair;
use josekit::jwk::alg::ed::EdCurve;
use josekit::jws::{ES256, ES256K, ES384, ES512, EdDSA, JwsSigner, PS256, PS384, PS512, RS256, RS384, RS512};
use serde_json::{Value, json};

use crate::keys::KeySet;

/// Every algorithm on the list, as `alg` and, for EdDSA, the curve.
pub const ALL: [(&str, &str); 14] = [
    ("RS256", ""),
    ("RS384", ""),
    ("RS512", ""),
    ("PS256", ""),
    ("PS384", ""),
    ("PS512", ""),
    ("ES256", ""),
    ("ES384", ""),
    ("ES512", ""),
    ("ES256K", ""),
    ("EdDSA", "Ed25519"),
    ("EdDSA", "Ed448"),
    ("Ed25519", "Ed25519"),
    ("Ed448", "Ed448"),
];

/// Its key.
pub struct Provider {
    pub alg: &'static str,
    pub signer: Box<dyn JwsSigner>,
    /// The public key, with `kid` but without `alg` and `use`.
    pub jwk: Value,
}

impl Provider {
    pub fn new((alg, curve): (&'static str, &str)) -> Self {
        let curve = if curve == "Ed448" { EdCurve::Ed448 } else { EdCurve::Ed25519 };
        let rsa = || RS256.generate_key_pair(2048).unwrap();
        let (jwk, signer) = match alg {
            "RS256" => made(&rsa(), |der| RS256.signer_from_der(der)),
            "RS384" => made(&rsa(), |der| RS384.signer_from_der(der)),
            "RS512" => made(&rsa(), |der| RS512.signer_from_der(der)),
            "PS256" => made(&rsa(), |der| PS256.signer_from_der(der)),
            "PS384" => made(&rsa(), |der| PS384.signer_from_der(der)),
            "PS512" => made(&rsa(), |der| PS512.signer_from_der(der)),
            "ES256" => made(&ES256.generate_key_pair().unwrap(), |der| ES256.signer_from_der(der)),
            "ES384" => made(&ES384.generate_key_pair().unwrap(), |der| ES384.signer_from_der(der)),
            "ES512" => made(&ES512.generate_key_pair().unwrap(), |der| ES512.signer_from_der(der)),
            "ES256K" => made(&ES256K.generate_key_pair().unwrap(), |der| ES256K.signer_from_der(der)),
            _ => made(&EdDSA.generate_key_pair(curve).unwrap(), |der| EdDSA.signer_from_der(der)),
        };
        Self { alg, signer, jwk }
    }

    /// Its set of one key.
    pub fn set(&self) -> KeySet {
        set(std::slice::from_ref(&self.jwk))
    }

    /// The header that it writes.
    pub fn header(&self) -> Value {
        json!({ "alg": self.alg, "kid": "key", "typ": "JWT" })
    }

    /// A token of any header.
    pub fn sign(&self, header: &Value) -> String {
        self.sign_text(&header.to_string(), PAYLOAD)
    }

    /// A token of any two parts.
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signer.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What it says in its tokens.
pub const PAYLOAD: &str = r#"{"iss":"https://id.example","sub":"248289761001"}"#;

/// A set of these keys.
pub fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// A JWK with other members besides, or in place of those it has.
pub fn with(jwk: &Value, members: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

fn made<S: JwsSigner + 'static>(
    pair: &dyn KeyPair,
    signer: impl FnOnce(Vec<u8>) -> Result<S, JoseError>,
) -> (Value, Box<dyn JwsSigner>) {
    let mut members = pair.to_jwk_public_key().as_ref().clone();
    members.remove("alg");
    members.insert("kid".to_owned(), json!("key"));
    (Value::Object(members), Box::new(signer(pair.to_der_private_key()).unwrap()))
}
