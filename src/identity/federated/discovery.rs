//! What a provider says of itself. [OpenID Connect Discovery §3, §4.3](https://openid.net/specs/openid-connect-discovery-1_0.html)

use serde_json::{Map, Value};
use url::{Host, Url};

use crate::config::section::Dialect;
use crate::identity::federated::{Failure, Reason, http};

/// The metadata of a provider, as far as it matters here. Every endpoint in it may be used.
#[derive(Debug)]
pub struct Metadata {
    /// `issuer`: what `iss` must be, to the byte.
    pub issuer: String,
    /// `authorization_endpoint`.
    pub authorization_endpoint: Url,
    /// `token_endpoint`.
    pub token_endpoint: Url,
    /// `jwks_uri`. `None`: the provider gives no ID tokens.
    pub jwks_uri: Option<Url>,
    /// `userinfo_endpoint`.
    pub userinfo_endpoint: Option<Url>,
    /// `end_session_endpoint`.
    pub end_session_endpoint: Option<Url>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 §3): a callback without `iss` is not this provider's.
    pub sends_issuer: bool,
    /// Whether `token_endpoint_auth_methods_supported` has `client_secret_post` and not `client_secret_basic`.
    pub wants_post: bool,
}

impl Metadata {
    /// Reads the document that was fetched for the issuer of the configuration.
    pub fn parse(url: &Url, body: &[u8], configured: &str) -> Result<Self, Failure> {
        let document = Document { body: http::object(url, body)?, issuer: configured };
        // Discovery §4.3: the issuer value MUST be identical to the one the URL was made from. Deviation: one trailing slash
        // is no difference, since people copy addresses with and without; `iss` is then compared with the document's.
        let issuer = document.text("issuer")?.ok_or_else(|| misconfigured("the provider's metadata has no issuer"))?;
        if !same_issuer(issuer, configured) || issuer.contains('#') {
            let text = format!("the provider's metadata is that of {issuer:?}, not of upstream_issuer {configured:?}");
            return Err(misconfigured(text));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: document.required("authorization_endpoint")?,
            token_endpoint: document.required("token_endpoint")?,
            jwks_uri: Some(document.required("jwks_uri")?),
            userinfo_endpoint: document.endpoint("userinfo_endpoint")?,
            end_session_endpoint: document.endpoint("end_session_endpoint")?,
            sends_issuer: document.flag("authorization_response_iss_parameter_supported"),
            wants_post: document.wants_post(),
        })
    }

    /// What the configuration says of a provider that has no such document. `None`: it has one.
    pub fn configured(dialect: &Dialect) -> Option<Result<Self, Failure>> {
        let Dialect::Oauth2 { issuer, authorize_url, token_url, userinfo_url } = dialect else { return None };
        let usable = |url: &Url| check(url, url.as_str()).map(|()| url.clone());
        let endpoints = || {
            Ok(Self {
                issuer: issuer.clone(),
                authorization_endpoint: usable(authorize_url)?,
                token_endpoint: usable(token_url)?,
                jwks_uri: None,
                userinfo_endpoint: Some(usable(userinfo_url)?),
                end_session_endpoint: None,
                sends_issuer: false,
                wants_post: false,
            })
        };
        Some(endpoints())
    }

    /// Whether `iss` of a callback (RFC 9207 §2) is this provider.
    pub fn is_named(&self, issuer: &str) -> bool {
        // RFC 9207 §2.4: compared as strings, and refused when they differ.
        let equal = issuer == self.issuer;
        // Without metadata the issuer is the operator's name for it. GitHub calls itself `https://github.com/login/oauth`;
        // so what lies above the authorization endpoint counts, too: no other provider can be there.
        let above = |endpoint: &str| endpoint.strip_prefix(issuer).is_some_and(|rest| rest.starts_with('/'));
        let has_origin = issuer.starts_with(&self.authorization_endpoint.origin().ascii_serialization());
        equal || (self.jwks_uri.is_none() && has_origin && above(self.authorization_endpoint.as_str()))
    }
}

/// Where the document of an issuer is (Discovery §4.1).
pub fn document_url(issuer: &str) -> Result<Url, Failure> {
    let url = format!("{}/.well-known/openid-configuration", without_slash(issuer));
    Url::parse(&url).map_err(|error| misconfigured(format!("{url}: {error}")))
}

/// Whether two spellings mean the same issuer: a trailing slash is no difference.
pub fn same_issuer(one: &str, other: &str) -> bool {
    without_slash(one) == without_slash(other)
}

/// A document and for whom it was fetched.
struct Document<'a> {
    body: Map<String, Value>,
    issuer: &'a str,
}

impl Document<'_> {
    fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(misconfigured(format!("the provider's metadata has a {name} that is no text"))),
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.body.get(name) == Some(&Value::Bool(true))
    }

    fn required(&self, name: &str) -> Result<Url, Failure> {
        self.endpoint(name)?.ok_or_else(|| misconfigured(format!("the provider's metadata has no {name}")))
    }

    fn endpoint(&self, name: &str) -> Result<Option<Url>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // What a browser is sent to, or a request goes to, is an address of the web and nothing else (CVE-2025-6514).
        let url = Url::parse(text)
            .map_err(|error| misconfigured(format!("the provider's {name} is no address: {text:?}: {error}")))?;
        check(&url, self.issuer)
            .map_err(|failure| misconfigured(format!("the provider's {name} cannot be used: {}", failure.cause)))?;
        Ok(Some(url))
    }

    fn wants_post(&self) -> bool {
        let methods = self.body.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        // Discovery §3: without this member, the default is client_secret_basic.
        methods.is_some_and(|methods| {
            let has = |method: &str| methods.iter().any(|value| value == method);
            has("client_secret_post") && !has("client_secret_basic")
        })
    }
}

/// https, or http where both this and the issuer are on this machine; without credentials and fragment.
fn check(url: &Url, issuer: &str) -> Result<(), Failure> {
    let at_home = || is_loopback(url) && Url::parse(issuer).is_ok_and(|issuer| is_loopback(&issuer));
    let is_secure = url.scheme() == "https" || (url.scheme() == "http" && at_home());
    if !is_secure || !url.has_host() {
        return Err(misconfigured(format!("{:?} is not https", url.as_str())));
    }
    // RFC 6749 §3.1, §3.2: an endpoint MUST NOT include a fragment.
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(misconfigured(format!("{:?} has credentials or a fragment", url.host_str().unwrap_or_default())));
    }
    Ok(())
}

fn without_slash(issuer: &str) -> &str {
    issuer.strip_suffix('/').unwrap_or(issuer)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn misconfigured(cause: impl Into<String>) -> Failure {
    Failure::new(Reason::Misconfigured, cause)
}
