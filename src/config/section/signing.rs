//! `server.oauth_server.signing`: the key that signs access tokens.

use std::path::PathBuf;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::value::key_file;

/// `signing`.
#[derive(Clone, Debug)]
pub struct Signing {
    /// `algorithm`. `None`: that of the key file; ES256 when a key is generated.
    pub algorithm: Option<SigningAlgorithm>,
    /// `key_file`: a PEM private key (PKCS#1, PKCS#8 or SEC1), absolute here. `None`: one is generated into `key_dir`.
    pub key_file: Option<PathBuf>,
    /// `key_id`. `None`: the key's RFC 7638 thumbprint.
    pub key_id: Option<String>,
    /// `key_dir`, absolute here: where generated keys are kept, 0600.
    pub key_dir: PathBuf,
}

/// `signing.algorithm` (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

const ALGORITHMS: [(&str, SigningAlgorithm); 3] =
    [("RS256", SigningAlgorithm::Rs256), ("ES256", SigningAlgorithm::Es256), ("EdDSA", SigningAlgorithm::EdDsa)];

impl Signing {
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Self {
        let signing = Self {
            algorithm: reader.optional_choice(
                "algorithm",
                &ALGORITHMS,
                "The key's algorithm. Without it, that of key_file; ES256 for a generated key.",
            ),
            key_file: reader.optional_path(
                "key_file",
                "A PEM private key (RSA, EC P-256 or Ed25519), mode 0640 or less. Without it a key is generated.",
            ),
            key_id: reader.optional_text("key_id", "The key's `kid`. Without it, its RFC 7638 thumbprint."),
            key_dir: reader.path("key_dir", "keys", "Where generated keys are kept (mode 0600)."),
        };
        let generate = reader.boolean(
            "generate_key",
            false,
            "Says in words what happens without key_file: a key is generated, once, and kept in key_dir.",
        );
        if let Some(key_file) = &signing.key_file {
            if generate {
                let wrong =
                    Wrong::new("contradicts key_file", "remove it to use the key of key_file, or remove key_file");
                reader.fault("generate_key", wrong);
            }
            if let Err(wrong) = key_file::check(key_file, "leave key_file out: a key is generated then") {
                reader.fault("key_file", wrong);
            }
        }
        signing
    }
}
