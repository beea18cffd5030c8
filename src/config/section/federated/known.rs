//! Providers that are known by their host: what people call them, and the habits that configurations trip over.

use url::Url;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::section::federated::{Admission, ClientAuthentication, Dialect, Provider};

/// A provider that is known by its host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Google,
    Microsoft,
    GitHub,
}

/// Instead of a tenant: people of every organisation, of every organisation and at home, and at home (by name and by
/// number). <https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc>
const EVERY_TENANT: [&str; 4] = ["organizations", "common", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"];

impl Known {
    fn at(url: &Url) -> Option<Self> {
        match url.host_str()? {
            "accounts.google.com" => Some(Self::Google),
            // The worldwide cloud and the national ones; sts.windows.net issues the tokens of version 1.
            "login.microsoftonline.com"
            | "sts.windows.net"
            | "login.microsoftonline.us"
            | "login.partner.microsoftonline.cn" => Some(Self::Microsoft),
            "github.com" => Some(Self::GitHub),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Google => "Google",
            Self::Microsoft => "Microsoft",
            Self::GitHub => "GitHub",
        }
    }
}

/// What people call the provider of an issuer.
pub(super) fn label(issuer: &str) -> String {
    let Ok(url) = Url::parse(issuer) else { return String::new() };
    let host = || url.host_str().unwrap_or_default().to_owned();
    Known::at(&url).map_or_else(host, |known| known.label().to_owned())
}

/// What can be no provider, or would let in the people of others.
pub(super) fn check(provider: &Provider, reader: &Reader<'_>) {
    let Dialect::Oidc { issuer, discovery_url } = &provider.dialect else { return };
    let issuer = Url::parse(issuer).ok();
    for (key, url) in [("upstream_issuer", &issuer), ("upstream_discovery_url", discovery_url)] {
        if let Some(tenant) = url.as_ref().and_then(every_tenant) {
            let problem =
                format!("`{tenant}` lets in people of every tenant, who can give themselves any address there");
            let fix = "name your tenant: https://login.microsoftonline.com/TENANT-ID/v2.0";
            reader.fault(key, Wrong::new(problem, fix));
        }
    }
    if issuer.as_ref().and_then(Known::at) == Some(Known::GitHub) {
        let wrong = Wrong::new("is oidc, which GitHub does not speak", "write upstream_type: oauth2");
        reader.fault("upstream_type", wrong);
    }
}

/// What stands in a Microsoft URL where the tenant belongs, if it is none.
fn every_tenant(url: &Url) -> Option<String> {
    let tenant = url.path_segments()?.next()?.to_ascii_lowercase();
    let any = Known::at(url) == Some(Known::Microsoft) && EVERY_TENANT.contains(&tenant.as_str());
    any.then_some(tenant)
}

/// What is legal, but lets in everybody or nobody.
pub(super) fn advise(provider: &Provider, reader: &Reader<'_>) {
    let known = Url::parse(provider.dialect.issuer()).ok().as_ref().and_then(Known::at);
    let admission = &provider.admission;
    let insists = matches!(known, Some(Known::Google | Known::GitHub));
    if insists && matches!(provider.client_authentication, ClientAuthentication::None) {
        let problem = format!("is missing, and {} takes no client without one", label(provider.dialect.issuer()));
        reader.warn("client_secret", Wrong::new(problem, "write client_secret_env with the name of a variable"));
    }
    match known {
        Some(Known::Google) => {
            let fix = "write the domain of your people into allowed_domains, or default_scopes: []";
            advise_open(admission, "Google account", fix, reader);
            if provider.scopes.iter().any(|scope| scope == "offline_access") {
                let fix = "write authorize_parameters: {access_type: offline, prompt: consent} instead";
                reader.warn("scopes", Wrong::new("has offline_access, which Google refuses", fix));
            }
        }
        Some(Known::GitHub) => {
            let fix = "write default_scopes: [] and, for an organisation, group_scopes: {its-name: [mcp:read]}";
            advise_open(admission, "GitHub user", fix, reader);
        }
        Some(Known::Microsoft) => advise_unverified(admission, reader),
        None => {}
    }
}

/// Anybody can have an account there.
fn advise_open(admission: &Admission, who: &str, fix: &str, reader: &Reader<'_>) {
    if admission.allowed_domains.is_empty() && !admission.default_scopes.is_empty() {
        let problem = format!("every {who} gets in, with {}", admission.default_scopes);
        reader.warn("default_scopes", Wrong::new(problem, fix));
    }
}

/// Entra has no `email_verified`, so an address that has to be verified never counts.
fn advise_unverified(admission: &Admission, reader: &Reader<'_>) {
    if !admission.require_email_verified {
        return;
    }
    let fix = "write require_email_verified: false, if the tenant is your own";
    if !admission.allowed_domains.is_empty() {
        let problem = "lets nobody in: Microsoft never says that an address is verified";
        reader.warn("allowed_domains", Wrong::new(problem, fix));
    } else if admission.admin_users.iter().any(|user| user.contains('@')) {
        let problem = "has an address, which never counts: Microsoft never says that one is verified";
        reader.warn("admin_users", Wrong::new(problem, fix));
    }
}
