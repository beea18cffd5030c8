//! Tests of the keys: files as OpenSSL makes them, tokens as attackers do, and sets as providers publish them.

mod client_key;
mod foreign_tokens;
mod key_files;
mod key_sets;
mod provider;
mod seal;
mod tokens;
mod vectors;

use std::path::Path;
use std::process::Command;

use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys::Keys;

/// A configuration without anything in it, with generated keys kept in `folder`.
fn signing(folder: &Path) -> Signing {
    Signing { algorithm: None, key_file: None, key_id: None, key_dir: folder.join("keys") }
}

/// Keys with a generated signing key.
fn keys(folder: &Path, algorithm: SigningAlgorithm) -> Keys {
    Keys::open(&Signing { algorithm: Some(algorithm), ..signing(folder) }).unwrap()
}

/// Runs the `openssl` program in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
