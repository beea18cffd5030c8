//! What a provider speaks, and where: OpenID Connect with discovery, or plain OAuth 2.

use url::Url;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::value::url::{FOREIGN_ENDPOINT, FOREIGN_ISSUER};

/// What a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `oidc`: OpenID Connect with discovery.
    Oidc {
        /// `upstream_issuer`, as written; a trailing slash more or less than the provider's own is no difference.
        issuer: String,
        /// `upstream_discovery_url`. `None`: `/.well-known/openid-configuration` below the issuer.
        discovery_url: Option<Url>,
    },
    /// `oauth2`: GitHub and what answers like it. There is no ID token: `userinfo_url` says who it is.
    Oauth2 {
        /// `upstream_issuer`, or the origin of `authorize_url`: names the provider in people's identifiers.
        issuer: String,
        /// `authorize_url`.
        authorize_url: Url,
        /// `token_url`.
        token_url: Url,
        /// `userinfo_url`; verified addresses are at `/emails` below it, organisations at `/orgs`.
        userinfo_url: Url,
    },
}

/// Keys that mean nothing to OpenID Connect, which discovers them.
const OAUTH2_KEYS: [&str; 3] = ["authorize_url", "token_url", "userinfo_url"];
const OIDC_KEYS: [&str; 1] = ["upstream_discovery_url"];

impl Dialect {
    /// Who the provider is: the first half of its people's identifiers.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match self {
            Self::Oidc { issuer, .. } | Self::Oauth2 { issuer, .. } => issuer,
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "oidc: OpenID Connect with discovery; oauth2: GitHub, and what answers like it.";
        let openid_connect = reader.choice("upstream_type", &[("oidc", true), ("oauth2", false)], true, doc);
        let doc = "The provider's issuer. Required for oidc; for oauth2 the origin of authorize_url when left out.";
        let issuer = reader.optional("upstream_issuer", &FOREIGN_ISSUER, doc);
        let doc = "Where its metadata is. Without it, /.well-known/openid-configuration below the issuer.";
        let discovery_url = reader.optional("upstream_discovery_url", &FOREIGN_ENDPOINT, doc);
        let mut url = |key, default, doc| reader.value(key, &FOREIGN_ENDPOINT, default, doc);
        let doc = "For oauth2: where people log in.";
        let authorize_url = url("authorize_url", "https://github.com/login/oauth/authorize", doc);
        let doc = "For oauth2: where a code is exchanged for a token.";
        let token_url = url("token_url", "https://github.com/login/oauth/access_token", doc);
        let doc = "For oauth2: who it is; addresses at /emails below it, organisations at /orgs.";
        let userinfo_url = url("userinfo_url", "https://api.github.com/user", doc);
        if openid_connect {
            refuse(&OAUTH2_KEYS, "oidc", reader);
            if !reader.is_set("upstream_issuer") {
                let fix = "write the provider's issuer, such as `upstream_issuer: https://accounts.google.com`";
                reader.fault("upstream_issuer", Wrong::new("is missing", fix));
            }
            return Self::Oidc { issuer: issuer.unwrap_or_default(), discovery_url };
        }
        refuse(&OIDC_KEYS, "oauth2", reader);
        let issuer = issuer.unwrap_or_else(|| authorize_url.origin().ascii_serialization());
        Self::Oauth2 { issuer, authorize_url, token_url, userinfo_url }
    }
}

/// Keys of the other type.
fn refuse(keys: &[&str], spoken: &str, reader: &mut Reader<'_>) {
    let other = if spoken == "oidc" { "oauth2" } else { "oidc" };
    for key in keys.iter().filter(|key| reader.is_set(key)) {
        let problem = format!("means nothing to upstream_type {spoken}");
        reader.fault(key, Wrong::new(problem, format!("remove it, or write upstream_type: {other}")));
    }
    reader.hide(keys);
}
