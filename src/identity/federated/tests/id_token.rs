//! ID tokens whose signature is right, and that are refused all the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use super::*;
use crate::identity::federated::id_token::{Expected, check};
use crate::keys::Verified;

const ISSUER: &str = "https://idp.example/";

fn verdict_under(algorithm: &str, change: &Value, nonce: Option<&str>) -> Result<String, String> {
    let now = NOW.unix();
    let mut claims =
        json!({"iss": ISSUER, "sub": "s-1", "aud": "bridge", "exp": now + 300, "iat": now, "nonce": "the nonce"});
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    let verified =
        Verified { payload: claims.to_string().into_bytes(), algorithm: algorithm.to_owned(), token_type: None };
    let (access_token, nonce) = (Secret::new("access token"), nonce.map(Secret::new));
    let expected =
        Expected { issuer: ISSUER, client_id: "bridge", nonce: nonce.as_ref(), access_token: &access_token, now: NOW };
    check(&verified, &expected).map(|claims| claims["sub"].as_str().unwrap().to_owned())
}

fn verdict(change: &Value) -> Result<String, String> {
    verdict_under("RS256", change, Some("the nonce"))
}

#[test]
fn fed_7_a_token_that_is_meant_for_this_login_is_taken() {
    let now = NOW.unix();
    for change in [
        json!({}),
        json!({"aud": ["bridge"]}),
        json!({"aud": ["bridge", "api"], "azp": "bridge"}),
        json!({"azp": "bridge"}),
        json!({"exp": now - 59}),
        json!({"exp": 1_800_000_000.5, "iat": 1_799_999_999.25}),
        json!({"iat": now + 110, "nbf": now + 60}),
        json!({"sub": "a".repeat(255)}),
    ] {
        assert!(verdict(&change).is_ok(), "{change}: {:?}", verdict(&change));
    }
}

#[test]
fn fed_7_any_other_is_refused() {
    let now = NOW.unix();
    for change in [
        json!({"iss": null}),
        json!({"iss": "https://idp.example"}),
        json!({"iss": "https://evil.example/"}),
        json!({"iss": [ISSUER]}),
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": ["bridge", 1]}),
        json!({"aud": {"bridge": true}}),
        json!({"aud": ["bridge", "other"]}),
        json!({"aud": ["bridge", "other"], "azp": "other"}),
        json!({"azp": "other"}),
        json!({"azp": 1}),
        json!({"exp": null}),
        json!({"exp": now - 60}),
        json!({"exp": "2030-01-01"}),
        json!({"exp": (now + 300).to_string()}),
        json!({"exp": 1e300}),
        json!({"exp": -1e300}),
        json!({"exp": true}),
        json!({"iat": null}),
        json!({"iat": now + 3600}),
        json!({"iat": now - 7 * 86_400}),
        json!({"iat": "now"}),
        json!({"nbf": now + 61}),
        json!({"nbf": []}),
        json!({"nonce": null}),
        json!({"nonce": "another nonce"}),
        json!({"nonce": ["the nonce"]}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a".repeat(256)}),
        json!({"sub": "a b"}),
        json!({"sub": "ä"}),
        json!({"sub": "a\u{0}"}),
    ] {
        assert!(verdict(&change).is_err(), "{change}");
    }
}

#[test]
fn fed_7_a_payload_that_is_no_object_is_refused() {
    let (access_token, now) = (Secret::new("a"), NOW);
    let expected = Expected { issuer: ISSUER, client_id: "bridge", nonce: None, access_token: &access_token, now };
    for payload in ["", "null", "[]", "1e400", "{\"exp\":1e400}", "{", "\u{feff}{}"] {
        let verified =
            Verified { payload: payload.as_bytes().to_vec(), algorithm: "RS256".to_owned(), token_type: None };
        assert!(check(&verified, &expected).is_err(), "{payload}");
    }
}

#[test]
fn fed_7_an_access_token_belongs_to_its_id_token() {
    let half = |hash: &[u8]| json!({"at_hash": URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])});
    let (short, long) = (half(&Sha256::digest("access token")), half(&Sha512::digest("access token")));
    let other = half(&Sha256::digest("another access token"));
    for (algorithm, claim, right) in [
        ("RS256", &short, true),
        ("ES256", &short, true),
        ("PS512", &long, true),
        ("EdDSA", &long, true),
        ("RS256", &long, false),
        ("RS256", &other, false),
        ("RS256", &json!({"at_hash": ""}), false),
        ("RS256", &json!({"at_hash": 1}), false),
        // CVE-2026-28498: an unknown algorithm is no reason not to look.
        ("XS999", &short, false),
        ("XS999", &json!({}), true),
    ] {
        assert_eq!(verdict_under(algorithm, claim, Some("the nonce")).is_ok(), right, "{algorithm} {claim}");
    }
}

#[test]
fn a_refreshed_token_needs_no_nonce() {
    for nonce in [json!({"nonce": null}), json!({"nonce": "of the login"})] {
        assert!(verdict_under("RS256", &nonce, None).is_ok());
    }
    assert!(verdict_under("RS256", &json!({"nonce": 5}), None).is_err());
}
