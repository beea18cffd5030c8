//! JWK sets: a key that is of no use is left out, and never makes those beside it useless.

use std::path::Path;
use std::slice::from_ref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::KeyPair as _;
use josekit::jws::RS256;
use serde_json::{Value, json};

use super::provider::{ALL, Provider, set, with};
use super::{keys, openssl};
use crate::config::section::SigningAlgorithm;
use crate::keys::KeySet;

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

fn encoded(bytes: &[u8]) -> Value {
    Value::from(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a set of this one key verifies what the provider signs.
fn takes(provider: &Provider, jwk: &Value) -> bool {
    set(from_ref(jwk)).verify(&provider.sign(&provider.header())).is_ok()
}

#[test]
fn a_body_that_is_no_set_is_refused() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        r#"{"keys":null}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":"x"}"#,
        r#"{"keys":[}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[]} x"#,
        r#"[[{"kty":"RSA"}]]"#,
        r#"{"Keys":[]}"#,
    ] {
        assert!(KeySet::parse(body.as_bytes()).is_err(), "{body}");
    }
    assert!(KeySet::parse(b"{\"keys\":[\xff]}").is_err());
    assert!(KeySet::parse(b" {\"x\":[{}],\"keys\":[]}\n").is_ok());
    let provider = Provider::new(("EdDSA", "Ed25519"));
    let of = |count: usize| KeySet::parse(json!({ "keys": vec![provider.jwk.clone(); count] }).to_string().as_bytes());
    assert!(of(100).is_ok());
    assert_eq!(of(101).unwrap_err(), "101 keys in it, at most 100 are taken");
}

#[test]
fn a_key_of_no_use_is_left_out() {
    for kind in ALL {
        let provider = Provider::new(kind);
        assert!(takes(&provider, &provider.jwk));
        let useless = [
            json!({ "use": "enc" }),
            json!({ "use": 1 }),
            json!({ "key_ops": ["sign"] }),
            json!({ "key_ops": [] }),
            json!({ "key_ops": "verify" }),
            json!({ "kty": "oct" }),
            json!({ "kty": "AKP" }),
            json!({ "kty": null }),
            json!({ "alg": "none" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "RSA-OAEP" }),
            json!({ "alg": ["RS256"] }),
            json!({ "kid": 1 }),
            json!({ "d": "AAAA" }),
            json!({ "k": "AAAA" }),
            json!({ "oth": [] }),
            json!({ "p": "AAAA" }),
        ];
        for members in useless {
            let jwk = with(&provider.jwk, members);
            assert!(!takes(&provider, &jwk), "{jwk}");
            // Beside a good one it does no harm.
            let both = set(&[jwk, json!(1), json!([]), json!("x"), provider.jwk.clone()]);
            assert!(both.verify(&provider.sign(&provider.header())).is_ok());
        }
        let harmless = json!({
            "alg": null, "use": null, "key_ops": ["verify"], "d": null, "x5c": ["AAAA"], "x5t": "AAAA",
            "x5u": "http://127.0.0.1:9/", "ext": true, "issuer": { "of": [1, 2] },
        });
        assert!(takes(&provider, &with(&provider.jwk, harmless)));
    }
}

#[test]
fn a_member_twice_makes_a_key_useless() {
    let provider = Provider::new(("EdDSA", "Ed25519"));
    let token = provider.sign(&provider.header());
    let of = |jwk: &str| KeySet::parse(format!("{{\"keys\":[{jwk}]}}").as_bytes()).unwrap();
    let jwk = provider.jwk.to_string();
    assert!(of(&jwk).verify(&token).is_ok());
    for member in [r#""kid":"key""#, r#""kty":"oct""#, r#""kty":"OKP""#, r#""z":1,"z":1"#] {
        assert!(of(&jwk.replacen('{', &format!("{{{member},"), 1)).verify(&token).is_err(), "{member}");
    }
    assert!(of(&jwk.replacen('{', "{\"z\":1,", 1)).verify(&token).is_ok());
}

#[test]
fn fed_7_a_key_is_on_the_curve_that_it_names() {
    for (alg, length) in [("ES256", 32), ("ES384", 48), ("ES512", 66), ("ES256K", 32)] {
        let provider = Provider::new((alg, ""));
        for curve in ["P-256", "P-384", "P-521", "secp256k1", "p-256", "P-256K", "Ed25519", ""] {
            let own = provider.jwk["crv"] == curve;
            assert_eq!(takes(&provider, &with(&provider.jwk, json!({ "crv": curve }))), own, "{alg} on {curve}");
        }
        let (x, y) = (decoded(&provider.jwk["x"]), decoded(&provider.jwk["y"]));
        let mut off = y.clone();
        off[length - 1] ^= 1;
        let zero = vec![0; length];
        for (x, y) in [
            (x.clone(), off),
            (y.clone(), x.clone()),
            (zero.clone(), zero.clone()),
            (vec![0xff; length], vec![0xff; length]),
            (x[1..].to_vec(), y.clone()),
            ([&[0], x.as_slice()].concat(), y.clone()),
            ([x.as_slice(), &y[..1]].concat(), y[1..].to_vec()),
            (Vec::new(), Vec::new()),
        ] {
            let jwk = with(&provider.jwk, json!({ "x": encoded(&x), "y": encoded(&y) }));
            assert!(!takes(&provider, &jwk), "{jwk}");
        }
        for member in ["x", "y", "crv", "kty"] {
            let mut jwk = provider.jwk.clone();
            jwk.as_object_mut().unwrap().remove(member);
            assert!(!takes(&provider, &jwk), "{jwk}");
        }
    }
    let (short, long) = (Provider::new(("EdDSA", "Ed25519")), Provider::new(("EdDSA", "Ed448")));
    assert!(!takes(&short, &with(&short.jwk, json!({ "crv": "Ed448" }))));
    assert!(!takes(&short, &with(&short.jwk, json!({ "crv": "X25519" }))));
    assert!(!takes(&long, &with(&long.jwk, json!({ "crv": "Ed25519" }))));
    assert!(!takes(&short, &with(&short.jwk, json!({ "x": encoded(&decoded(&short.jwk["x"])[1..]) }))));
}

/// A provider with an RSA key of this many bits and this exponent.
fn rsa(folder: &Path, bits: u32, exponent: u32) -> Provider {
    openssl(
        folder,
        &format!(
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -pkeyopt rsa_keygen_pubexp:{exponent} -out rsa"
        ),
    );
    openssl(folder, "pkey -in rsa -outform DER -out rsa.der");
    let pair = josekit::jwk::alg::rsa::RsaKeyPair::from_der(std::fs::read(folder.join("rsa.der")).unwrap()).unwrap();
    let jwk = with(&Value::Object(pair.to_jwk_public_key().as_ref().clone()), json!({ "kid": "key" }));
    // josekit signs with no key under 2048 bits; then only the key counts.
    let signer = RS256.signer_from_der(pair.to_der_private_key());
    let signer = signer
        .unwrap_or_else(|_| RS256.signer_from_jwk(&RS256.generate_key_pair(2048).unwrap().to_jwk_key_pair()).unwrap());
    Provider { alg: "RS256", signer: Box::new(signer), jwk }
}

#[test]
fn rsa_keys_are_neither_short_nor_enormous() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, exponent, fit) in [(2048, 3, true), (3072, 65537, true), (2047, 65537, false), (1024, 65537, false)] {
        let provider = rsa(folder.path(), bits, exponent);
        let left_out = format!("{:?}", set(from_ref(&provider.jwk))) == "KeySet(0 keys)";
        assert_eq!((takes(&provider, &provider.jwk), left_out), (fit, !fit), "{bits} bits, exponent {exponent}");
    }
    let provider = Provider::new(("RS256", ""));
    let modulus = decoded(&provider.jwk["n"]);
    let exponents: [&[u8]; 8] = [&[], &[0], &[1], &[0, 1], &[2], &[1, 0, 0], &[1, 0, 0, 0, 1], &modulus];
    for exponent in exponents {
        let jwk = with(&provider.jwk, json!({ "e": encoded(exponent) }));
        assert_eq!(format!("{:?}", set(&[jwk])), "KeySet(0 keys)", "{exponent:?}");
    }
    let even = [&modulus[..255], &[modulus[255] & 0xfe]].concat();
    let moduli = [
        Vec::new(),
        vec![0; 256],
        even,
        vec![0xff; 1025],
        vec![0xff; 2048],
        vec![0xff; 100_000],
        modulus[1..].to_vec(),
    ];
    for modulus in moduli {
        let jwk = with(&provider.jwk, json!({ "n": encoded(&modulus) }));
        assert_eq!(format!("{:?}", set(&[jwk])), "KeySet(0 keys)", "{} bytes", modulus.len());
    }
    for jwk in [json!({ "n": "not base64!" }), json!({ "e": "AQAB=" }), json!({ "n": 1 }), json!({ "e": 65537 })] {
        assert_eq!(format!("{:?}", set(&[with(&provider.jwk, jwk)])), "KeySet(0 keys)");
    }
    // Many libraries write the sign byte of a DER integer (RFC 7518 §6.3.1.1 mentions them).
    let padded = json!({ "n": encoded(&[&[0], modulus.as_slice()].concat()), "e": encoded(&[0, 1, 0, 1]) });
    assert!(takes(&provider, &with(&provider.jwk, padded)));
    let largest = with(&provider.jwk, json!({ "n": encoded(&[0xff; 1024]) }));
    assert_eq!(format!("{:?}", set(&[largest])), "KeySet(1 keys)");
}

#[test]
fn sets_that_are_cut_changed_or_garbage_do_not_panic() {
    let of_each: Vec<Value> =
        [("RS256", ""), ("ES256", ""), ("EdDSA", "Ed25519")].into_iter().map(|kind| Provider::new(kind).jwk).collect();
    let body = json!({ "keys": of_each }).to_string();
    for position in 0..body.len() {
        assert!(KeySet::parse(&body.as_bytes()[..position]).is_err(), "cut at {position}");
    }
    for position in 0..body.len() {
        for byte in *b"A\"{}[],:0 \\\0\xff" {
            let mut changed = body.as_bytes().to_vec();
            changed[position] = byte;
            // Whatever it is now: an answer, and none of more keys than there were.
            if let Ok(set) = KeySet::parse(&changed) {
                assert!(format!("{set:?}").as_str() <= "KeySet(3 keys)");
            }
        }
    }
    for nested in ["[".repeat(100_000), "{\"keys\":".repeat(50_000), format!("{{\"keys\":[{}", "[".repeat(100_000))] {
        assert!(KeySet::parse(nested.as_bytes()).is_err());
    }
}

#[test]
fn our_own_set_is_one() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let keys = keys(folder.path(), algorithm);
        let token = keys.sign(&super::tokens::claims()).unwrap();
        let verified = KeySet::parse(&keys.jwks()).unwrap().verify(token.expose()).unwrap();
        assert_eq!(verified.payload, serde_json::to_vec(&super::tokens::claims()).unwrap());
    }
}
