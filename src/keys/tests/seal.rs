//! Sealed secrets: opened by this installation under their own label, and by nobody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwe::enc::A256GCM;
use josekit::jwe::{self, Dir, JweContentEncryption as _};

use super::keys;
use crate::base::secret::Secret;
use crate::config::section::SigningAlgorithm;
use crate::keys::seal::HEADER;

const LABEL: &str = "provider-refresh-token";

#[test]
fn a_secret_opens_under_its_label_after_a_restart_and_nowhere_else() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys_of = |folder: &tempfile::TempDir| keys(folder.path(), SigningAlgorithm::Es256);
    let long = "r".repeat(20_000);
    for text in ["1//0eXAMPLE-refresh_token", "", "ключ 🔑", long.as_str()] {
        let secret = Secret::new(text);
        let sealed = keys_of(&folder).seal(LABEL, &secret).unwrap();
        assert_eq!(keys_of(&folder).unseal(LABEL, &sealed), Some(secret.clone()));
        assert!(text.is_empty() || !sealed.contains(text));
        for label in ["", "provider-refresh-toke", "provider-refresh-tokens", "csrf"] {
            assert_eq!(keys_of(&folder).unseal(label, &sealed), None, "{label}");
        }
        assert_eq!(keys_of(&elsewhere).unseal(LABEL, &sealed), None);
        assert_ne!(keys_of(&folder).seal(LABEL, &secret).unwrap(), sealed, "a nonce is used once");
    }
}

#[test]
fn it_is_a_jwe_that_others_can_read_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    assert_eq!(URL_SAFE_NO_PAD.decode(HEADER).unwrap(), br#"{"alg":"dir","enc":"A256GCM"}"#);
    let key = URL_SAFE_NO_PAD.decode(keys.derive("seal", &[LABEL.as_bytes()]).expose()).unwrap();
    let sealed = keys.seal(LABEL, &Secret::new("secret")).unwrap();
    let decrypter = Dir.decrypter_from_bytes(&key).unwrap();
    let (payload, header) = jwe::deserialize_compact(&sealed, &decrypter).unwrap();
    assert_eq!((payload.as_slice(), header.content_encryption()), (b"secret".as_slice(), Some("A256GCM")));

    // The other way round it takes our very header: with another one it is refused although its tag is right.
    let encrypter = Dir.encrypter_from_bytes(&key).unwrap();
    let mut header = jwe::JweHeader::new();
    header.set_content_encryption("A256GCM");
    header.set_token_type("JWT");
    let typed = jwe::serialize_compact(b"secret", &header, &encrypter).unwrap();
    assert!(jwe::deserialize_compact(&typed, &decrypter).is_ok());
    assert_eq!(keys.unseal(LABEL, &typed), None);
    header.set_compression("DEF");
    let compressed = jwe::serialize_compact(b"secret", &header, &encrypter).unwrap();
    assert!(jwe::deserialize_compact(&compressed, &decrypter).is_ok());
    assert_eq!(keys.unseal(LABEL, &compressed), None);
    // Nor with an initialization vector of a length that RFC 7518 §5.3 does not have.
    for (nonce, right) in [(&[7; 12][..], true), (&[7; 16][..], false), (&[7; 8][..], false)] {
        let (ciphertext, tag) = A256GCM.encrypt(&key, Some(nonce), b"secret", HEADER.as_bytes()).unwrap();
        let [nonce, ciphertext, tag] = [nonce, &ciphertext, &tag.unwrap()].map(|part| URL_SAFE_NO_PAD.encode(part));
        assert_eq!(keys.unseal(LABEL, &format!("{HEADER}..{nonce}.{ciphertext}.{tag}")).is_some(), right);
    }
}

#[test]
fn what_was_changed_does_not_open_and_nothing_panics() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    let sealed = keys.seal(LABEL, &Secret::new("secret")).unwrap();
    for position in 0..sealed.len() {
        assert_eq!(keys.unseal(LABEL, &sealed[..position]), None, "cut at {position}");
        for byte in *b"AB_.= \0" {
            let mut changed = sealed.as_bytes().to_vec();
            if changed[position] != byte {
                changed[position] = byte;
                let changed = std::str::from_utf8(&changed).unwrap();
                assert_eq!(keys.unseal(LABEL, changed), None, "{byte} at {position}");
            }
        }
    }
    let [_, _, nonce, ciphertext, tag] = sealed.split('.').collect::<Vec<_>>()[..] else { panic!("{sealed}") };
    // OpenSSL takes a tag that was cut and an initialization vector of any length.
    let cut = |part: &str, length: usize| URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(part).unwrap()[..length]);
    for length in [0, 1, 4, 8, 12, 15] {
        assert_eq!(keys.unseal(LABEL, &format!("{HEADER}..{nonce}.{ciphertext}.{}", cut(tag, length))), None);
    }
    for length in [0, 1, 8, 11] {
        assert_eq!(keys.unseal(LABEL, &format!("{HEADER}..{}.{ciphertext}.{tag}", cut(nonce, length))), None);
    }
    assert!(keys.unseal(LABEL, &format!("{HEADER}..{nonce}.{ciphertext}.{tag}")).is_some());
    for other in [
        format!("{HEADER}.AA.{nonce}.{ciphertext}.{tag}"),
        format!("{HEADER}..{nonce}.{ciphertext}.{tag}."),
        format!("{HEADER}..{nonce}.{ciphertext}.{tag}="),
        format!("{HEADER}..{ciphertext}.{nonce}.{tag}"),
        format!("{HEADER}.."),
        format!("{HEADER}....."),
        format!("{HEADER}..é.é.é"),
        HEADER.to_owned(),
        String::new(),
        ".".repeat(10_000),
    ] {
        assert_eq!(keys.unseal(LABEL, &other), None, "{other}");
    }
}
