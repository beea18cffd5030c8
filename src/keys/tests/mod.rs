//! Tests of the keys: files as OpenSSL makes them, tokens as attackers do, and sets as providers publish them.

mod client_key;
mod foreign_tokens;
mod key_files;
mod key_sets;
mod provider;
mod rotation;
mod seal;
mod tokens;
mod vectors;

use std::path::Path;
use std::process::Command;

use crate::base::clock::Timestamp;
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::{KeyError, Keys};

/// A configuration without anything in it, with generated keys kept in `folder`.
fn signing(folder: &Path) -> Signing {
    Signing::generated(folder.join("keys"))
}

/// Keys with a generated signing key.
fn keys(folder: &Path, algorithm: SigningAlgorithm) -> Keys {
    // Each in a folder of its own: another algorithm in the same one would be a rotation.
    let name = match algorithm {
        SigningAlgorithm::Es256 => "keys",
        SigningAlgorithm::Rs256 => "keys-rs256",
        SigningAlgorithm::EdDsa => "keys-eddsa",
    };
    open(&Signing { algorithm: Some(algorithm), ..Signing::generated(folder.join(name)) }).unwrap()
}

/// When these tests take place.
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn open(signing: &Signing) -> Result<Keys, KeyError> {
    Keys::open(signing, NOW)
}

impl Keys {
    /// `kid` of the key that signs.
    fn key_id(&self) -> String {
        self.ring.load().signer(NOW).unwrap().key.verifying.key_id.clone()
    }

    /// Its algorithm.
    fn algorithm(&self) -> SigningAlgorithm {
        self.ring.load().signer(NOW).unwrap().key.verifying.algorithm
    }
}

/// Runs the `openssl` program in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
