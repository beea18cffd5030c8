//! The authorization server: issues tokens for the resource behind the same address.
//!
//! The flow in prose. A client registers ([`AuthorizationServer::register`]) and sends a person's browser to
//! [`AuthorizationServer::authorize`], where an ordered list of checks turns the query into a request that can be
//! trusted, and a flow begins that is bound to this browser by a cookie. [`AuthorizationServer::step`] tells from the
//! stored flow alone which page comes next; [`AuthorizationServer::log_in`] and [`AuthorizationServer::allow`] move it on,
//! by way of an identity provider and [`AuthorizationServer::come_back`] if that is where the person logs in, until the
//! answer goes back to the client. It redeems the code, and later its refresh tokens, at
//! [`AuthorizationServer::token`], and may end what it was given at [`AuthorizationServer::revoke`]. Who has a token from
//! somebody asks at [`AuthorizationServer::introspect`] what it is worth. Whoever logged in sees all of that at
//! [`AuthorizationServer::account`], and may end it there.
//!
//! Owned here: every OAuth rule of issuing, and which browser a login belongs to. Not owned: passwords and what is said to
//! identity providers (`identity`), keys (`keys`), pages and cookies (`http`).

pub mod account;
mod assertion;
pub mod authorize;
pub mod client;
pub mod error;
pub mod introspection;
pub mod revocation;
pub mod session;
pub mod token;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::audit::Audit;
use crate::authorization_server::client::documents::Elsewhere;
use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::config::section::{Consent, OauthServer, StaticAuthentication, StaticClient};
use crate::identity::Identity;
use crate::identity::throttle::LoginThrottle;
use crate::keys::{Keys, foreign_algorithms};
use crate::model::client::Client;
use crate::model::grant::RefreshPolicy;
use crate::protocol::oauth::grant_type;
use crate::protocol::oauth::metadata::{AuthorizationServerMetadata, Offered};
use crate::protocol::oauth::redirect_uri::RedirectUriPolicy;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::{ClientBounds, Store};

/// Issues tokens. One method per endpoint, in the files of this folder.
pub struct AuthorizationServer {
    settings: Settings,
    services: Services,
    metadata: Bytes,
}

/// What the authorization server works with.
pub struct Services {
    /// Where clients, flows and tokens are kept.
    pub store: Arc<dyn Store>,
    /// Signs access tokens.
    pub keys: Arc<Keys>,
    /// Knows people.
    pub identity: Arc<Identity>,
    /// Fetches what clients keep elsewhere: metadata of those that are named by an address, and keys.
    pub elsewhere: Arc<Elsewhere>,
    /// Wrong client secrets, lately.
    pub guesses: Arc<LoginThrottle>,
    /// Is told what happens, before it is answered.
    pub audit: Audit,
    /// Tells the time.
    pub clock: Clock,
}

struct Settings {
    issuer: String,
    /// The canonical URL of the only resource.
    resource: String,
    token_lifetime: Duration,
    code_lifetime: Duration,
    refresh: RefreshPolicy,
    redirect_uris: RedirectUriPolicy,
    scopes_supported: ScopeSet,
    default_scopes: ScopeSet,
    clients: HashMap<ClientId, Client>,
    grant_types: Vec<&'static str>,
    client_bounds: Option<ClientBounds>,
    initial_access_token: Option<Digest>,
    consent: Consent,
    session_lifetime: Duration,
    introspection: bool,
    revocation: bool,
}

impl AuthorizationServer {
    /// The authorization server `issuer` for one resource.
    #[must_use]
    pub fn new(section: &OauthServer, issuer: &str, resource: &str, services: Services) -> Self {
        let scopes_supported: ScopeSet = section.scopes_supported.keys().cloned().collect();
        let is_key = |client: &StaticClient| matches!(client.authentication, StaticAuthentication::Keys(_));
        let has_keys = services.elsewhere.documents.is_some()
            || section.allow_dynamic_registration
            || section.clients.iter().any(is_key);
        let acts_alone = section.clients.iter().any(|client| client.acts_alone);
        let grant_types: Vec<_> = [grant_type::AUTHORIZATION_CODE, grant_type::REFRESH_TOKEN]
            .into_iter()
            .chain(acts_alone.then_some(grant_type::CLIENT_CREDENTIALS))
            .chain(services.identity.takes_assertions().then_some(grant_type::JWT_BEARER))
            .collect();
        let offered = Offered {
            scopes: scopes_supported.iter().map(str::to_owned).collect(),
            grant_types: grant_types.clone(),
            assertion_algorithms: if has_keys { foreign_algorithms() } else { Vec::new() },
            dynamic_registration: section.allow_dynamic_registration,
            metadata_documents: services.elsewhere.documents.is_some(),
            introspection: section.introspection,
            revocation: section.revocation,
        };
        let metadata = AuthorizationServerMetadata::new(issuer, offered);
        let metadata = serde_json::to_vec(&metadata).expect("a document of strings is always JSON");
        let settings = Settings {
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            token_lifetime: section.token_lifetime,
            code_lifetime: section.auth_code_lifetime,
            refresh: refresh_policy(section),
            redirect_uris: RedirectUriPolicy::new(&section.allowed_redirect_uris),
            default_scopes: section.default_scopes.clone().unwrap_or_else(|| scopes_supported.clone()),
            scopes_supported,
            clients: section.clients.iter().map(client::configured).map(|client| (client.id.clone(), client)).collect(),
            grant_types,
            client_bounds: client_bounds(section),
            initial_access_token: section.registration.initial_access_token,
            consent: section.consent,
            session_lifetime: section.session_lifetime,
            introspection: section.introspection,
            revocation: section.revocation,
        };
        Self { settings, services, metadata: metadata.into() }
    }

    /// The issuer identifier, byte for byte as it stands in metadata, `iss` parameters and tokens (RFC 8414 §2).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The RFC 8414 document. Made once: nothing of a request goes into it.
    #[must_use]
    pub fn metadata(&self) -> Bytes {
        self.metadata.clone()
    }

    /// The key set that verifies our access tokens (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.services.keys.jwks()
    }
}

/// The lifetimes of refresh tokens that a configuration asks for.
#[must_use]
pub fn refresh_policy(section: &OauthServer) -> RefreshPolicy {
    RefreshPolicy {
        idle: section.refresh_token_lifetime,
        absolute: section.refresh_token_max_lifetime,
        grace: section.refresh_token_grace,
    }
}

/// The bounds of registered clients that a configuration asks for; `None`: no client may register.
#[must_use]
pub fn client_bounds(section: &OauthServer) -> Option<ClientBounds> {
    section.allow_dynamic_registration.then_some(ClientBounds {
        max_clients: section.registration.max_clients,
        unused_expiry: section.registration.unused_expiry,
        expiry: section.registration.expiry,
    })
}
