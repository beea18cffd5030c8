//! `server.oauth_server.federated`: identity providers where people log in instead.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::base::id::ProviderName;
use crate::base::secret::Secret;
use crate::protocol::oauth::scope::ScopeSet;

/// One identity provider: `federated` itself, or one of `federated.providers`.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name under `providers`; `default` for the one that stands in `federated` itself.
    pub name: ProviderName,
    /// `label`: what people call it. Without it, what its host is known as.
    pub label: String,
    /// `upstream_type` and the addresses that belong to it.
    pub dialect: Dialect,
    /// `client_id` that the provider gave to this bridge.
    pub client_id: String,
    /// `auth_method` and what it needs.
    pub client_authentication: ClientAuthentication,
    /// `scopes` asked for at the provider.
    pub scopes: Vec<String>,
    /// `authorize_parameters`: further parameters of the authorization request, such as Google's `access_type: offline`.
    pub authorize_parameters: Vec<(String, String)>,
    /// Who may come in, and with what.
    pub admission: Admission,
    /// `reauthentication_interval`: how long a login counts when the provider gave no refresh token to ask again with.
    pub reauthentication_interval: Duration,
    /// `http_timeout`: for one request to the provider.
    pub http_timeout: Duration,
}

/// What a provider speaks.
#[derive(Clone, Debug)]
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

/// How the bridge shows the provider that it is the client (OpenID Connect Core §9).
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// `auto`: basic, unless the provider's metadata lists post and not basic.
    Secret(Secret),
    /// `basic`: `client_secret_basic`.
    Basic(Secret),
    /// `post`: `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt {
        /// `client_key_file`: PEM. `None`: the key that signs our access tokens, whose public half is at `/oauth/jwks`.
        key_file: Option<PathBuf>,
        /// `client_key_id`. `None`: the key's RFC 7638 thumbprint.
        key_id: Option<String>,
    },
    /// `none`: a public client; PKCE alone protects the code.
    None,
}

/// Who of a provider's people may come in, and with which scopes.
#[derive(Clone, Debug)]
pub struct Admission {
    /// `allowed_domains` of e-mail addresses, in lower case. Empty: any, and people without an address.
    pub allowed_domains: Vec<String>,
    /// `require_email_verified`: an address counts only if the provider says that it is verified.
    pub require_email_verified: bool,
    /// `default_scopes` of everybody who comes in.
    pub default_scopes: ScopeSet,
    /// `admin_users`: verified e-mail addresses, or subjects.
    pub admin_users: Vec<String>,
    /// `admin_scopes` of those.
    pub admin_scopes: ScopeSet,
    /// `groups_claim`: where the groups stand; dots lead into objects when there is no claim of the whole name.
    pub groups_claim: String,
    /// `group_scopes`: what members of a group have besides.
    pub group_scopes: BTreeMap<String, ScopeSet>,
}
