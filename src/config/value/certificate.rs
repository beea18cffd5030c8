//! PEM files of certificates and their keys: that they hold what they should, and fit together.
//!
//! What signs our own tokens is another matter (`keys`); this is TLS alone, read with what TLS will read it with.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::fault::Wrong;

/// # Errors
/// The file cannot be read, or holds no certificate of an authority.
pub fn check_authorities(path: &Path) -> Result<(), Wrong> {
    let mut store = RootCertStore::empty();
    for certificate in read_chain(path)? {
        store.add(certificate).map_err(|error| {
            let problem = format!("{} holds a certificate that cannot be used: {error}", path.display());
            Wrong::new(problem, "name a PEM file of authorities' certificates")
        })?;
    }
    Ok(())
}

/// The certificates in a file; at least one.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| {
        let problem = format!("{} is no sound PEM file: {error}", path.display());
        Wrong::new(problem, "name a file with `-----BEGIN CERTIFICATE-----` in it")
    })?;
    if chain.is_empty() {
        let problem = format!("{} holds no certificate", path.display());
        return Err(Wrong::new(problem, "name a file with `-----BEGIN CERTIFICATE-----` in it"));
    }
    Ok(chain)
}

/// The private key in a file.
///
/// # Errors
/// The file cannot be read, or holds no key, or an encrypted one.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Wrong> {
    // The cause is left out: it may quote what it stumbled over.
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| {
        let problem = format!("{} holds no private key, or one that needs a password", path.display());
        Wrong::new(problem, "name the PEM file of a private key (`openssl pkey` takes the password off)")
    })
}

/// # Errors
/// The key does not belong to the first certificate, or is of no use for TLS.
pub fn check_pair(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), Wrong> {
    let fix = "name the key that the certificate was made for";
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Wrong::new("does not belong to the first certificate in cert_file", fix))
        }
        Err(error) => Err(Wrong::new(format!("cannot be used with cert_file: {error}"), fix)),
    }
}

/// Whether a text is a name that a server can be asked for by (RFC 6066 §3: no address).
pub fn is_server_name(text: &str) -> bool {
    DnsName::try_from(text).is_ok() && text.parse::<IpAddr>().is_err()
}

fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    fs::read(path).map_err(|error| {
        let problem = format!("{} cannot be read: {error}", path.display());
        Wrong::new(problem, "name a PEM file that this user may read")
    })
}
