//! `server.oauth_server.signing`: the keys that sign access tokens.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::value::key_file;

/// `signing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// `algorithm`. `None`: that of the key file; ES256 when a key is generated.
    pub algorithm: Option<SigningAlgorithm>,
    /// `key_file`: a PEM private key (PKCS#1, PKCS#8 or SEC1), absolute here. `None`: one is generated into `key_dir`.
    pub key_file: Option<PathBuf>,
    /// `key_id` of the key of `key_file`. `None`: its RFC 7638 thumbprint, which generated keys always have.
    pub key_id: Option<String>,
    /// `key_dir`, absolute here: where generated keys are kept, 0600.
    pub key_dir: PathBuf,
    /// `rotation_interval`: how long a generated key signs. Zero: until it is told otherwise.
    pub rotation_interval: Duration,
    /// `additional_keys`: keys that verify, and are published, but never sign.
    pub additional_keys: Vec<AdditionalKey>,
    /// `ephemeral`: generated signing keys are kept in memory alone.
    pub ephemeral: bool,
}

/// One of `additional_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdditionalKey {
    /// `key_file`: a PEM public or private key, absolute here.
    pub key_file: PathBuf,
    /// `key_id`. `None`: the key's RFC 7638 thumbprint.
    pub key_id: Option<String>,
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

/// A key that is used for less would be replaced before other servers have learnt of it.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(3600);

impl Signing {
    /// Every default, with generated keys kept in this folder.
    #[must_use]
    pub const fn generated(key_dir: PathBuf) -> Self {
        Self {
            algorithm: None,
            key_file: None,
            key_id: None,
            key_dir,
            rotation_interval: Duration::from_secs(30 * 24 * 3600),
            additional_keys: Vec::new(),
            ephemeral: false,
        }
    }

    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Self {
        let signing = Self {
            algorithm: reader.optional_choice(
                "algorithm",
                &ALGORITHMS,
                "The key's algorithm. Without it, that of key_file; ES256 for generated keys.",
            ),
            key_file: reader.optional_path(
                "key_file",
                "A PEM private key (RSA, EC P-256 or Ed25519), mode 0640 or less. Without it keys are generated, and rotated.",
            ),
            key_id: reader.optional_text("key_id", "The `kid` of the key of key_file. Without it, its RFC 7638 thumbprint."),
            key_dir: reader.path("key_dir", "keys", "Where generated keys are kept (mode 0600)."),
            rotation_interval: reader.value(
                "rotation_interval",
                &kind::DURATION,
                "30d",
                "How long a generated key signs; the next is published an hour before. 0: until `mcp-bridge key rotate`.",
            ),
            additional_keys: reader.sections(
                "additional_keys",
                "Keys that are published and accepted, and never sign: the one before, or the one to come.",
                AdditionalKey::read,
            ),
            ephemeral: reader.boolean(
                "ephemeral",
                false,
                "Generated signing keys are kept in memory alone: every start has new ones, and apps refresh their tokens.",
            ),
        };
        let generate = reader.boolean(
            "generate_key",
            false,
            "Says in words what happens without key_file: keys are generated, and kept in key_dir.",
        );
        signing.check(reader, generate);
        signing
    }

    fn check(&self, reader: &Reader<'_>, generate: bool) {
        if !self.rotation_interval.is_zero() && self.rotation_interval < SHORTEST_INTERVAL {
            let fix = "write 1h or more, or 0 for never";
            reader.fault("rotation_interval", Wrong::new("is shorter than other servers may keep our keys", fix));
        }
        let Some(key_file) = &self.key_file else {
            if reader.is_set("key_id") {
                let problem = "has no effect: each generated key has a `kid` of its own, its thumbprint";
                reader.warn("key_id", Wrong::new(problem, "remove it, or write key_file"));
            }
            return;
        };
        let contradicts = [("generate_key", generate), ("ephemeral", self.ephemeral)];
        for (key, _) in contradicts.iter().filter(|(_, written)| *written) {
            let wrong = Wrong::new("contradicts key_file", "remove it to use the key of key_file, or remove key_file");
            reader.fault(key, wrong);
        }
        if reader.is_set("rotation_interval") {
            let wrong = Wrong::new("has no effect: the key of key_file is yours to replace", "remove one of the two");
            reader.warn("rotation_interval", wrong);
        }
        if let Err(wrong) = key_file::check(key_file, "leave key_file out: a key is generated then") {
            reader.fault("key_file", wrong);
        }
    }
}

impl AdditionalKey {
    fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "A PEM public or private key (RSA, EC P-256 or Ed25519).";
        let key_file = reader.required("key_file", &kind::NONEMPTY, "keys/before.pem", doc).unwrap_or_default();
        Self {
            key_file: reader.folder().join(key_file),
            key_id: reader.optional_text("key_id", "Its `kid`. Without it, its RFC 7638 thumbprint."),
        }
    }
}
