//! Certificates, made anew for each test.

use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// A certificate and its key.
pub struct Pair {
    pub certificate: X509,
    pub key: PKey<Private>,
}

impl Pair {
    /// One that vouches for others.
    pub fn authority() -> Self {
        Self::make("authority", None, false)
    }

    /// One for a host name or an address, which `authority` vouches for.
    pub fn of(name: &str, authority: &Self) -> Self {
        Self::make(name, Some(authority), false)
    }

    /// The same, but its time is over.
    pub fn expired(name: &str, authority: &Self) -> Self {
        Self::make(name, Some(authority), true)
    }

    fn make(name: &str, authority: Option<&Self>, is_expired: bool) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut serial = BigNum::new().unwrap();
        serial.rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
        let mut made = X509::builder().unwrap();
        made.set_version(2).unwrap();
        made.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        made.set_subject_name(&subject).unwrap();
        made.set_issuer_name(authority.map_or(&*subject, |authority| authority.certificate.subject_name())).unwrap();
        made.set_pubkey(&key).unwrap();
        made.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        let end = if is_expired { Asn1Time::from_unix(86400) } else { Asn1Time::days_from_now(2) };
        made.set_not_after(&end.unwrap()).unwrap();
        if authority.is_none() {
            made.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        } else {
            let context = made.x509v3_context(None, None);
            let mut names = SubjectAlternativeName::new();
            match name.parse::<std::net::IpAddr>() {
                Ok(_) => names.ip(name),
                Err(_) => names.dns(name),
            };
            let names = names.build(&context).unwrap();
            made.append_extension(names).unwrap();
        }
        made.sign(authority.map_or(&key, |authority| &authority.key), MessageDigest::sha256()).unwrap();
        Self { certificate: made.build(), key }
    }

    pub fn certificate_pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().unwrap()).unwrap()
    }

    pub fn key_pem(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    /// A server with it; with `clients`, only for clients that these vouch for.
    pub fn server(&self, clients: Option<&Self>) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.certificate.to_der().unwrap().into()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let certificate = CertificateDer::from(self.certificate.to_der().unwrap());
        let key = PrivateKeyDer::from_pem_slice(self.key_pem().as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    }
}
