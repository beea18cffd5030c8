//! Key files: what the seed's commands make is taken, everything else is refused with a text that helps.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{keys, openssl, signing};
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::{KeyError, Keys, generate};

/// Opens the keys with a key file, and checks that the `openssl` program accepts what it signs.
fn open(folder: &Path, file: &str, algorithm: Option<SigningAlgorithm>) -> Result<Keys, KeyError> {
    super::open(&Signing { algorithm, key_file: Some(folder.join(file)), ..signing(folder) })
}

#[test]
fn keys_of_the_seeds_commands_load() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = [
        ("pkcs8-rsa", "genrsa -out pkcs8-rsa 2048", SigningAlgorithm::Rs256),
        ("pkcs1-rsa", "genrsa -traditional -out pkcs1-rsa 3072", SigningAlgorithm::Rs256),
        ("sec1", "ecparam -genkey -name prime256v1 -noout -out sec1", SigningAlgorithm::Es256),
        ("with-parameters", "ecparam -genkey -name prime256v1 -out with-parameters", SigningAlgorithm::Es256),
        ("pkcs8-ec", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out pkcs8-ec", SigningAlgorithm::Es256),
        ("ed25519", "genpkey -algorithm ed25519 -out ed25519", SigningAlgorithm::EdDsa),
    ];
    for (file, command, algorithm) in cases {
        openssl(folder, command);
        let keys = open(folder, file, None).unwrap();
        assert_eq!(keys.algorithm(), algorithm, "{file}");
        assert!(open(folder, file, Some(algorithm)).is_ok(), "{file}");
        let token = keys.sign(&super::tokens::claims()).unwrap();
        assert!(keys.verify(token.expose()).is_ok(), "{file}");
    }
    let marked = fs::read_to_string(folder.join("pkcs1-rsa")).unwrap();
    assert!(marked.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(fs::read_to_string(folder.join("with-parameters")).unwrap().starts_with("-----BEGIN EC PARAMETERS-----"));
}

#[test]
fn unfit_keys_are_refused_with_the_command_that_makes_a_fit_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    openssl(folder, "ecparam -genkey -name prime256v1 -noout -out p256");
    let cases = [
        ("p384", "ecparam -genkey -name secp384r1 -noout -out p384", "an EC key on secp384r1"),
        ("p384-8", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384-8", "an EC key on secp384r1"),
        ("k1", "ecparam -genkey -name secp256k1 -noout -out k1", "an EC key on secp256k1"),
        ("explicit", "ecparam -genkey -name prime256v1 -param_enc explicit -noout -out explicit", "written out"),
        ("small", "genrsa -out small 1024", "an RSA key of 1024 bits"),
        ("small-1", "genrsa -traditional -out small-1 1024", "an RSA key of 1024 bits"),
        ("e3", "genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:3 -out e3", "an unusual public exponent"),
        ("pss", "genpkey -algorithm RSA-PSS -out pss", "restricted to PSS"),
        ("ed448", "genpkey -algorithm ed448 -out ed448", "a key for Ed448"),
        ("x25519", "genpkey -algorithm x25519 -out x25519", "X25519"),
        ("public", "ec -in p256 -pubout -out public", "a public key"),
        ("locked", "pkey -in p256 -aes256 -passout pass:x -out locked", "encrypted with a passphrase"),
        ("locked-1", "ec -in p256 -aes256 -passout pass:x -out locked-1", "encrypted with a passphrase"),
        ("der", "pkey -in p256 -outform DER -out der", "no PEM block"),
    ];
    for (file, command, found) in cases {
        openssl(folder, command);
        fs::set_permissions(folder.join(file), Permissions::from_mode(0o600)).unwrap();
        let error = open(folder, file, None).unwrap_err().to_string();
        assert!(error.contains(found) && error.contains("openssl ecparam -genkey"), "{file}: {error}");
    }
    let error = open(folder, "p256", Some(SigningAlgorithm::Rs256)).unwrap_err().to_string();
    assert!(error.contains("an EC key on P-256") && error.contains("openssl genrsa"), "{error}");
}

#[test]
fn a_damaged_key_file_is_refused_wherever_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let pem = generate(algorithm).unwrap();
        for cut in 0..pem.expose().trim_end().len() {
            fs::write(&path, &pem.expose()[..cut]).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(open(folder.path(), "key", None).is_err(), "{cut}");
        }
        fs::write(&path, pem.expose().repeat(2)).unwrap();
        let error = open(folder.path(), "key", None).unwrap_err().to_string();
        assert!(error.contains("more than one PEM block"), "{error}");
    }
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, generate(SigningAlgorithm::Es256).unwrap().expose()).unwrap();
    for (mode, fit) in [(0o600, true), (0o400, true), (0o440, true), (0o640, true), (0o644, false), (0o660, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let opened = open(folder.path(), "key", None);
        assert_eq!(opened.is_ok(), fit, "{mode:o}");
        if let Err(error) = opened {
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
}

#[test]
fn generated_files_are_private_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256, SigningAlgorithm::EdDsa] {
        let (first, second) = (keys(folder.path(), algorithm), keys(folder.path(), algorithm));
        assert_eq!((first.algorithm(), first.key_id()), (algorithm, second.key_id()));
        assert_eq!(first.derive("label", &[b"input"]), second.derive("label", &[b"input"]));
        let token = first.sign(&super::tokens::claims()).unwrap();
        assert_eq!(second.verify(token.expose()).unwrap(), super::tokens::claims());
    }
    assert_eq!(super::open(&signing(folder.path())).unwrap().algorithm(), SigningAlgorithm::Es256);
    let keys = folder.path().join("keys");
    assert_eq!(fs::metadata(&keys).unwrap().mode() & 0o7777, 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&keys).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o7777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, [".lock", "derivation.key", "signing-es256-1800000000.pem"]);
}

#[test]
fn of_many_that_start_at_once_all_have_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let opened: Vec<Keys> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| keys(folder.path(), SigningAlgorithm::Es256))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = opened.first().unwrap();
    for other in &opened {
        assert_eq!(other.key_id(), first.key_id());
        assert_eq!(other.derive("label", &[]), first.derive("label", &[]));
    }
}

#[test]
fn a_damaged_derivation_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    keys(folder.path(), SigningAlgorithm::Es256);
    let path = folder.path().join("keys/derivation.key");
    for content in ["", "short", "!!"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(super::open(&signing(folder.path())), Err(KeyError::Derivation { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn derived_values_depend_on_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path(), SigningAlgorithm::Es256);
    let values = [
        keys.derive("a", &[b"bc"]),
        keys.derive("ab", &[b"c"]),
        keys.derive("a", &[b"b", b"c"]),
        keys.derive("a", &[b"bc", b""]),
        keys.derive("abc", &[]),
    ];
    for (index, value) in values.iter().enumerate() {
        assert_eq!(value.expose().len(), 43);
        assert_eq!(values.iter().position(|other| other == value), Some(index));
    }
}

#[test]
fn key_id_may_be_configured() {
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), "ecparam -genkey -name prime256v1 -noout -out key.pem");
    let key_file = Some(folder.path().join("key.pem"));
    let signing = Signing { key_id: Some("my-key".to_owned()), key_file, ..signing(folder.path()) };
    let keys = super::open(&signing).unwrap();
    let jwks: serde_json::Value = serde_json::from_slice(&keys.jwks()).unwrap();
    assert_eq!((keys.key_id().as_str(), jwks["keys"][0]["kid"].as_str()), ("my-key", Some("my-key")));
    assert!(keys.verify(keys.sign(&super::tokens::claims()).unwrap().expose()).is_ok());
}
