//! `server.oauth_server.enterprise`: identity providers whose assertions are taken for people's grants.
//! [MCP Enterprise-Managed Authorization](https://github.com/modelcontextprotocol/ext-auth/blob/main/specification/stable/enterprise-managed-authorization.mdx)

use std::time::Duration;

use url::Url;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::section::federated::{Admission, Surroundings};
use crate::config::value::url::{FOREIGN_ENDPOINT, FOREIGN_ISSUER};

/// One of `enterprise.issuers`.
#[derive(Clone, Debug)]
pub struct EnterpriseIssuer {
    /// `issuer`, as written.
    pub issuer: String,
    /// `jwks_uri` or `discovery_url`.
    pub keys: EnterpriseKeys,
    /// `allowed_clients`, by `client_id`. Empty: every client that proves itself, since an assertion names its client.
    pub allowed_clients: Vec<String>,
    /// Who may come in, and with what: as at a provider where people log in.
    pub admission: Admission,
    /// `http_timeout`: for one request to it.
    pub http_timeout: Duration,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnterpriseKeys {
    /// `jwks_uri`.
    At(Url),
    /// Where its metadata say; `discovery_url`, or `None`: `/.well-known/openid-configuration` below the issuer.
    Discovered(Option<Url>),
}

/// `enterprise`.
pub(super) fn read(reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Vec<EnterpriseIssuer> {
    let doc = "Identity providers whose assertions (ID-JAG) clients may turn into tokens of the person.";
    let issuers = reader.sections("issuers", doc, |reader| EnterpriseIssuer::read(reader, around));
    for (index, issuer) in issuers.iter().enumerate() {
        let bare = |issuer: &EnterpriseIssuer| issuer.issuer.trim_end_matches('/').to_owned();
        let is_same = |other: &EnterpriseIssuer| !issuer.issuer.is_empty() && bare(other) == bare(issuer);
        if issuers.iter().take(index).any(is_same) {
            let problem = format!("is `{}` a second time", kind::shortened(&issuer.issuer));
            reader.fault(&format!("issuers[{index}].issuer"), Wrong::new(problem, "keep one of the two"));
        }
    }
    issuers
}

impl EnterpriseIssuer {
    fn read(reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Self {
        let doc = "Who issues the assertions: their `iss`.";
        let issuer = reader.required("issuer", &FOREIGN_ISSUER, "https://idp.example.com", doc).unwrap_or_default();
        if !issuer.is_empty() {
            reader.speak_of(format!("issuer `{}`", kind::shortened(&issuer)));
        }
        let doc = "Where its keys are. Without it, where its metadata say.";
        let jwks_uri = reader.optional("jwks_uri", &FOREIGN_ENDPOINT, doc);
        let doc = "Where its metadata are. Without it, /.well-known/openid-configuration below the issuer.";
        let discovery_url = reader.optional("discovery_url", &FOREIGN_ENDPOINT, doc);
        reader.at_most_one(&["jwks_uri", "discovery_url"]);
        let doc = "The client_ids that may present them. Empty: every client that proves itself.";
        let issuer = Self {
            issuer,
            keys: jwks_uri.map_or(EnterpriseKeys::Discovered(discovery_url), EnterpriseKeys::At),
            allowed_clients: reader.list("allowed_clients", &kind::NONEMPTY, &[], doc),
            admission: Admission::read(reader, around),
            http_timeout: reader.duration("http_timeout", "10s", "For one request to the issuer."),
        };
        issuer.admission.advise(reader);
        issuer
    }
}
