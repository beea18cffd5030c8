//! Composition: from a checked configuration to a running bridge. All wiring is here, and nothing else.

mod address;
mod connections;
mod first_user;
mod limits;
mod serve;
mod tasks;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use crate::authorization_server::client::documents::Elsewhere;
use crate::authorization_server::{AuthorizationServer, Services};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{ClientId, ProviderName, UserId};
use crate::bridge::pool;
use crate::bridge::{Bridge, Options};
use crate::config::Config;
use crate::config::section::{self, EndpointAuth, Mode, OauthServer, RateLimit, Storage};
use crate::http::guard::Guard;
use crate::http::state::{AddressLimits, Authorization, Endpoint, Pages, State};
use crate::identity::federated::{Federation, Provider};
use crate::identity::throttle::AddressLimit;
use crate::identity::{Identity, PasswordLogin};
use crate::keys::{KeyError, Keys};
use crate::protocol::oauth::scope;
use crate::resource_server::{ResourceServer, Settings};
use crate::store::sqlite::Sqlite;
use crate::store::{Present, Store};

pub use address::Addresses;
pub use first_user::FirstUser;
pub use limits::limits;
pub use serve::{NOISY_TARGET, Running};

/// How many times `server.rate_limit.login` one address may log in or register,
const LOGINS: u32 = 1;
/// begin an authorization or move one on,
const AUTHORIZATIONS: u32 = 5;
/// and ask for tokens. Behind one address there are many people and clients: what costs no hashing is counted more generously.
const TOKENS: u32 = 30;

/// What a start depends on besides the configuration.
pub struct Surroundings {
    /// Tells the time.
    pub clock: Clock,
    /// The program that keeps child processes: this one.
    pub keeper: PathBuf,
    /// The least bcrypt cost that a login takes, whoever it is.
    pub password_cost: u32,
}

/// Why the bridge did not start; each kind has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration asks for something that does not work: 78.
    #[error("{0}")]
    Configuration(String),
    /// A file or a port: 74.
    #[error("{0}")]
    Io(String),
    /// An upstream that is required: 69.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else: 1.
    #[error("{0}")]
    Failed(String),
}

impl From<KeyError> for StartError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::File { .. } => {
                Self::Io(format!("{error}; this user needs access to what server.oauth_server.signing names"))
            }
            KeyError::Derivation { .. } => Self::Io(error.to_string()),
            KeyError::Mode { .. } | KeyError::Unusable { .. } => Self::Configuration(error.to_string()),
            KeyError::Generation(_) | KeyError::Signing(_) | KeyError::Sealing(_) => Self::Failed(error.to_string()),
        }
    }
}

/// A bridge that is put together and listens, but does not answer yet.
pub struct App {
    listener: TcpListener,
    connections: usize,
    config: Config,
    state: State,
    store: Arc<dyn Store>,
    clock: Clock,
    /// Where it is reached.
    pub addresses: Addresses,
}

impl App {
    /// Binds the port, opens the store and the keys, and starts the upstreams.
    ///
    /// # Errors
    /// [`StartError`], saying what to do.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        let clock = surroundings.clock.clone();
        let (listener, addresses) = address::bind(&config)?;
        let store = open_store(&config, clock.now())?;
        let issuing = match &config.oauth_server {
            Some(section) => Some(Issuing::open(section, &addresses, &store, &surroundings).await?),
            None => None,
        };
        let (authorization, resource_server, people) = match issuing {
            Some(issuing) => (Some(issuing.authorization), Some(issuing.resource), issuing.addresses),
            None => (None, None, pool::EmailAddresses::none()),
        };
        let connections = connections::holdable(config.server.max_connections);
        let bridge = start_bridge(&config, connections, surroundings, people).await?;
        let state = State {
            endpoint: endpoint(&config),
            authorization,
            resource_server: resource_server.filter(|_| config.endpoint.auth == EndpointAuth::Builtin),
            bridge,
            guard: guard(&config, &addresses),
            read_timeout: config.server.read_timeout,
            limits: address_limits(&config),
        };
        Ok(Self { listener, connections, config, state, store, clock, addresses })
    }

    /// Makes the first user where that is wanted and there is none, and gives the password nobody will see again.
    ///
    /// Not a part of [`App::start`], which may fail late or be broken off: the user would stay, and the password be lost.
    ///
    /// # Errors
    /// [`StartError`], when the store cannot be read or written.
    pub async fn first_user(&self) -> Result<Option<FirstUser>, StartError> {
        match &self.config.oauth_server {
            Some(section) => first_user::create(section, self.store.as_ref(), self.clock.now()).await,
            None => Ok(None),
        }
    }

    /// What has to be registered where: the redirect URI at each identity provider, and what people call it.
    #[must_use]
    pub fn callbacks(&self) -> Vec<(String, &str)> {
        let providers = self.config.oauth_server.iter().flat_map(|section| &section.providers);
        providers.map(|provider| (callback(&self.addresses.issuer, &provider.name), provider.label.as_str())).collect()
    }

    /// Where generated keys are kept.
    #[must_use]
    pub fn key_folder(&self) -> Option<String> {
        self.config.oauth_server.as_ref().map(|section| section.signing.key_dir.display().to_string())
    }

    /// Where the data is kept, in words.
    #[must_use]
    pub fn data_folder(&self) -> String {
        match &self.config.storage {
            Storage::Sqlite { path } => path.display().to_string(),
            Storage::Memory => "in memory, gone at exit".to_owned(),
        }
    }
}

/// Opens the store of a configuration.
///
/// # Errors
/// [`StartError::Io`], when it cannot be opened or is not ours.
pub fn open_store(config: &Config, now: Timestamp) -> Result<Arc<dyn Store>, StartError> {
    let lifetime = config.oauth_server.as_ref().map(|section| section.token_lifetime).unwrap_or_default();
    Sqlite::open(&config.storage, now, lifetime).map_err(|error| StartError::Io(error.to_string()))
}

/// The two halves that know about tokens.
struct Issuing {
    authorization: Authorization,
    resource: ResourceServer,
    addresses: pool::EmailAddresses,
}

impl Issuing {
    async fn open(
        section: &OauthServer,
        addresses: &Addresses,
        store: &Arc<dyn Store>,
        surroundings: &Surroundings,
    ) -> Result<Self, StartError> {
        let keys = Arc::new(Keys::open(&section.signing)?);
        let clock = &surroundings.clock;
        let federation = Federation::new(providers(section, &addresses.issuer, &keys)?, store.clone());
        let identity = Arc::new(identity(section, store, federation, surroundings.password_cost)?);
        let failed = |error: crate::store::StoreError| StartError::Io(error.to_string());
        store.revoke_absent_users(present(section, &identity), clock.now()).await.map_err(failed)?;
        // Beside the start: a provider that does not answer keeps nobody else from logging in.
        tokio::spawn(tasks::warm_up(Arc::clone(&identity), clock.clone()));
        let scopes_supported: Vec<String> = section.scopes_supported.keys().cloned().collect();
        let settings = Settings {
            issuer: addresses.issuer.clone(),
            resource: addresses.resource.clone(),
            // RFC 9728 §2, MCP "Scope Selection": what a normal session needs. Clients that cannot step up ask for this much.
            challenge_scopes: scopes_supported.iter().filter(|name| *name != scope::ADMIN).cloned().collect(),
            scopes_supported,
            metadata_url: addresses.resource_metadata.clone(),
            resource_name: Some(section.branding.page_title.clone()),
        };
        let resource = ResourceServer::new(Arc::clone(&keys), settings, store.revoked().clone(), clock.clone());
        let emails = email_addresses(Arc::clone(&identity));
        let elsewhere = Elsewhere::new(&section.metadata_documents, Arc::clone(store));
        let elsewhere = elsewhere.map_err(|error| StartError::Failed(error.to_string()))?;
        let services = Services { store: Arc::clone(store), keys, identity, elsewhere, clock: clock.clone() };
        let server = AuthorizationServer::new(section, &addresses.issuer, &addresses.resource, services);
        let pages = Pages::new(&addresses.issuer, section.branding.clone(), section.scopes_supported.clone());
        Ok(Self { authorization: Authorization { server, pages }, resource, addresses: emails })
    }
}

/// Who may hold grants: people, and clients of the configuration, which may act for themselves.
fn present(section: &OauthServer, identity: &Identity) -> Present {
    let mut present = identity.present();
    present.clients = section.clients.iter().map(|client| ClientId::new(&client.client_id)).collect();
    present.documents = section.metadata_documents.enabled;
    let alone = section.clients.iter().filter(|client| client.acts_alone);
    present.configured.extend(alone.map(|client| UserId::of_client(&ClientId::new(&client.client_id))));
    present
}

fn identity(
    section: &OauthServer,
    store: &Arc<dyn Store>,
    federation: Federation,
    least_cost: u32,
) -> Result<Identity, StartError> {
    let passwords = PasswordLogin {
        accepted: section.mode != Mode::Federated,
        users: &section.users,
        lockout: section.lockout,
        least_cost,
    };
    let identity = Identity::new(passwords, store.clone(), federation);
    identity.map_err(|error| StartError::Configuration(error.to_string()))
}

/// The identity providers. Each has a redirect URI of its own, so that one cannot pass off its answers as another's (RFC 9700
/// §4.4.2).
fn providers(section: &OauthServer, issuer: &str, keys: &Arc<Keys>) -> Result<Vec<Provider>, StartError> {
    let provider = |settings: &section::Provider| {
        let unusable = |error| format!("the identity provider {} cannot be used: {error}", settings.name);
        Provider::new(settings.clone(), callback(issuer, &settings.name), Arc::clone(keys))
            .map_err(|error| StartError::Configuration(unusable(error)))
    };
    section.providers.iter().map(provider).collect()
}

/// Our redirect URI at a provider.
fn callback(issuer: &str, provider: &ProviderName) -> String {
    if *provider == ProviderName::the_only() {
        return format!("{issuer}/oauth/callback");
    }
    format!("{issuer}/oauth/callback/{provider}")
}

/// Only of people who may still log in, and only addresses that their provider verified.
fn email_addresses(identity: Arc<Identity>) -> pool::EmailAddresses {
    pool::EmailAddresses::new(move |person| {
        let identity = Arc::clone(&identity);
        Box::pin(async move {
            match identity.find_active(&person).await {
                Ok(active) => active.and_then(|active| active.email),
                Err(error) => {
                    tracing::error!(%error, "the e-mail address of somebody could not be read");
                    None
                }
            }
        })
    })
}

async fn start_bridge(
    config: &Config,
    connections: usize,
    surroundings: Surroundings,
    addresses: pool::EmailAddresses,
) -> Result<Arc<Bridge>, StartError> {
    let options = Options {
        session: config.server.session,
        max_streams: connections::for_streams(connections),
        request_timeout: config.server.request_timeout,
        tool_search: Some(config.server.tool_search).filter(|search| search.enabled).map(|search| search.results),
        limits: pool::Limits::default(),
        addresses,
        keeper: surroundings.keeper,
        clock: surroundings.clock,
    };
    Bridge::start(&config.upstreams, options).await.map_err(|error| StartError::Unavailable(error.to_string()))
}

fn endpoint(config: &Config) -> Endpoint {
    Endpoint {
        path: config.endpoint.path.clone(),
        root: config.server.root_endpoint,
        max_request_body: config.server.max_request_body,
        sse_keepalive_interval: config.server.sse_keepalive_interval,
    }
}

fn guard(config: &Config, addresses: &Addresses) -> Guard {
    let mut hosts: Vec<String> = config.server.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    hosts.extend(addresses.hosts.iter().cloned());
    let mut origins = config.server.allowed_origins.clone();
    origins.extend(addresses.origins.iter().cloned());
    Guard { hosts, origins, trusted_proxies: config.server.trusted_proxies.clone(), is_https: addresses.is_https() }
}

fn address_limits(config: &Config) -> AddressLimits {
    let login = config.server.login_rate_limit;
    let times = |factor| AddressLimit::new(RateLimit { limit: login.limit.saturating_mul(factor), ..login });
    let registration = config.oauth_server.as_ref().and_then(|section| section.registration.rate);
    AddressLimits {
        login: times(LOGINS),
        registration: registration.map_or_else(|| times(LOGINS), AddressLimit::new),
        authorization: times(AUTHORIZATIONS),
        token: times(TOKENS),
    }
}
