//! `tls` of an upstream: whom the bridge believes, and by what it is believed itself.

use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use serde_json::json;

use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind, shortened};
use crate::config::value::key_file;

/// `tls` of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `insecure_skip_verify`, or `verify: false`: whoever answers is believed.
    pub is_unverified: bool,
    /// What is in `ca_cert`, PEM: only servers that these vouch for are believed. `None`: those of the system, and the
    /// public ones.
    pub authorities: Option<Vec<u8>>,
    /// What is in `cert_file` and `key_file`, PEM, one after the other.
    pub identity: Option<Secret>,
    /// `server_name`: asked for, and looked for in the certificate, in place of the URL's host.
    pub server_name: Option<String>,
}

impl UpstreamTls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let is_unverified = read_verification(reader);
        let path =
            reader.optional_path("ca_cert", "Only servers that these certificates (PEM) vouch for are believed.");
        if is_unverified && path.is_some() {
            reader.fault("ca_cert", Wrong::new("means nothing when nothing is verified", "keep one of the two"));
        }
        Self {
            is_unverified,
            authorities: path
                .and_then(|path| read_authorities(reader, &path).map_err(|wrong| reader.fault("ca_cert", wrong)).ok()),
            identity: read_identity(reader),
            server_name: reader.optional("server_name", &NAME, "In its certificate, when it is not the host of url."),
        }
    }
}

/// Two names of one thing, for people who come from either; both may be written if they agree.
fn read_verification(reader: &mut Reader<'_>) -> bool {
    let verify = reader.boolean("verify", true, "false: the same as insecure_skip_verify: true.");
    let doc = "true: whoever answers is believed. Never beyond a test.";
    let insecure = reader.boolean("insecure_skip_verify", false, doc);
    let is_written = |key| reader.is_set(key);
    if verify == insecure && is_written("verify") && is_written("insecure_skip_verify") {
        reader.fault("insecure_skip_verify", Wrong::new("contradicts verify", "keep one of the two"));
    }
    let (unverified, key, other) = match (verify, insecure) {
        (false, _) => (true, "verify", "insecure_skip_verify"),
        (true, insecure) => (insecure, "insecure_skip_verify", "verify"),
    };
    if unverified {
        // OAuth 2.1 §1.5: certificates are checked; so this is said at every start.
        let problem = "lets anybody on the way answer in its place, read everything and take the credentials";
        reader.warn(key, Wrong::new(problem, "write ca_cert: the certificate that vouches for it"));
        reader.hide(&[other]);
    }
    unverified
}

fn read_authorities(reader: &Reader<'_>, path: &Path) -> Result<Vec<u8>, Wrong> {
    let pem = read_file(reader, path)?;
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, &pem)? {
        store.add(certificate).map_err(|error| {
            let problem = format!("{} holds a certificate that cannot be read: {error}", path.display());
            Wrong::new(problem, "write it anew, in PEM")
        })?;
    }
    Ok(pem)
}

fn read_identity(reader: &mut Reader<'_>) -> Option<Secret> {
    let certificate = reader.optional_path("cert_file", "The bridge's own certificate (PEM) for it, chain included.");
    let key = reader.optional_path("key_file", "The private key (PEM) of cert_file, mode 0640 or less.");
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return None,
        (Some(_), None) => {
            reader.fault("cert_file", Wrong::new("has no key_file beside it", "add key_file"));
            return None;
        }
        (None, Some(_)) => {
            reader.fault("key_file", Wrong::new("has no cert_file beside it", "add cert_file"));
            return None;
        }
    };
    let chain =
        read_file(reader, &certificate).and_then(|pem| certificates(&certificate, &pem).map(|chain| (pem, chain)));
    let chain = chain.map_err(|wrong| reader.fault("cert_file", wrong)).ok();
    let key = read_key(reader, &key).map_err(|wrong| reader.fault("key_file", wrong)).ok();
    let ((mut pem, chain), (key_pem, key)) = chain.zip(key)?;
    if let Err(wrong) = fits(chain, key) {
        reader.fault("key_file", wrong);
        return None;
    }
    pem.extend_from_slice(b"\n");
    pem.extend_from_slice(key_pem.expose().as_bytes());
    String::from_utf8(pem).ok().map(Secret::new)
}

fn read_key(reader: &Reader<'_>, path: &Path) -> Result<(Secret, PrivateKeyDer<'static>), Wrong> {
    key_file::check(path, "leave cert_file and key_file out")?;
    let pem = reader.read_text(path).map(Secret::new).map_err(|error| unreadable(path, &error))?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| {
        Wrong::new(format!("{} holds no private key", path.display()), "name a PEM file without a passphrase")
    })?;
    Ok((pem, key))
}

fn fits(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), Wrong> {
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(Wrong::new("is not the key of cert_file", "name the two files of one pair"))
        }
        Err(error) => {
            Err(Wrong::new(format!("and cert_file cannot be used: {error}"), "name an RSA, EC or Ed25519 pair"))
        }
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Wrong::new(format!("{} holds no certificate", path.display()), "name a PEM file of certificates")),
    }
}

fn read_file(reader: &Reader<'_>, path: &Path) -> Result<Vec<u8>, Wrong> {
    reader.read_file(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Wrong {
    let problem = format!("{} cannot be read: {error}", path.display());
    Wrong::new(problem, "name a PEM file that this user may read")
}

const NAME: Kind<String> = Kind {
    schema: || json!({"type": "string", "minLength": 1}),
    parse: |node| {
        let name = (kind::NONEMPTY.parse)(node)?;
        // RFC 6066 §3: literal addresses are not permitted as server names.
        if DnsName::try_from(name.as_str()).is_err() || name.parse::<std::net::IpAddr>().is_ok() {
            let problem = format!("`{}` is no host name", shortened(&name));
            return Err(Wrong::new(problem, "write a name such as mcp.internal.example"));
        }
        Ok(name)
    },
    print: |name| Node::String(name.clone()),
};
