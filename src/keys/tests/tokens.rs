//! Tokens: what is not exactly ours is refused, and nothing panics.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use josekit::jws::RS256;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use super::{keys, open, openssl, signing};
use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, GrantId, UserId};
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::{Keys, MAX_TOKEN_LENGTH, TokenFault};
use crate::protocol::oauth::claims::AccessTokenClaims;
use crate::protocol::oauth::scope::ScopeSet;

const ALL: [SigningAlgorithm; 3] = [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa];

pub fn claims() -> AccessTokenClaims {
    let issued_at = Timestamp::from_unix(1_800_000_000);
    AccessTokenClaims {
        issuer: "https://mcp.example.com".to_owned(),
        subject: UserId::new("alice"),
        audience: "https://mcp.example.com/mcp".to_owned(),
        client_id: ClientId::new("client"),
        scope: ScopeSet::parse("mcp:read mcp:write").unwrap(),
        jti: "jti".to_owned(),
        issued_at,
        expires_at: issued_at + Duration::from_secs(3600),
        grant: GrantId::new("grant"),
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn payload() -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_string(&claims()).unwrap())
}

/// A token over any header and payload, properly signed with our own key.
fn signed(keys: &Keys, header: &str, payload: &str) -> String {
    let message = format!("{header}.{payload}");
    let signature = keys.ring.load().signer(super::NOW).unwrap().key.signer.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn good_header(keys: &Keys) -> Value {
    json!({ "typ": "at+jwt", "alg": crate::keys::compact::name(keys.algorithm()), "kid": keys.key_id() })
}

#[test]
fn a_token_is_read_again_and_has_the_header_of_rfc_9068() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in ALL {
        let keys = keys(folder.path(), algorithm);
        let token = keys.sign(&claims()).unwrap();
        assert_eq!(keys.verify(token.expose()).unwrap(), claims());
        let header = URL_SAFE_NO_PAD.decode(token.expose().split('.').next().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&header).unwrap(), good_header(&keys));
        assert!(keys.verify(&signed(&keys, &encoded(&good_header(&keys)), &payload())).is_ok());
    }
}

#[test]
fn meta_11_the_key_set_has_public_members_only() {
    let folder = tempfile::tempdir().unwrap();
    let expected: [&[&str]; 3] = [
        &["alg", "e", "kid", "kty", "n", "use"],
        &["alg", "crv", "kid", "kty", "use", "x", "y"],
        &["alg", "crv", "kid", "kty", "use", "x"],
    ];
    for (algorithm, members) in ALL.into_iter().zip(expected) {
        let keys = keys(folder.path(), algorithm);
        let set: Value = serde_json::from_slice(&keys.jwks()).unwrap();
        assert_eq!(set["keys"].as_array().unwrap().len(), 1);
        let jwk = set["keys"][0].as_object().unwrap();
        let mut names: Vec<&String> = jwk.keys().collect();
        names.sort();
        assert_eq!(names, members);
        assert_eq!((jwk["use"].as_str(), jwk["kid"].as_str()), (Some("sig"), Some(keys.key_id().as_str())));
        // Whoever has only the key set can check our signatures.
        let jwk = josekit::jwk::Jwk::from_map(jwk.clone()).unwrap();
        let verifier: Box<dyn josekit::jws::JwsVerifier> = match algorithm {
            SigningAlgorithm::Rs256 => Box::new(RS256.verifier_from_jwk(&jwk).unwrap()),
            SigningAlgorithm::Es256 => Box::new(josekit::jws::ES256.verifier_from_jwk(&jwk).unwrap()),
            SigningAlgorithm::EdDsa => Box::new(josekit::jws::EdDSA.verifier_from_jwk(&jwk).unwrap()),
        };
        let token = keys.sign(&claims()).unwrap();
        let (message, signature) = token.expose().rsplit_once('.').unwrap();
        verifier.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    }
}

#[test]
fn jwt_2_no_signature_is_no_token() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in ALL {
        let keys = keys(folder.path(), algorithm);
        for alg in [json!("none"), json!("None"), json!("NONE"), json!(""), json!(null), json!(0)] {
            let mut header = good_header(&keys);
            header["alg"] = alg;
            assert!(keys.verify(&signed(&keys, &encoded(&header), &payload())).is_err(), "{header}");
            assert!(keys.verify(&format!("{}.{}.", encoded(&header), payload())).is_err(), "{header}");
        }
        let missing = json!({ "typ": "at+jwt", "kid": keys.key_id() });
        assert_eq!(keys.verify(&signed(&keys, &encoded(&missing), &payload())), Err(TokenFault::Header));

        let token = keys.sign(&claims()).unwrap();
        let (message, signature) = token.expose().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(keys.verify(message), Err(TokenFault::Form));
        assert_eq!(keys.verify(&format!("{message}.")), Err(TokenFault::Signature));
        let refused = |signature: &[u8]| {
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert_eq!(keys.verify(&token), Err(TokenFault::Signature), "{signature:?}");
        };
        for position in [0, 1, 31, 32, 63] {
            let mut flipped = signature.clone();
            flipped[position] ^= 1;
            refused(&flipped);
        }
        for byte in [0, 1, 0xff] {
            refused(&vec![byte; signature.len()]);
        }
        refused(&signature[1..]);
        refused(&[signature.as_slice(), &[0]].concat());
        refused(&der_signature(&signature));
    }
}

/// A raw ECDSA signature as DER, as OpenSSL writes it.
fn der_signature(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at(raw.len() / 2);
    let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len() % 128).unwrap()], body.as_slice()].concat()
}

#[test]
fn jwt_3_a_public_key_is_no_shared_secret() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    openssl(folder, "genrsa -out key.pem 2048");
    openssl(folder, "rsa -in key.pem -pubout -out public.pem");
    openssl(folder, "rsa -in key.pem -pubout -outform DER -out public.der");
    let keys = open(&Signing { key_file: Some(folder.join("key.pem")), ..signing(folder) }).unwrap();
    let set: Value = serde_json::from_slice(&keys.jwks()).unwrap();
    let modulus = set["keys"][0]["n"].as_str().unwrap();
    let read = |file: &str| std::fs::read(Path::new(folder).join(file)).unwrap();
    let secrets = [
        read("public.pem"),
        read("public.der"),
        set["keys"][0].to_string().into_bytes(),
        set.to_string().into_bytes(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        Vec::new(),
        keys.key_id().as_bytes().to_vec(),
    ];
    for secret in &secrets {
        for (alg, mac) in [("HS256", mac256 as fn(&[u8], &[u8]) -> Vec<u8>), ("HS384", mac384), ("HS512", mac512)] {
            for alg in [alg, "RS256"] {
                let header = json!({ "typ": "at+jwt", "alg": alg, "kid": keys.key_id() });
                let message = format!("{}.{}", encoded(&header), payload());
                let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac(secret, message.as_bytes())));
                assert!(keys.verify(&token).is_err(), "{header}");
            }
        }
    }
}

fn mac256(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn mac384(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha384>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn mac512(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha512>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

#[test]
fn jwt_4_the_algorithm_follows_from_the_key() {
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "genrsa -out key.pem 2048");
    let key_file = Some(folder.path().join("key.pem"));
    let rsa = open(&Signing { key_file, ..signing(folder.path()) }).unwrap();
    // The same key, used with another algorithm of its family.
    for (real, options) in [("PS256", "-sha256 -sigopt rsa_padding_mode:pss"), ("RS512", "-sha512")] {
        for (alg, fault) in [(real, TokenFault::Algorithm), ("RS256", TokenFault::Signature)] {
            let header = json!({ "typ": "at+jwt", "alg": alg, "kid": rsa.key_id() });
            let message = format!("{}.{}", encoded(&header), payload());
            std::fs::write(folder.path().join("message"), &message).unwrap();
            openssl(folder.path(), &format!("dgst {options} -sign key.pem -out signature message"));
            let signature = std::fs::read(folder.path().join("signature")).unwrap();
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert_eq!(rsa.verify(&token), Err(fault), "{real} as {alg}");
        }
    }
    // Every algorithm name but its own, rightly signed.
    for algorithm in ALL {
        let keys = keys(folder.path(), algorithm);
        for alg in ["RS256", "RS384", "PS256", "ES256", "ES384", "ES256K", "EdDSA", "Ed25519", "HS256", "es256"] {
            let header = json!({ "typ": "at+jwt", "alg": alg, "kid": keys.key_id() });
            let accepted = keys.verify(&signed(&keys, &encoded(&header), &payload())).is_ok();
            assert_eq!(accepted, good_header(&keys)["alg"] == alg, "{header}");
        }
    }
}

#[test]
fn jwt_6_a_header_has_our_members_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    let others = [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", json!({ "kty": "EC" })),
        ("x5c", json!(["AA"])),
        ("crit", json!(["x"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("x", json!(1)),
    ];
    for (name, value) in others {
        let mut header = good_header(&keys);
        header[name] = value;
        assert_eq!(keys.verify(&signed(&keys, &encoded(&header), &payload())), Err(TokenFault::Header), "{header}");
    }
    let kid = keys.key_id();
    let raw_headers = [
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"none","typ":"at+jwt","alg":"ES256","kid":"{kid}"}}"#),
        format!(r#"["at+jwt","ES256","{kid}"]"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}} x"#),
        String::new(),
        "{".repeat(500),
    ];
    for header in raw_headers {
        let token = signed(&keys, &URL_SAFE_NO_PAD.encode(&header), &payload());
        assert_eq!(keys.verify(&token), Err(TokenFault::Header), "{header}");
    }
    let mut header = good_header(&keys);
    header["kid"] = json!("other");
    assert_eq!(keys.verify(&signed(&keys, &encoded(&header), &payload())), Err(TokenFault::Key));

    let token = keys.sign(&claims()).unwrap();
    let token = token.expose();
    let parts: Vec<&str> = token.split('.').collect();
    let json_form = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string();
    for form in [
        format!("{token}.AA.AA"),
        format!("{token}."),
        format!(".{token}"),
        json_form,
        format!("{token}="),
        format!("{token} "),
    ] {
        assert_eq!(keys.verify(&form), Err(TokenFault::Form), "{form}");
    }
}

#[test]
fn jwt_7_only_access_tokens_are_access_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    for typ in ["JWT", "id+jwt", "logout+jwt", "", "at+jwt ", "at", "application/jwt"] {
        let mut header = good_header(&keys);
        header["typ"] = json!(typ);
        assert_eq!(keys.verify(&signed(&keys, &encoded(&header), &payload())), Err(TokenFault::Type), "{typ:?}");
    }
    for typ in ["AT+JWT", "application/at+jwt"] {
        let mut header = good_header(&keys);
        header["typ"] = json!(typ);
        assert!(keys.verify(&signed(&keys, &encoded(&header), &payload())).is_ok(), "{typ:?}");
    }
    let missing = json!({ "alg": "ES256", "kid": keys.key_id() });
    assert_eq!(keys.verify(&signed(&keys, &encoded(&missing), &payload())), Err(TokenFault::Header));
}

#[test]
fn jwt_8_dates_that_josekit_would_panic_on_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    let good = serde_json::to_string(&claims()).unwrap();
    for exp in ["\"9999999999\"", "1e300", "1e400", "-1", "null", "1800003600.5", "{}"] {
        let bad = good.replace("\"exp\":1800003600", &format!("\"exp\":{exp}"));
        assert_ne!(bad, good);
        let token = signed(&keys, &encoded(&good_header(&keys)), &URL_SAFE_NO_PAD.encode(&bad));
        assert!(matches!(keys.verify(&token), Err(TokenFault::Claims(_))), "{exp}");
    }
}

#[test]
fn jwt_14_length_comes_before_everything_and_duplicates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    let good = serde_json::to_string(&claims()).unwrap();
    for claim in ["\"aud\":\"https://mcp.example.com/mcp\"", "\"scope\":\"mcp:read mcp:write\""] {
        let double = good.replace(claim, &format!("{claim},{claim}"));
        assert_ne!(double, good);
        let token = signed(&keys, &encoded(&good_header(&keys)), &URL_SAFE_NO_PAD.encode(&double));
        assert!(matches!(keys.verify(&token), Err(TokenFault::Claims(_))));
    }
    for length in [MAX_TOKEN_LENGTH + 1, 64 * 1024] {
        assert_eq!(keys.verify(&"a".repeat(length)), Err(TokenFault::TooLong));
    }
    let long = AccessTokenClaims { jti: "j".repeat(MAX_TOKEN_LENGTH), ..claims() };
    assert!(keys.sign(&long).is_err());
    for garbage in ["", ".", "..", "...", "a.b.c", "é.é.é", "\0.\0.\0", "AA.AA.AA", "e30.e30.AA", "AB.AA.AA"] {
        assert!(keys.verify(garbage).is_err(), "{garbage:?}");
    }
}

#[test]
fn a_token_cut_or_changed_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::EdDsa);
    let token = keys.sign(&claims()).unwrap();
    let token = token.expose();
    for position in 0..token.len() {
        assert!(keys.verify(&token[..position]).is_err(), "cut at {position}");
        let mut changed = token.as_bytes().to_vec();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        assert!(keys.verify(std::str::from_utf8(&changed).unwrap()).is_err(), "changed at {position}");
    }
}
