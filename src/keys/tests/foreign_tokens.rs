//! Foreign tokens: every algorithm of the list is verified, whatever else a token asks for is refused, and nothing panics.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::provider::{ALL, PAYLOAD, Provider, set, with};
use super::{openssl, signing};
use crate::config::section::Signing;
use crate::keys::{ForeignTokenFault, KeySet, MAX_FOREIGN_TOKEN_LENGTH};

type Fault = ForeignTokenFault;

fn provider(alg: &str) -> Provider {
    Provider::new(*ALL.iter().find(|(name, _)| *name == alg).unwrap())
}

fn unknown(key_id: &str) -> Fault {
    Fault::UnknownKey(Some(key_id.to_owned()))
}

/// The message of a token, and its signature.
fn taken_apart(token: &str) -> (&str, Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    (message, URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn put_together(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn every_algorithm_is_verified() {
    for kind in ALL {
        let provider = Provider::new(kind);
        let token = provider.sign(&provider.header());
        let verified = provider.set().verify(&token).unwrap_or_else(|fault| panic!("{kind:?}: {fault}"));
        assert_eq!((verified.algorithm.as_str(), verified.payload.as_slice()), (kind.0, PAYLOAD.as_bytes()));
        let jwk = with(&provider.jwk, json!({ "alg": kind.0, "use": "sig", "key_ops": ["verify"] }));
        assert!(set(&[jwk]).verify(&token).is_ok(), "{kind:?}");

        let (message, signature) = taken_apart(&token);
        let refused = |signature: &[u8]| {
            let fault = provider.set().verify(&put_together(message, signature)).unwrap_err();
            assert_eq!(fault, Fault::Signature, "{kind:?}: {signature:?}");
        };
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut flipped = signature.clone();
            flipped[position] ^= 1;
            refused(&flipped);
        }
        refused(&[]);
        refused(&signature[1..]);
        refused(&signature[..signature.len() - 1]);
        refused(&[signature.as_slice(), &[0]].concat());
        refused(&[&[0], signature.as_slice()].concat());
        for byte in [0, 1, 0xff] {
            refused(&vec![byte; signature.len()]);
        }
        assert_eq!(set(&[]).verify(&token).unwrap_err(), unknown("key"));
        let stranger = Provider::new(kind);
        assert_eq!(stranger.set().verify(&token).unwrap_err(), Fault::Signature);
    }
}

#[test]
fn fed_7_a_token_without_a_signature_is_refused() {
    let provider = provider("RS256");
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RS1", "dir", "RSA-OAEP"] {
        let header = json!({ "alg": alg, "kid": "key" });
        let token = provider.sign(&header);
        let fault = Fault::Algorithm(alg.to_owned());
        assert_eq!(provider.set().verify(&token).unwrap_err(), fault, "{alg}");
        let (message, _) = taken_apart(&token);
        assert_eq!(provider.set().verify(&format!("{message}.")).unwrap_err(), fault, "{alg}");
        assert_eq!(provider.set().verify(message).unwrap_err(), Fault::Form, "{alg}");
    }
    for header in [json!({ "kid": "key" }), json!({ "alg": null }), json!({ "alg": 256 }), json!({ "alg": ["RS256"] })]
    {
        assert_eq!(provider.set().verify(&provider.sign(&header)).unwrap_err(), Fault::Form, "{header}");
    }
    let token = provider.sign(&provider.header());
    let (message, _) = taken_apart(&token);
    assert_eq!(provider.set().verify(&format!("{message}.")).unwrap_err(), Fault::Signature);
}

#[test]
fn fed_7_a_public_key_is_no_shared_secret() {
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "genrsa -out key.pem 2048");
    openssl(folder.path(), "rsa -in key.pem -pubout -out public.pem");
    openssl(folder.path(), "rsa -in key.pem -pubout -outform DER -out public.der");
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    let keys = super::open(&Signing {
        key_file: Some(folder.path().join("key.pem")),
        key_id: Some("key".to_owned()),
        ..signing(folder.path())
    });
    let published = keys.unwrap().jwks();
    let parsed: Value = serde_json::from_slice(&published).unwrap();
    let jwk = &parsed["keys"][0];
    let modulus = jwk["n"].as_str().unwrap();
    let secrets = [
        read("public.pem"),
        read("public.der"),
        published.to_vec(),
        jwk.to_string().into_bytes(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        Vec::new(),
    ];
    // A set may even say that its key is for a MAC, or hold a shared secret.
    let confused = with(jwk, json!({ "alg": "HS256" }));
    let octets = json!({ "kty": "oct", "kid": "key", "alg": "HS256", "k": "AAAA" });
    let sets = [KeySet::parse(&published).unwrap(), set(&[confused]), set(&[octets])];
    for secret in secrets.iter().chain(&[vec![0; 3]]) {
        for alg in ["HS256", "HS384", "HS512", "RS256", "PS256"] {
            let header = json!({ "alg": alg, "kid": "key" }).to_string();
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(PAYLOAD));
            let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&message).finalize().into_bytes();
            for set in &sets {
                let fault = set.verify(&put_together(&message, &mac)).unwrap_err();
                let named = Fault::Algorithm(alg.to_owned());
                assert!(if alg.starts_with("HS") { fault == named } else { fault != named }, "{alg}: {fault}");
            }
        }
    }
}

#[test]
fn fed_7_the_algorithm_belongs_to_the_kind_of_key() {
    let providers: Vec<Provider> = ALL.into_iter().map(Provider::new).collect();
    for ((own, curve), provider) in ALL.iter().zip(&providers) {
        for (alg, _) in ALL {
            let token = provider.sign(&json!({ "alg": alg, "kid": "key" }));
            let same_kind = match *own {
                "EdDSA" | "Ed25519" | "Ed448" => alg == "EdDSA" || alg == *curve,
                rsa if rsa.starts_with(['R', 'P']) => alg.starts_with(['R', 'P']),
                _ => alg == *own,
            };
            let expected = match (same_kind, alg == *own || own.starts_with("Ed")) {
                (false, _) => Err(unknown("key")),
                (true, false) => Err(Fault::Signature),
                (true, true) => Ok(()),
            };
            assert_eq!(provider.set().verify(&token).map(drop), expected, "{own} {curve} as {alg}");
            // A key that names its algorithm is for no other.
            let strict = set(&[with(&provider.jwk, json!({ "alg": own }))]);
            let expected = if alg == *own { Ok(()) } else { Err(unknown("key")) };
            assert_eq!(strict.verify(&token).map(drop), expected, "{own} {curve} as {alg}, strictly");
        }
    }
}

#[test]
fn fed_7_pss_has_a_salt_as_long_as_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    openssl(folder, "genrsa -out key.pem 2048");
    let keys = super::open(&Signing { key_file: Some(folder.join("key.pem")), ..signing(folder) });
    let published: Value = serde_json::from_slice(&keys.unwrap().jwks()).unwrap();
    let mut jwk = published["keys"][0].clone();
    jwk.as_object_mut().unwrap().remove("alg");
    let header = json!({ "alg": "PS256" }).to_string();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(PAYLOAD));
    std::fs::write(folder.join("message"), &message).unwrap();
    for (options, right) in [
        ("rsa_pss_saltlen:32", true),
        ("rsa_pss_saltlen:31", false),
        ("rsa_pss_saltlen:0", false),
        ("rsa_pss_saltlen:33", false),
        ("rsa_pss_saltlen:max", false),
        ("rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha1", false),
    ] {
        openssl(
            folder,
            &format!(
                "dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt {options} -sign key.pem -out signature message"
            ),
        );
        let token = put_together(&message, &std::fs::read(folder.join("signature")).unwrap());
        assert_eq!(set(&[jwk.clone()]).verify(&token).is_ok(), right, "{options}");
    }
}

#[test]
fn fed_7_an_extension_that_we_do_not_know_is_refused() {
    let provider = provider("ES256");
    for member in [
        json!({ "crit": ["exp"], "exp": 1 }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "crit": [] }),
        json!({ "crit": null }),
        json!({ "crit": "x" }),
        json!({ "b64": false }),
        json!({ "b64": true }),
    ] {
        let token = provider.sign(&with(&provider.header(), member));
        assert_eq!(provider.set().verify(&token).unwrap_err(), Fault::Extension);
    }
}

#[test]
fn fed_8_a_token_does_not_bring_its_key() {
    let (provider, attacker) = (provider("ES256"), provider("ES256"));
    // Nothing listens there; and `keys` has no way to ask anybody.
    let canary = "http://127.0.0.1:9/jwks.json";
    let sources = [
        json!({ "jku": canary }),
        json!({ "x5u": canary }),
        json!({ "jwk": attacker.jwk }),
        json!({ "jwk": attacker.jwk, "kid": "other" }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
        json!({ "x5c": ["AAAA"] }),
        json!({ "jku": 1, "jwk": 1, "x5u": 1, "x5c": 1 }),
        json!({ "jku": canary, "x5u": canary, "jwk": attacker.jwk, "x5c": [] }),
    ];
    for source in sources {
        let header = with(&attacker.header(), source);
        let expected = if header["kid"] == "key" { Fault::Signature } else { unknown("other") };
        assert_eq!(provider.set().verify(&attacker.sign(&header)).unwrap_err(), expected, "{header}");
        // And it does no harm to a token that the provider itself has signed.
        let header = with(&header, json!({ "kid": "key" }));
        assert!(provider.set().verify(&provider.sign(&header)).is_ok(), "{header}");
    }
}

#[test]
fn a_header_is_one_object_of_different_members() {
    let provider = provider("EdDSA");
    let sign = |header: &str| provider.set().verify(&provider.sign_text(header, PAYLOAD)).map(drop);
    assert_eq!(sign(r#" {"alg":"EdDSA","kid":"key"} "#), Ok(()));
    for header in [
        r#"{"alg":"EdDSA","kid":"key","kid":"key"}"#,
        r#"{"alg":"none","alg":"EdDSA","kid":"key"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"none","kid":"key"}"#,
        r#"{"alg":"EdDSA","kid":"key","x":1,"x":1}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":"EdDSA","kid":null}"#,
        r#"{"alg":"EdDSA","kid":"key","x":}"#,
        r#"["EdDSA","key"]"#,
        r#""EdDSA""#,
        r#"{"alg":"EdDSA","kid":"key"} x"#,
        r#"{"alg":"EdDSA","kid":"key""#,
        "",
        "null",
    ] {
        assert_eq!(sign(header), Err(Fault::Form), "{header}");
    }
    for payload in ["", "[]", "null", "text", r#"{"sub":"a","sub":"b"}"#, r#"{"sub":"a"}{}"#, "{\"sub\":\"\u{0}\"}"] {
        let token = provider.sign_text(&provider.header().to_string(), payload);
        assert_eq!(provider.set().verify(&token).unwrap_err(), Fault::Form, "{payload}");
    }
}

#[test]
fn a_long_name_is_quoted_in_part() {
    let provider = provider("EdDSA");
    let long = "é\n".repeat(5_000);
    let fault = provider.set().verify(&provider.sign(&json!({ "alg": long }))).unwrap_err();
    assert!(fault.to_string().len() < 300 && !fault.to_string().contains('\n'), "{fault}");
    let fault = provider.set().verify(&provider.sign(&json!({ "alg": "EdDSA", "kid": long }))).unwrap_err();
    assert!(fault.to_string().len() < 300 && !fault.to_string().contains('\n'), "{fault}");
}

#[test]
fn the_key_is_the_one_that_is_named_or_one_of_those_that_fit() {
    let (first, second, stranger) = (provider("ES256"), provider("ES256"), provider("ES256"));
    let named = |provider: &Provider, name: &str| with(&provider.jwk, json!({ "kid": name }));
    let two = set(&[provider("RS256").jwk, named(&first, "first"), named(&second, "second")]);
    assert!(two.verify(&second.sign(&json!({ "alg": "ES256", "kid": "second" }))).is_ok());
    assert_eq!(two.verify(&second.sign(&json!({ "alg": "ES256", "kid": "first" }))).unwrap_err(), Fault::Signature);
    assert_eq!(two.verify(&second.sign(&json!({ "alg": "ES256", "kid": "third" }))).unwrap_err(), unknown("third"));
    // No name: each is tried.
    assert!(two.verify(&second.sign(&json!({ "alg": "ES256" }))).is_ok());
    let fault = two.verify(&stranger.sign(&json!({ "alg": "ES256" }))).unwrap_err();
    assert_eq!(fault, Fault::UnknownKey(None), "the keys may have changed since");
    assert_eq!(two.verify(&stranger.sign(&json!({ "alg": "ES384" }))).unwrap_err(), Fault::UnknownKey(None));
    // A name that several keys have is no name.
    let same = set(&[first.jwk.clone(), second.jwk.clone()]);
    assert!(same.verify(&second.sign(&second.header())).is_ok());
    // A key without a name is none that a token can name.
    let mut nameless = second.jwk.clone();
    nameless.as_object_mut().unwrap().remove("kid");
    let nameless = set(&[nameless]);
    assert_eq!(nameless.verify(&second.sign(&second.header())).unwrap_err(), unknown("key"));
    assert!(nameless.verify(&second.sign(&json!({ "alg": "ES256" }))).is_ok());
    // Of many that might fit, eight are tried.
    let decoys = vec![first.jwk.clone(); 7];
    let header = json!({ "alg": "ES256" });
    assert!(set(&[decoys.clone(), vec![second.jwk.clone()]].concat()).verify(&second.sign(&header)).is_ok());
    let ninth = set(&[decoys, vec![first.jwk, second.jwk.clone()]].concat());
    assert_eq!(ninth.verify(&second.sign(&header)).unwrap_err(), Fault::UnknownKey(None));
}

#[test]
fn what_is_cut_changed_or_garbage_is_refused_and_nothing_panics() {
    for alg in ["RS256", "PS256", "ES512", "EdDSA"] {
        let provider = provider(alg);
        let keys = provider.set();
        let token = provider.sign(&provider.header());
        for position in 0..token.len() {
            assert!(keys.verify(&token[..position]).is_err(), "{alg} cut at {position}");
            for byte in [b'A', b'_', b'.', b'=', b' ', 0] {
                let mut changed = token.as_bytes().to_vec();
                if changed[position] != byte {
                    changed[position] = byte;
                    let changed = std::str::from_utf8(&changed).unwrap();
                    assert!(keys.verify(changed).is_err(), "{alg} {byte} at {position}");
                }
            }
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        for form in [
            format!("{token}.AA.AA"),
            format!("{token}."),
            format!(".{token}"),
            format!("{token}="),
            format!("{token}\n"),
            format!(" {token}"),
            json!({ "protected": header, "payload": payload, "signature": signature }).to_string(),
            format!("{header}.{payload}.{signature}{}", "A".repeat(MAX_FOREIGN_TOKEN_LENGTH)),
        ] {
            assert_eq!(keys.verify(&form).unwrap_err(), Fault::Form, "{form}");
        }
        for garbage in ["", ".", "..", "...", "a.b.c", "é.é.é", "\0.\0.\0", "AA.AA.AA", "e30.e30.AA", "AB.AA.AA"] {
            assert_eq!(keys.verify(garbage).unwrap_err(), Fault::Form, "{garbage:?}");
        }
    }
}

#[test]
fn a_token_may_be_so_long_and_no_longer() {
    let provider = provider("EdDSA");
    let header = provider.header().to_string();
    let of = |length: usize| provider.sign_text(&header, &json!({ "groups": "g".repeat(length) }).to_string());
    let fits = of(48_000);
    assert!(fits.len() < MAX_FOREIGN_TOKEN_LENGTH && provider.set().verify(&fits).is_ok());
    let over = of(49_152);
    assert!(over.len() > MAX_FOREIGN_TOKEN_LENGTH);
    assert_eq!(provider.set().verify(&over).unwrap_err(), Fault::Form);
    // Deeply nested text is no way to exhaust the stack.
    for nested in ["[".repeat(20_000), "{\"a\":".repeat(9_000)] {
        assert!(provider.set().verify(&provider.sign_text(&header, &nested)).is_err());
        assert!(provider.set().verify(&provider.sign_text(&nested, PAYLOAD)).is_err());
        let inside = format!("{{\"alg\":\"EdDSA\",\"x\":{nested}}}");
        assert!(provider.set().verify(&provider.sign_text(&inside, PAYLOAD)).is_err());
    }
}
