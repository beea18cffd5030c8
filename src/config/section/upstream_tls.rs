//! `tls` of an upstream: whose word is taken for who it is, and how the bridge shows who it is itself.

use std::path::PathBuf;

use serde_json::json;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{Kind, shortened, text};
use crate::config::value::certificate;
use crate::config::value::key_file;

/// `tls` of an upstream. The files were checked; they are read again for each connection, so that renewed ones count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `verify`, `ca_cert` and `insecure_skip_verify`.
    pub trust: Trust,
    /// `cert_file` and `key_file`.
    pub client_certificate: Option<ClientCertificate>,
    /// `server_name`: the name that is asked for and looked for in the certificate. `None`: the URL's host.
    pub server_name: Option<String>,
}

/// Whose word is taken for who a server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// That of the authorities this machine trusts, and of the usual public ones.
    #[default]
    Public,
    /// `ca_cert`: that of the authorities in this PEM file alone.
    Authorities(PathBuf),
    /// `insecure_skip_verify: true` or `verify: false`: anybody's.
    Anybody,
}

/// What the bridge shows when a server asks for a certificate, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `cert_file`: the certificate, then those between it and its authority.
    pub cert_file: PathBuf,
    /// `key_file`.
    pub key_file: PathBuf,
}

impl UpstreamTls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "Check the server's certificate. false is the same as insecure_skip_verify: true.";
        let verify = reader.boolean("verify", true, doc);
        let doc = "A PEM file of the authorities to trust, in place of this machine's and the public ones.";
        let ca_cert = reader.optional_path("ca_cert", doc);
        let cert_file = reader.optional_path("cert_file", "A PEM certificate to show the server, for mutual TLS.");
        let key_file = reader.optional_path("key_file", "Its private key, PEM, mode 0640 or less.");
        let doc = "The name in the server's certificate, when it is not the URL's host.";
        let server_name = reader.optional("server_name", &SERVER_NAME, doc);
        let doc = "Take any certificate: whoever is in between can read and change everything.";
        let insecure = reader.boolean("insecure_skip_verify", false, doc);
        let trust = read_trust(reader, verify, insecure, ca_cert);
        Self { trust, client_certificate: read_client_certificate(reader, cert_file, key_file), server_name }
    }
}

fn read_trust(reader: &Reader<'_>, verify: bool, insecure: bool, ca_cert: Option<PathBuf>) -> Trust {
    if insecure && verify && reader.is_set("verify") {
        let wrong = Wrong::new("is true, but insecure_skip_verify is true as well", "keep one of the two");
        reader.fault("verify", wrong);
    } else if !insecure && !verify && reader.is_set("insecure_skip_verify") {
        let wrong = Wrong::new("is false, but so is verify", "keep one of the two");
        reader.fault("insecure_skip_verify", wrong);
    }
    if let Some(Err(wrong)) = ca_cert.as_deref().map(certificate::check_authorities) {
        reader.fault("ca_cert", wrong);
    }
    if !insecure && verify {
        return ca_cert.map_or(Trust::Public, Trust::Authorities);
    }
    let key = if insecure { "insecure_skip_verify" } else { "verify" };
    if ca_cert.is_some() {
        let wrong =
            Wrong::new(format!("means nothing when {key} lets every certificate pass"), "remove one of the two");
        reader.fault("ca_cert", wrong);
    }
    // PROXY-16, OPS-14: never without a word at every start.
    let problem =
        "lets every certificate pass: whoever is in between can read and change everything, credentials included";
    reader.warn(key, Wrong::new(problem, "name the server's authority in ca_cert instead"));
    Trust::Anybody
}

fn read_client_certificate(
    reader: &Reader<'_>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
) -> Option<ClientCertificate> {
    let (cert_file, key_file) = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => (cert_file, key_file),
        (None, None) => return None,
        (Some(_), None) => {
            reader.fault("cert_file", Wrong::new("needs key_file beside it", "name the file of its private key"));
            return None;
        }
        (None, Some(_)) => {
            reader.fault("key_file", Wrong::new("needs cert_file beside it", "name the file of its certificate"));
            return None;
        }
    };
    let chain = certificate::read_chain(&cert_file).map_err(|wrong| reader.fault("cert_file", wrong));
    let fix = "name the PEM file of the private key that belongs to cert_file";
    let key = key_file::check_as(&key_file, fix).and_then(|()| certificate::read_key(&key_file));
    let key = key.map_err(|wrong| reader.fault("key_file", wrong));
    if let (Ok(chain), Ok(key)) = (chain, key)
        && let Err(wrong) = certificate::check_pair(chain, key)
    {
        reader.fault("key_file", wrong);
    }
    Some(ClientCertificate { cert_file, key_file })
}

const SERVER_NAME: Kind<String> = Kind {
    schema: || json!({"type": "string", "minLength": 1}),
    parse: |node| {
        let name = text(node)?;
        if certificate::is_server_name(&name) {
            return Ok(name.to_ascii_lowercase());
        }
        let fix = "write a name as it stands in the certificate, such as mcp.example.com";
        Err(Wrong::new(format!("`{}` is no host name", shortened(&name)), fix))
    },
    print: |name| Node::String(name.clone()),
};
