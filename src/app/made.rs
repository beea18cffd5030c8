//! What is made of a configuration: at the start from nothing, at a reload with what goes on of the one before.

use std::sync::Arc;

use crate::app::{AUTHORIZATIONS, Addresses, Ground, LOGINS, StartError, TOKENS, connections, tasks};
use crate::authorization_server::client::configured;
use crate::authorization_server::client::documents::Elsewhere;
use crate::authorization_server::{AuthorizationServer, Services};
use crate::base::id::{ClientId, ProviderName};
use crate::bridge::pool;
use crate::bridge::{Bridge, Options};
use crate::config::Config;
use crate::config::section::{self, EndpointAuth, Mode, OauthServer, RateLimit};
use crate::http::guard::Guard;
use crate::http::state::{AddressLimits, Authorization, Endpoint, Pages, State};
use crate::identity::federated::{EnterpriseIssuer, Federation, Provider};
use crate::identity::throttle::{AddressLimit, LoginThrottle};
use crate::identity::{Identity, PasswordLogin};
use crate::keys::Keys;
use crate::protocol::oauth::scope;
use crate::resource_server::{ResourceServer, Settings};
use crate::store::Present;

/// What is made of one configuration.
pub(super) struct Made {
    pub state: State,
    pub behind: Behind,
}

/// What stands behind the state and is handed on by a reload.
pub(super) struct Behind {
    issuing: Option<Issuing>,
}

/// What was in force before.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub config: &'a Config,
    pub state: &'a State,
    pub behind: &'a Behind,
}

impl Made {
    /// Everything that can fail comes first, then the upstreams: of those nothing that is there is touched.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left of the attempt.
    pub async fn of(config: &Config, ground: &Ground, before: Option<Before<'_>>) -> Result<Self, StartError> {
        let issuing = match &config.oauth_server {
            Some(section) => Some(Issuing::open(section, ground, before).await?),
            None => None,
        };
        if let Some(issuing) = &issuing {
            let met = issuing.identity.meet_stored().await;
            met.map_err(|error| StartError::Io(error.to_string()))?;
        }
        let people = issuing.as_ref().map_or_else(pool::EmailAddresses::none, Issuing::email_addresses);
        let bridge = bridge(config, ground, people, before).await?;
        let halves = config
            .oauth_server
            .as_ref()
            .zip(issuing.as_ref())
            .map(|(section, issuing)| issuing.halves(section, ground));
        let (authorization, resource_server) = halves.unzip();
        let rates = |config: &Config| (config.server.login_rate_limit, registration_rate(config));
        let limits = before.filter(|before| rates(before.config) == rates(config));
        let state = State {
            endpoint: endpoint(config),
            authorization,
            resource_server: resource_server.filter(|_| config.endpoint.auth == EndpointAuth::Builtin),
            bridge,
            audit: ground.audit.clone(),
            guard: guard(config, &ground.addresses),
            read_timeout: config.server.read_timeout,
            write_timeout: config.server.write_timeout,
            limits: limits.map_or_else(|| Arc::new(address_limits(config)), |before| Arc::clone(&before.state.limits)),
        };
        Ok(Self { state, behind: Behind { issuing } })
    }
}

impl Behind {
    /// Who may hold grants; `None` when nobody is given any here.
    pub fn present(&self, config: &Config) -> Option<Present> {
        let issuing = self.issuing.as_ref()?;
        config.oauth_server.as_ref().map(|section| present(section, &issuing.identity))
    }

    /// Whether tokens are checked with the same keys.
    pub fn has_keys_of(&self, other: &Self) -> bool {
        let keys = |behind: &Self| behind.issuing.as_ref().map(|issuing| issuing.keys.jwks());
        keys(self) == keys(other)
    }
}

/// What the two halves that know about tokens are made of.
struct Issuing {
    keys: Arc<Keys>,
    identity: Arc<Identity>,
    elsewhere: Arc<Elsewhere>,
    guesses: Arc<LoginThrottle>,
}

/// The keys go on where nothing is said of them, and with them what is in memory alone; a file that was taken away or changed
/// is looked at all the same. Others are tended from now on, as long as somebody uses them.
async fn keys(
    section: &OauthServer,
    ground: &Ground,
    known: Option<(&Issuing, &OauthServer)>,
) -> Result<Arc<Keys>, StartError> {
    let now = ground.surroundings.clock.now();
    if let Some((issuing, _)) = known.filter(|(_, before)| before.signing == section.signing) {
        tasks::tend(Arc::clone(&issuing.keys), ground.store.as_ref(), &ground.audit, now).await?;
        return Ok(Arc::clone(&issuing.keys));
    }
    // Another process may hold the folder for a while, or a disk make one wait; whoever stops the bridge does not.
    let signing = section.signing.clone();
    let opened = tokio::task::spawn_blocking(move || Keys::open(&signing, now)).await;
    let keys = Arc::new(opened.map_err(|error| StartError::Failed(error.to_string()))??);
    let signs = tasks::tell_of_first_keys(&ground.audit, &keys, now).await;
    let (store, clock) = (Arc::clone(&ground.store), ground.surroundings.clock.clone());
    tokio::spawn(tasks::tend_keys((Arc::downgrade(&keys), signs), store, ground.audit.clone(), clock));
    Ok(keys)
}

impl Issuing {
    async fn open(section: &OauthServer, ground: &Ground, before: Option<Before<'_>>) -> Result<Self, StartError> {
        let known = before.and_then(|before| before.behind.issuing.as_ref().zip(before.config.oauth_server.as_ref()));
        let keys = keys(section, ground, known).await?;
        let federation = Federation::new(providers(section, &ground.addresses.issuer, &keys)?, ground.store.clone());
        let federation = federation.with_enterprise(enterprise(section)?);
        let identity =
            Arc::new(identity(section, ground, (federation, &keys), known.map(|(issuing, _)| &*issuing.identity))?);
        let elsewhere = match known.filter(|(_, before)| before.metadata_documents == section.metadata_documents) {
            Some((issuing, _)) => Arc::clone(&issuing.elsewhere),
            None => Elsewhere::new(&section.metadata_documents, Arc::clone(&ground.store), ground.audit.clone())
                .map(Arc::new)
                .map_err(|error| StartError::Failed(error.to_string()))?,
        };
        // Beside the start: a provider that does not answer keeps nobody else from logging in.
        tokio::spawn(tasks::warm_up(Arc::clone(&identity), ground.surroundings.clock.clone()));
        // What was guessed wrong counts on, unless another number of tries is allowed.
        let guesses = known.map(|(issuing, _)| &issuing.guesses).filter(|guesses| guesses.is_of(section.lockout));
        let guesses = guesses.map_or_else(|| Arc::new(LoginThrottle::new(section.lockout)), Arc::clone);
        Ok(Self { keys, identity, elsewhere, guesses })
    }

    fn halves(&self, section: &OauthServer, ground: &Ground) -> (Authorization, ResourceServer) {
        let (addresses, clock) = (&ground.addresses, &ground.surroundings.clock);
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
        let lists = (ground.store.revoked().clone(), ground.store.calls().clone());
        let resource = ResourceServer::new(Arc::clone(&self.keys), settings, lists, clock.clone());
        let services = Services {
            store: Arc::clone(&ground.store),
            keys: Arc::clone(&self.keys),
            identity: Arc::clone(&self.identity),
            elsewhere: Arc::clone(&self.elsewhere),
            guesses: Arc::clone(&self.guesses),
            audit: ground.audit.clone(),
            clock: clock.clone(),
        };
        let server = AuthorizationServer::new(section, &addresses.issuer, &addresses.resource, services);
        let pages = Pages::new(&addresses.issuer, section.branding.clone(), section.scopes_supported.clone());
        (Authorization { server, pages }, resource)
    }

    fn email_addresses(&self) -> pool::EmailAddresses {
        email_addresses(Arc::clone(&self.identity))
    }
}

/// Who may hold grants: people, and clients of the configuration, which may act for themselves.
fn present(section: &OauthServer, identity: &Identity) -> Present {
    let mut present = identity.present();
    present.clients = section.clients.iter().map(|client| ClientId::new(&client.client_id)).collect();
    present.documents = section.metadata_documents.enabled;
    present.configured.extend(section.clients.iter().filter_map(|client| configured(client).enrolled()));
    present
}

fn identity(
    section: &OauthServer,
    ground: &Ground,
    (federation, keys): (Federation, &Keys),
    before: Option<&Identity>,
) -> Result<Identity, StartError> {
    let passwords = PasswordLogin {
        accepted: section.mode != Mode::Federated,
        users: &section.users,
        lockout: section.lockout,
        least_cost: ground.surroundings.password_cost,
        digest_key: &keys.derive("configured passwords", &[]),
    };
    let store = ground.store.clone();
    let identity = match before {
        Some(before) => Identity::reloaded(passwords, store, federation, before),
        None => Identity::new(passwords, store, federation),
    };
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

/// The identity providers whose assertions are taken.
fn enterprise(section: &OauthServer) -> Result<Vec<EnterpriseIssuer>, StartError> {
    let issuers = section.enterprise.iter().cloned().map(EnterpriseIssuer::new);
    issuers.collect::<Result<_, _>>().map_err(StartError::Configuration)
}

/// Our redirect URI at a provider.
pub(super) fn callback(issuer: &str, provider: &ProviderName) -> String {
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

async fn bridge(
    config: &Config,
    ground: &Ground,
    addresses: pool::EmailAddresses,
    before: Option<Before<'_>>,
) -> Result<Arc<Bridge>, StartError> {
    let options = Options {
        session: config.server.session,
        max_streams: connections::for_streams(ground.connections),
        request_timeout: config.server.request_timeout,
        tool_search: Some(config.server.tool_search).filter(|search| search.enabled).map(|search| search.results),
        limits: pool::Limits::default(),
        addresses,
        keeper: ground.surroundings.keeper.clone(),
        clock: ground.surroundings.clock.clone(),
    };
    let bridge = match before {
        Some(before) => before.state.bridge.reloaded(&config.upstreams, &options).await,
        None => Bridge::start(&config.upstreams, options).await,
    };
    bridge.map_err(|error| StartError::Unavailable(error.to_string()))
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

/// `registration.rate`, if it is set.
fn registration_rate(config: &Config) -> Option<RateLimit> {
    config.oauth_server.as_ref().and_then(|section| section.registration.rate)
}

fn address_limits(config: &Config) -> AddressLimits {
    let login = config.server.login_rate_limit;
    let times = |factor| AddressLimit::new(RateLimit { limit: login.limit.saturating_mul(factor), ..login });
    AddressLimits {
        login: times(LOGINS),
        registration: registration_rate(config).map_or_else(|| times(LOGINS), AddressLimit::new),
        authorization: times(AUTHORIZATIONS),
        token: times(TOKENS),
    }
}
