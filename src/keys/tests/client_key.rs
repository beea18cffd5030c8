//! Client assertions: signed for others, and worth nothing as tokens of ours.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{NOW, keys, openssl};
use crate::config::section::SigningAlgorithm;
use crate::keys::private_key::PrivateKey;
use crate::keys::{ClientKey, KeyError, KeySet, TokenFault, generate};

fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "client", "sub": "client", "aud": "https://id.example/token", "jti": "1", "exp": 1_800_000_060,
    });
    claims.as_object().unwrap().clone()
}

fn header(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

#[test]
fn the_signing_key_also_signs_assertions_that_are_no_access_tokens() {
    let folder = tempfile::tempdir().unwrap();
    for (algorithm, name) in
        [(SigningAlgorithm::Rs256, "RS256"), (SigningAlgorithm::Es256, "ES256"), (SigningAlgorithm::EdDsa, "EdDSA")]
    {
        let keys = Arc::new(keys(folder.path(), algorithm));
        let assertion = ClientKey::open(&keys, None, None).unwrap().sign(&claims(), NOW).unwrap();
        assert_eq!(header(assertion.expose()), json!({ "typ": "JWT", "alg": name, "kid": keys.key_id() }));
        // The provider knows us by the set that we publish.
        let verified = KeySet::parse(&keys.jwks()).unwrap().verify(assertion.expose()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&verified.payload).unwrap(), Value::Object(claims()));
        // RFC 8725 §3.11: not even with the claims of an access token.
        assert_eq!(keys.verify(assertion.expose()), Err(TokenFault::Type));
        let forged = serde_json::to_value(super::tokens::claims()).unwrap();
        let forged = ClientKey::open(&keys, None, None).unwrap().sign(forged.as_object().unwrap(), NOW).unwrap();
        assert_eq!(keys.verify(forged.expose()), Err(TokenFault::Type));

        let named = ClientKey::open(&keys, None, Some("registered")).unwrap();
        assert_eq!(header(named.sign(&claims(), NOW).unwrap().expose())["kid"], "registered");
    }
}

#[test]
fn a_key_file_signs_assertions_with_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(keys(folder.path(), SigningAlgorithm::Es256));
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let pem = generate(algorithm).unwrap();
        let path = folder.path().join("client.pem");
        fs::write(&path, pem.expose()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let public = PrivateKey::from_pem(pem.expose()).unwrap().public_key();
        for key_id in [None, Some("registered")] {
            let client_key = ClientKey::open(&keys, Some(&path), key_id).unwrap();
            let assertion = client_key.sign(&claims(), NOW).unwrap();
            let expected = key_id.map_or_else(|| public.thumbprint(), ToOwned::to_owned);
            assert_eq!(header(assertion.expose())["kid"], expected);
            let mut jwk = public.members();
            jwk.insert("kid".to_owned(), Value::from(expected));
            let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
            assert!(set.verify(assertion.expose()).is_ok());
            assert!(KeySet::parse(&keys.jwks()).unwrap().verify(assertion.expose()).is_err());
            assert!(keys.verify(assertion.expose()).is_err());
            assert_eq!(format!("{client_key:?}"), "ClientKey(…)");
        }
    }
}

#[test]
fn a_key_file_is_as_fit_and_as_private_as_that_of_the_signing_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(keys(folder.path(), SigningAlgorithm::Es256));
    let path = folder.path().join("client.pem");
    let open = || ClientKey::open(&keys, Some(&path), None);
    assert!(matches!(open(), Err(KeyError::File { .. })));
    for command in [
        "genrsa -out client.pem 1024",
        "ecparam -genkey -name secp384r1 -noout -out client.pem",
        "genpkey -algorithm ed448 -out client.pem",
    ] {
        openssl(folder.path(), command);
        assert!(matches!(open(), Err(KeyError::Unusable { .. })), "{command}");
    }
    openssl(folder.path(), "ecparam -genkey -name prime256v1 -noout -out client.pem");
    assert!(open().is_ok());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(), Err(KeyError::Mode { .. })));
}
