//! `server.oauth_server`: the authorization server, and where its people log in.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::fault::Wrong;
use crate::config::quantity::print_duration;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::section::builtin::{Branding, Builtin, BuiltinUser, Lockout};
use crate::config::section::consent::{Consent, ConsentMode};
use crate::config::section::enterprise::{self, EnterpriseIssuer};
use crate::config::section::federated::{self, Provider, Surroundings};
use crate::config::section::metadata_documents::MetadataDocuments;
use crate::config::section::mode::Mode;
use crate::config::section::registration::Registration;
use crate::config::section::signing::Signing;
use crate::config::section::static_client::StaticClient;
use crate::config::value::redirect_uri::{PATTERN, PRESETS};
use crate::config::value::scope::{self, SCOPE};
use crate::config::value::url::ISSUER;
use crate::protocol::oauth::redirect_uri::RedirectUriPolicy;
use crate::protocol::oauth::scope::{READ, ScopeSet, WRITE};

/// `server.oauth_server`.
#[derive(Clone, Debug)]
pub struct OauthServer {
    /// `issuer`, without trailing slash, query or fragment; https unless its host is loopback. `None`: the public URL.
    pub issuer: Option<String>,
    /// `mode`: where people log in.
    pub mode: Mode,
    /// `federated`: the identity providers; none in mode `builtin`.
    pub providers: Vec<Provider>,
    /// `builtin.session_lifetime`: how long a browser in which somebody logged in is not asked again. Zero: never.
    pub session_lifetime: Duration,
    /// `token_lifetime` of access tokens.
    pub token_lifetime: Duration,
    /// `refresh_token_lifetime`: how long an unused refresh token lives.
    pub refresh_token_lifetime: Duration,
    /// `refresh_token_max_lifetime`: how long a grant lives, however often it is refreshed.
    pub refresh_token_max_lifetime: Duration,
    /// `refresh_token_grace`: how long after its rotation a refresh token is answered with the same successor.
    pub refresh_token_grace: Duration,
    /// `auth_code_lifetime`.
    pub auth_code_lifetime: Duration,
    /// `signing`.
    pub signing: Signing,
    /// `builtin.users`.
    pub users: Vec<BuiltinUser>,
    /// `builtin.create_first_user`: without any user at start, one named `admin` is made, its random password printed once.
    pub create_first_user: bool,
    /// `builtin.branding`.
    pub branding: Branding,
    /// `builtin.lockout`.
    pub lockout: Lockout,
    /// `allowed_redirect_uris`: exact URIs, `http://localhost:*/cb` with `*` as the port only, presets such as `@claude`.
    pub allowed_redirect_uris: Vec<String>,
    /// `scopes_supported`, each with its words for the consent page when the configuration has any.
    pub scopes_supported: BTreeMap<String, Option<String>>,
    /// `default_scopes`: granted to a client that asks for none. `None`: what the user may have of `scopes_supported`.
    pub default_scopes: Option<ScopeSet>,
    /// `clients`: those that the operator knows.
    pub clients: Vec<StaticClient>,
    /// `allow_dynamic_registration`.
    pub allow_dynamic_registration: bool,
    /// `registration`.
    pub registration: Registration,
    /// `client_id_metadata_documents`.
    pub metadata_documents: MetadataDocuments,
    /// `enterprise.issuers`: identity providers whose assertions are taken for people's grants.
    pub enterprise: Vec<EnterpriseIssuer>,
    /// `consent`.
    pub consent: Consent,
    /// `introspection.enabled`: resource servers and clients may ask about tokens (RFC 7662).
    pub introspection: bool,
    /// `revocation.enabled`: clients may end their tokens (RFC 7009).
    pub revocation: bool,
}

impl OauthServer {
    /// `None` when it is not enabled; its keys are checked all the same.
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let enabled = reader.boolean("enabled", false, "Log people in, and issue tokens for this bridge.");
        let doc = "Where people log in: builtin, with passwords kept here; federated, at identity providers; or both.";
        let mode = reader.choice("mode", &Mode::WORDS, Mode::Builtin, doc);
        let scopes_supported = read_scopes(reader);
        let builtin = reader.section("builtin", "Users of this file and how their login looks.", Builtin::read);
        let around = Surroundings { mode, scopes_supported: &scopes_supported };
        let enterprise = reader
            .section("enterprise", "Assertions of your identity provider.", |reader| enterprise::read(reader, &around));
        let server = Self {
            mode,
            providers: read_providers(reader, &around),
            enterprise,
            session_lifetime: builtin.session_lifetime,
            issuer: reader.optional("issuer", &ISSUER, "The https URL of this server. Without it, public_url."),
            token_lifetime: reader.duration("token_lifetime", "1h", "How long an access token is valid."),
            refresh_token_lifetime: reader.duration("refresh_token_lifetime", "14d", "Of an unused refresh token."),
            refresh_token_max_lifetime: reader.duration(
                "refresh_token_max_lifetime",
                "90d",
                "How long a login lasts at most, however often it is refreshed.",
            ),
            refresh_token_grace: reader.value(
                "refresh_token_grace",
                &kind::DURATION,
                "60s",
                "How long a used refresh token is answered with the same successor again, for clients that retry.",
            ),
            auth_code_lifetime: reader.duration("auth_code_lifetime", "60s", "Of an authorization code; at most 10m."),
            signing: reader.section("signing", "The key that signs access tokens.", Signing::read),
            users: builtin.users,
            create_first_user: builtin.create_first_user,
            branding: builtin.branding,
            lockout: builtin.lockout,
            allowed_redirect_uris: reader.list(
                "allowed_redirect_uris",
                &PATTERN,
                &PRESETS,
                "Where clients may send people back to: exact URIs, http://localhost:*/path, or presets.",
            ),
            scopes_supported,
            default_scopes: read_default_scopes(reader),
            clients: reader.sections("clients", "Clients that you know.", StaticClient::read),
            allow_dynamic_registration: reader.boolean(
                "allow_dynamic_registration",
                true,
                "Clients may register themselves (RFC 7591).",
            ),
            registration: reader.section("registration", "Bounds of dynamic registration.", Registration::read),
            metadata_documents: reader.section(
                "client_id_metadata_documents",
                "Clients that are named by the address of their own metadata.",
                MetadataDocuments::read,
            ),
            consent: reader.section("consent", "The question whether a client may act.", Consent::read),
            introspection: read_introspection(reader),
            revocation: read_revocation(reader),
        };
        server.check(reader);
        enabled.then_some(server)
    }

    /// Whether a user may be given this scope: it is offered, or one of ours.
    #[must_use]
    pub fn knows_scope(&self, scope: &str) -> bool {
        scope::is_known(scope, self.scopes_supported.keys())
    }

    /// What no key can know alone.
    fn check(&self, reader: &Reader<'_>) {
        // RFC 6749 §4.1.2: a maximum authorization code lifetime of 10 minutes is RECOMMENDED.
        if self.auth_code_lifetime > Duration::from_secs(600) {
            reader
                .fault("auth_code_lifetime", Wrong::new("is longer than 10m", "write 60s: a browser needs no longer"));
        }
        if self.refresh_token_lifetime > self.refresh_token_max_lifetime {
            let idle = print_duration(self.refresh_token_lifetime);
            let longest = print_duration(self.refresh_token_max_lifetime);
            let wrong = Wrong::new(
                format!("is {idle}, longer than refresh_token_max_lifetime, which is {longest}"),
                format!("shorten it, or write refresh_token_max_lifetime: {idle}"),
            );
            reader.fault("refresh_token_lifetime", wrong);
        }
        if reader.is_empty("allowed_redirect_uris") {
            let wrong = Wrong::new("is empty, so that no client can log in", "write the clients' URIs, or @claude");
            reader.fault("allowed_redirect_uris", wrong);
        }
        let password_users = [("users", !self.users.is_empty()), ("create_first_user", self.create_first_user)];
        for (key, _) in password_users.iter().filter(|(_, written)| *written && self.mode == Mode::Federated) {
            let wrong = Wrong::new("has no effect: nobody logs in with a password", "remove it, or write mode: both");
            reader.warn(&format!("builtin.{key}"), wrong);
        }
        for (index, user) in self.users.iter().enumerate() {
            self.check_scopes(reader, &format!("builtin.users[{index}].scopes"), &user.scopes);
        }
        self.check_clients(reader);
        self.check_consent(reader);
        if let Some(scopes) = &self.default_scopes {
            self.check_scopes(reader, "default_scopes", scopes);
        }
    }

    fn check_clients(&self, reader: &Reader<'_>) {
        let allowed = RedirectUriPolicy::new(&self.allowed_redirect_uris);
        for (index, client) in self.clients.iter().enumerate() {
            if let Some(scopes) = &client.scopes {
                self.check_scopes(reader, &format!("clients[{index}].scopes"), scopes);
            }
            for uri in &client.redirect_uris {
                if allowed.check(uri).is_err() {
                    let problem = format!("has `{uri}`, which allowed_redirect_uris does not allow");
                    let fix = "add it there: that list binds every client, however it came";
                    reader.fault(&format!("clients[{index}].redirect_uris"), Wrong::new(problem, fix));
                }
            }
            if client.has_assertions && self.enterprise.is_empty() {
                let problem = "has jwt-bearer, and no issuer of assertions stands in enterprise.issuers";
                let wrong = Wrong::new(problem, "write one there, or take jwt-bearer out");
                reader.warn(&format!("clients[{index}].grant_types"), wrong);
            }
            let is_same = |other: &StaticClient| !client.client_id.is_empty() && other.client_id == client.client_id;
            if self.clients.iter().take(index).any(is_same) {
                let problem = format!("is `{}` a second time", client.client_id);
                reader.fault(&format!("clients[{index}].client_id"), Wrong::new(problem, "keep one of the two"));
            }
        }
    }

    /// Without the question, a client that anybody may have made gets a code from whoever follows a link (MCP Security Best
    /// Practices, "Confused Deputy").
    fn check_consent(&self, reader: &Reader<'_>) {
        let strangers = [
            (self.allow_dynamic_registration, "allow_dynamic_registration"),
            (self.metadata_documents.enabled, "client_id_metadata_documents.enabled"),
        ];
        for (_, key) in strangers.iter().filter(|(is_on, _)| *is_on && self.consent.mode == ConsentMode::Never) {
            let problem = format!("is never, while {key} lets clients in that nobody here knows");
            let fix = format!("write always_for_dynamic, or {key}: false and every client under clients");
            reader.fault("consent.mode", Wrong::new(problem, fix));
        }
        for (index, client) in self.clients.iter().enumerate() {
            if self.consent.mode == ConsentMode::Always && client.skip_consent {
                let wrong =
                    Wrong::new("has no effect, because consent.mode is always", "remove it, or change the mode");
                reader.fault(&format!("clients[{index}].skip_consent"), wrong);
            }
        }
    }

    fn check_scopes(&self, reader: &Reader<'_>, key: &str, scopes: &ScopeSet) {
        for wrong in scope::unknown(scopes, &self.scopes_supported) {
            reader.fault(key, wrong);
        }
    }
}

/// None in mode `builtin`; what is written is checked all the same.
fn read_providers(reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Vec<Provider> {
    let doc = "The identity provider where people log in, or several of them below providers.";
    let providers = reader.optional_section("federated", doc, |reader| federated::read_all(reader, around));
    if around.mode == Mode::Builtin {
        if reader.is_set("federated") {
            let wrong = Wrong::new("has no effect, because mode is builtin", "write mode: federated, or mode: both");
            reader.warn("federated", wrong);
        }
        return Vec::new();
    }
    if !reader.is_set("federated") {
        let fix = "write it, with the provider's upstream_issuer, client_id and client_secret_env";
        reader.fault("federated", Wrong::new("is missing, and mode says that people log in at a provider", fix));
    }
    providers.unwrap_or_default()
}

fn read_scopes(reader: &mut Reader<'_>) -> BTreeMap<String, Option<String>> {
    let scopes = reader.described(
        "scopes_supported",
        &SCOPE,
        &[READ, WRITE],
        "Scopes that clients can ask for: a list, or a mapping to words for the consent page.",
    );
    if reader.is_empty("scopes_supported") {
        reader.fault("scopes_supported", Wrong::new("is empty, so that nothing can be granted", "write [mcp:read]"));
    }
    scopes.into_iter().collect()
}

fn read_default_scopes(reader: &mut Reader<'_>) -> Option<ScopeSet> {
    let doc = "Granted to a client that asks for none. Without it, what the user may have of scopes_supported.";
    reader.optional_list("default_scopes", &SCOPE, doc).map(|scopes| scopes.into_iter().collect())
}

fn read_introspection(reader: &mut Reader<'_>) -> bool {
    let doc = "Clients may ask about their own tokens, those with introspect_any about every access token.";
    reader
        .section("introspection", "What is this token worth? (RFC 7662)", |reader| reader.boolean("enabled", true, doc))
}

fn read_revocation(reader: &mut Reader<'_>) -> bool {
    let doc = "Clients may end their own tokens.";
    reader.section("revocation", "The end of tokens at their client's wish (RFC 7009).", |reader| {
        reader.boolean("enabled", true, doc)
    })
}
