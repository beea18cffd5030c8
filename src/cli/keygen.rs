//! `mcp-bridge keygen`

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::cli::arguments::{Algorithm, KeygenOptions};
use crate::cli::{Failure, say};
use crate::config::section::SigningAlgorithm;
use crate::keys::generate;

pub(super) fn run(options: &KeygenOptions) -> Result<(), Failure> {
    let algorithm = match options.algorithm {
        Algorithm::Rs256 => SigningAlgorithm::Rs256,
        Algorithm::Es256 => SigningAlgorithm::Es256,
        Algorithm::EdDsa => SigningAlgorithm::EdDsa,
    };
    let pem = generate(algorithm).map_err(Failure::runtime)?;
    let Some(path) = &options.out else { return say(pem.expose().trim_end()) };
    let named = |error: io::Error| {
        let why = match error.kind() {
            ErrorKind::AlreadyExists => "there is such a file, and it is kept; name another, or remove it".to_owned(),
            _ => format!("cannot be written: {error}"),
        };
        Failure { code: 74, text: format!("{}: {why}", path.display()) }
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(named)?;
    file.write_all(pem.expose().as_bytes()).and_then(|()| file.sync_all()).map_err(named)
}
