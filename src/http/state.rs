//! The services a handler may call, and what it must know of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::Audit;
use crate::authorization_server::AuthorizationServer;
use crate::bridge::Bridge;
use crate::config::section::Branding;
use crate::http::assets::{self, Asset};
use crate::http::cookie::Cookies;
use crate::http::guard::Guard;
use crate::identity::throttle::AddressLimit;
use crate::resource_server::ResourceServer;

/// What is made of one configuration, shared by all workers.
pub struct State {
    /// Where MCP is served.
    pub endpoint: Endpoint,
    /// Issues tokens, when it is on.
    pub authorization: Option<Authorization>,
    /// Accepts tokens. `None`: the endpoint is open to everybody.
    pub resource_server: Option<ResourceServer>,
    /// Carries MCP traffic.
    pub bridge: Arc<Bridge>,
    /// Is told who is refused.
    pub audit: Audit,
    /// Which hosts and origins may be named, and whose word is taken for a client's address.
    pub guard: Guard,
    /// The longest pause in a request's body.
    pub read_timeout: Duration,
    /// How long a client that takes nothing may hold up its connection.
    pub write_timeout: Duration,
    /// Guessing and flooding are slowed per address, each kind for itself.
    pub limits: Arc<AddressLimits>,
}

/// The authorization server and its pages.
pub struct Authorization {
    /// The service.
    pub server: AuthorizationServer,
    /// How its pages look.
    pub pages: Pages,
}

/// How pages look, made once.
pub struct Pages {
    /// The path of the issuer, below which the pages and all they name stand; empty when it has none. A path and no URL:
    /// the browser stays under the name by which it came, and so do its cookies.
    pub base: String,
    /// The operator's words.
    pub branding: Branding,
    /// The operator's words for scopes.
    pub scope_words: BTreeMap<String, Option<String>>,
    /// The colours, as a stylesheet.
    pub theme: Asset,
    /// `Content-Security-Policy`.
    pub content_security_policy: String,
}

impl Pages {
    /// The pages of this issuer, with this branding.
    #[must_use]
    pub fn new(issuer: &str, branding: Branding, scope_words: BTreeMap<String, Option<String>>) -> Self {
        Self {
            base: path_of(issuer).to_owned(),
            theme: assets::theme(&branding),
            content_security_policy: content_security_policy(branding.logo_url.as_deref()),
            branding,
            scope_words,
        }
    }
}

fn is_end_of_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn path_of(issuer: &str) -> &str {
    let authority = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    authority.find('/').and_then(|at| authority.get(at..)).unwrap_or("")
}

/// The policy under which the pages work. `form-action 'self'` is kept: Chrome applies it to the redirects that follow a
/// form, which is why a form never ends in one to a client.
fn content_security_policy(logo_url: Option<&str>) -> String {
    let logo = logo_url.and_then(|url| url::Url::parse(url).ok()).map(|url| url.origin()).filter(url::Origin::is_tuple);
    let logo = logo.map(|origin| format!(" {}", origin.ascii_serialization())).unwrap_or_default();
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:{logo}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
}

/// The MCP endpoint.
pub struct Endpoint {
    /// Its path.
    pub path: String,
    /// Whether `/` is the same.
    pub root: bool,
    /// The largest body, in bytes.
    pub max_request_body: usize,
    /// How long a stream may be silent before a comment is sent.
    pub sse_keepalive_interval: Duration,
}

/// Requests per client address.
pub struct AddressLimits {
    /// Login forms.
    pub login: AddressLimit,
    /// Token and revocation requests.
    pub token: AddressLimit,
    /// Registrations.
    pub registration: AddressLimit,
    /// Authorization requests, each of which is remembered for a while, and what a person sends that takes no hashing:
    /// whoever tries passwords must not keep others behind the same address from answering.
    pub authorization: AddressLimit,
}

impl State {
    /// The authorization server. Its routes exist only when it does.
    pub(super) fn authorization(&self) -> &Authorization {
        self.authorization.as_ref().expect("routes of the authorization server are made only when there is one")
    }

    /// Whether people see what is answered at this path: the authorization endpoint, the pages behind it, logging out, and the
    /// own account.
    #[must_use]
    pub fn is_page(&self, path: &str) -> bool {
        let Some(authorization) = &self.authorization else { return false };
        let below = path.strip_prefix(authorization.pages.base.as_str());
        let is_at = |page| below.and_then(|path| path.strip_prefix(page)).is_some_and(is_end_of_name);
        path == "/authorize"
            || ["/oauth/authorize", "/oauth/callback", "/oauth/logout", "/account"].into_iter().any(is_at)
    }

    /// How cookies are named here.
    #[must_use]
    pub const fn cookies(&self) -> Cookies {
        Cookies { is_https: self.guard.is_https }
    }
}
