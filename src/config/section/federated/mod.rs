//! `server.oauth_server.federated`: identity providers where people log in instead.
//!
//! Owns the keys of a provider and what can be known of a provider without asking it.

mod admission;
mod client_authentication;
mod dialect;
mod known;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::base::id::ProviderName;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind, text};
use crate::config::section::mode::Mode;
use crate::config::value::name::check_provider;
use crate::config::value::scope::SCOPE;

pub use admission::Admission;
pub use client_authentication::ClientAuthentication;
pub use dialect::Dialect;

/// One identity provider: `federated` itself, or one of `federated.providers`.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What stands around `federated` and decides about it.
pub(super) struct Surroundings<'s> {
    pub(super) mode: Mode,
    pub(super) scopes_supported: &'s BTreeMap<String, Option<String>>,
}

/// Parameters of the authorization request that are the bridge's own (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 9101 §5,
/// OpenID Connect Core §3.1.2.1), among them all that decide where the answer goes and whom it is for.
const OURS: [&str; 11] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];

/// The one provider whose keys stand in the section itself, or those of `providers`.
pub(super) fn read_all(reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Vec<Provider> {
    let several = reader.is_set("providers");
    let mut providers = Vec::new();
    if several {
        let beside = reader.keep_only("providers");
        if !beside.is_empty() {
            let problem = format!("stands beside {}, which would be of a provider without a name", beside.join(", "));
            let fix = "move them below a name in providers, or remove providers";
            reader.fault("providers", Wrong::new(problem, fix));
        } else if reader.is_empty("providers") {
            reader.fault("providers", Wrong::new("names no provider", "add one, such as `google:` with its keys"));
        }
    } else {
        providers.push(Provider::read(ProviderName::the_only(), reader, around));
    }
    let doc = "Several providers, a name to each with these same keys below it; then none of them stands here.";
    let named = reader.named_sections("providers", doc, |name, reader| {
        if let Err(wrong) = check_provider(name, ProviderName::the_only().as_str()) {
            reader.fault("", wrong);
        }
        Provider::read(ProviderName::new(name), reader, around)
    });
    if !several {
        reader.hide(&["providers"]);
    }
    check_issuers(reader, &named);
    providers.extend(named.into_iter().map(|(_, provider)| provider));
    providers
}

/// People are known by issuer and subject, so two providers with one issuer would be one with two sets of rules.
fn check_issuers(reader: &Reader<'_>, named: &[(String, Provider)]) {
    let issuer = |provider: &Provider| {
        // Without an issuer there was a fault already.
        let url = Url::parse(provider.dialect.issuer()).ok()?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    };
    for (index, (name, provider)) in named.iter().enumerate() {
        let Some(own) = issuer(provider) else { continue };
        if let Some((other, _)) = named[..index].iter().find(|(_, other)| issuer(other).as_ref() == Some(&own)) {
            let problem = format!("has the issuer of {other}, so that their people could not be told apart");
            reader.fault_below("providers", name, Wrong::new(problem, "keep one of the two"));
        }
    }
}

impl Provider {
    fn read(name: ProviderName, reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Self {
        let dialect = Dialect::read(reader);
        let label =
            reader.optional_text("label", "What people call it. Without it, Google, Microsoft, GitHub or its host.");
        let provider = Self {
            name,
            label: label.unwrap_or_else(|| known::label(dialect.issuer())),
            client_id: read_client_id(reader),
            client_authentication: ClientAuthentication::read(reader),
            scopes: read_scopes(&dialect, reader),
            authorize_parameters: read_authorize_parameters(reader),
            admission: Admission::read(reader, around),
            reauthentication_interval: reader.duration(
                "reauthentication_interval",
                "7d",
                "How long a login counts when the provider gave no refresh token, or cannot be reached.",
            ),
            http_timeout: reader.duration("http_timeout", "30s", "For one request to the provider."),
            dialect,
        };
        known::check(&provider, reader);
        // What has no effect needs no advice but that it has none.
        if around.mode != Mode::Builtin {
            provider.admission.advise(reader);
            known::advise(&provider, reader);
        }
        provider
    }
}

fn read_client_id(reader: &mut Reader<'_>) -> String {
    let client_id = reader.optional("client_id", &kind::NONEMPTY, "What the provider calls this bridge; required.");
    if !reader.is_set("client_id") {
        let fix = "register this bridge at the provider, and write `client_id: …`";
        reader.fault("client_id", Wrong::new("is missing", fix));
    }
    client_id.unwrap_or_default()
}

fn read_scopes(dialect: &Dialect, reader: &mut Reader<'_>) -> Vec<String> {
    let doc = "Asked for at the provider. Default for upstream_type oauth2: [read:user, user:email, read:org].";
    let openid_connect = matches!(dialect, Dialect::Oidc { .. });
    let default = if openid_connect { ["openid", "email", "profile"] } else { ["read:user", "user:email", "read:org"] };
    let scopes = reader.list("scopes", &SCOPE, &default, doc);
    // OpenID Connect Core §3.1.2.1: requests MUST contain the openid scope value.
    if openid_connect
        && (reader.is_empty("scopes") || !scopes.is_empty())
        && !scopes.iter().any(|scope| scope == "openid")
    {
        let wrong = Wrong::new("lacks openid, without which the provider does not say who it is", "add openid");
        reader.fault("scopes", wrong);
    }
    scopes
}

fn read_authorize_parameters(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let doc = "Further parameters of the request to log in, such as {access_type: offline, prompt: consent}.";
    let parameters = reader.map("authorize_parameters", &PARAMETER, doc);
    for (name, _) in parameters.iter().filter(|(name, _)| OURS.contains(&name.as_str())) {
        let fix = if name == "scope" { "remove it, and write scopes" } else { "remove it" };
        reader.fault_below("authorize_parameters", name, Wrong::new("is a parameter that the bridge sets itself", fix));
    }
    parameters
}

const PARAMETER: Kind<String> = Kind {
    schema: || json!({"type": ["string", "integer", "boolean"]}),
    parse: |node| text(node).map(|text| text.into_owned()),
    print: |text| Node::String(text.clone()),
};
