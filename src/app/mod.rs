//! Composition: from a checked configuration to a running bridge. All wiring is here, and nothing else.

mod absent;
mod address;
mod connections;
mod first_user;
mod limits;
mod made;
mod reload;
mod restart;
mod serve;
mod tasks;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use crate::app::made::{Made, callback};
use crate::audit::{self, Audit};
use crate::base::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::config::section::Storage;
use crate::keys::KeyError;
use crate::store::Store;
use crate::store::sqlite::Sqlite;

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
            KeyError::Held { .. } => Self::Io(error.to_string()),
            KeyError::Mode { .. }
            | KeyError::Writable { .. }
            | KeyError::Foreign { .. }
            | KeyError::Lock { .. }
            | KeyError::Unusable { .. }
            | KeyError::UnusableAdditional { .. } => Self::Configuration(error.to_string()),
            KeyError::Generation(_) | KeyError::Signing(_) | KeyError::Sealing(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<audit::OpenError> for StartError {
    fn from(error: audit::OpenError) -> Self {
        match error {
            audit::OpenError::File { .. } => Self::Io(error.to_string()),
            audit::OpenError::Thread(_) => Self::Failed(error.to_string()),
        }
    }
}

/// A bridge that is put together and listens, but does not answer yet.
pub struct App {
    listener: TcpListener,
    ground: Ground,
    config: Config,
    made: Made,
    /// Where it is reached.
    pub addresses: Addresses,
}

/// What no reload changes.
struct Ground {
    store: Arc<dyn Store>,
    audit: Audit,
    surroundings: Surroundings,
    addresses: Addresses,
    connections: usize,
}

impl App {
    /// Binds the port, opens the store and the keys, and starts the upstreams.
    ///
    /// # Errors
    /// [`StartError`], saying what to do.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        let (listener, addresses) = address::bind(&config)?;
        let now = surroundings.clock.now();
        let store = open_store(&config, now)?;
        let connections = connections::holdable(config.server.max_connections);
        let audit = Audit::open(config.audit.as_ref(), surroundings.clock.clone())?;
        let ground = Ground { store, audit, surroundings, addresses: addresses.clone(), connections };
        let made = Made::of(&config, &ground, None).await?;
        if let Some(present) = made.behind.present(&config) {
            let ended = absent::look(&ground, (present, None), now).await;
            ended.map_err(|error| StartError::Io(error.to_string()))?;
        }
        Ok(Self { listener, ground, config, made, addresses })
    }

    /// Makes the first user where that is wanted and there is none, and gives the password nobody will see again.
    ///
    /// Not a part of [`App::start`], which may fail late or be broken off: the user would stay, and the password be lost.
    ///
    /// # Errors
    /// [`StartError`], when the store cannot be read or written.
    pub async fn first_user(&self) -> Result<Option<FirstUser>, StartError> {
        match &self.config.oauth_server {
            Some(section) => {
                let Ground { store, audit, surroundings, .. } = &self.ground;
                first_user::create(section, store.as_ref(), audit, surroundings.clock.now()).await
            }
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
