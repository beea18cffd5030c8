//! Clients that are named by the address of their own metadata: fetched, kept, and fetched again.
//! [Client ID Metadata Documents §4](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-client-id-metadata-document-00#section-4)
//!
//! A copy is used as long as its server says, within bounds; then it is asked for anew. While that fails, the last good copy
//! counts on, across restarts too: a client does not lose its people because its server does not answer. A failure is never
//! kept: who tries again, tries.

mod copy;
mod hosts;

pub use hosts::LIMITS as HOST_LIMITS;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use url::Url;

use crate::authorization_server::client::documents::copy::{Copy, Slot};
use crate::authorization_server::client::documents::hosts::Hosts;
use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::base::limit::Limit;
use crate::config::section::MetadataDocuments;
use crate::fetch::{Document, FetchError, PublicClient, PublicFault};
use crate::keys::KeySet;
use crate::model::client::{Authentication, Client, GrantTypes, Origin};
use crate::protocol::oauth::client_document::{ClientDocument, DocumentAuthentication, DocumentFault, DocumentUrl};
use crate::store::{Store, StoreError};

/// How many documents, and how many key sets, are kept in memory. What drops out is fetched again.
const KEPT: usize = 1000;
/// A copy is not asked for more often than this, whatever its server says.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// Before a copy that could not be renewed is asked for again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody whose key we do not have may have a key set fetched anew.
const RENEWAL: Duration = Duration::from_secs(60);
/// The largest key set that is taken, in bytes.
const MAX_KEYS: usize = 64 * 1024;

/// What is shown of them.
pub const LIMITS: [Limit; 5] = [
    Limit::count("metadata documents of clients in memory", KEPT, "the least used is fetched anew"),
    Limit::time("use of such a document, at least", SHORTEST, "it is fetched anew no sooner"),
    Limit::time("before one that could not be renewed is asked for again", PATIENCE, "the last good copy counts"),
    Limit::time("before a client's keys are fetched anew for one unknown", RENEWAL, "401"),
    Limit::bytes("keys of a client", MAX_KEYS, "they are not taken"),
];

/// The documents of clients.
pub struct Documents {
    settings: MetadataDocuments,
    fetcher: PublicClient,
    store: Arc<dyn Store>,
    hosts: Hosts,
    clients: Cache<Url, Arc<Slot<Client>>>,
    key_sets: Cache<Url, Arc<Slot<KeySet>>>,
}

/// Why a client with a document does not come in. Nothing that its server sent is in it.
#[derive(Debug, thiserror::Error)]
pub enum DocumentRefusal {
    /// It is no address of a document, or a document that lets nobody in.
    #[error("{0}")]
    Invalid(#[from] DocumentFault),
    /// The operator's list does not have its host.
    #[error("the operator has not allowed clients of {0}")]
    NotAllowed(String),
    /// It cannot be fetched, and was not before.
    #[error("its document cannot be fetched: {0}")]
    Unreachable(#[from] PublicFault),
    /// Its server was asked too often.
    #[error("its server was asked too often; try again in a minute")]
    TooOften,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Documents {
    /// Documents, fetched as `settings` say; `None` when they are off.
    ///
    /// # Errors
    /// No TLS on this machine.
    pub fn new(settings: &MetadataDocuments, store: Arc<dyn Store>) -> Result<Option<Self>, FetchError> {
        if !settings.enabled {
            return Ok(None);
        }
        let exempt: &[SocketAddr] = &settings.danger_allow_addresses;
        Ok(Some(Self {
            fetcher: PublicClient::new(settings.timeout, exempt)?,
            settings: settings.clone(),
            store,
            hosts: Hosts::default(),
            clients: Cache::new(KEPT),
            key_sets: Cache::new(KEPT),
        }))
    }

    /// The client of this identifier, which is an address.
    ///
    /// # Errors
    /// See [`DocumentRefusal`].
    pub async fn find(&self, id: &ClientId, now: Timestamp) -> Result<Client, DocumentRefusal> {
        let url = DocumentUrl::parse(id.as_str())?;
        let host = url.url().host_str().unwrap_or_default();
        if !self.settings.allowed_hosts.is_empty() && !self.settings.allowed_hosts.iter().any(|allowed| allowed == host)
        {
            return Err(DocumentRefusal::NotAllowed(host.to_owned()));
        }
        let slot = slot(&self.clients, url.url());
        if let Some(copy) = slot.fresh(now) {
            return Ok(Client::clone(&copy));
        }
        // One request at a time for one document; who waited finds what it brought.
        let _turn = slot.turn().await;
        if let Some(copy) = slot.fresh(now) {
            return Ok(Client::clone(&copy));
        }
        match self.fetch(&url, now).await {
            Ok((client, document)) => {
                slot.put(Copy { value: Arc::new(client.clone()), until: now + self.lifetime(document.max_age) });
                self.store.record_document(id, &document.body, now).await?;
                Ok(client)
            }
            // A document that says something else now is what counts, also when it cannot be had afterwards.
            Err(refusal @ (DocumentRefusal::Invalid(_) | DocumentRefusal::NotAllowed(_))) => {
                slot.forget();
                self.store.remove_document(id).await?;
                Err(refusal)
            }
            Err(refusal) => match self.last_good(&url, &slot).await? {
                Some(client) => {
                    tracing::warn!(oauth.client = %id, %refusal, "a client's document cannot be renewed; the last good copy counts");
                    slot.put(Copy { value: Arc::new(client.clone()), until: now + PATIENCE });
                    Ok(client)
                }
                None => Err(refusal),
            },
        }
    }

    /// The client as it last was let in, without asking its server: for pages that name many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_known(&self, url: &DocumentUrl) -> Result<Option<Client>, StoreError> {
        self.last_good(url, &slot(&self.clients, url.url())).await
    }

    /// The keys at `url`; newer than `used` when that set was found wanting. `None`: there is none newer, and it is too early
    /// to ask again.
    ///
    /// # Errors
    /// See [`DocumentRefusal`].
    pub async fn keys(
        &self,
        url: &Url,
        used: Option<&Arc<KeySet>>,
        now: Timestamp,
    ) -> Result<Option<Arc<KeySet>>, DocumentRefusal> {
        let slot = slot(&self.key_sets, url);
        let other = |copy: Arc<KeySet>| Some(copy).filter(|copy| used.is_none_or(|used| !Arc::ptr_eq(used, copy)));
        if let Some(copy) = slot.fresh(now).and_then(other) {
            return Ok(Some(copy));
        }
        let _turn = slot.turn().await;
        if let Some(copy) = slot.fresh(now).and_then(other) {
            return Ok(Some(copy));
        }
        if used.is_some() && !slot.may_renew(now, RENEWAL) {
            return Ok(None);
        }
        match self.fetch_keys(url, now).await {
            Ok((keys, max_age)) => {
                let keys = Arc::new(keys);
                slot.put(Copy { value: Arc::clone(&keys), until: now + self.lifetime(max_age) });
                Ok(Some(keys))
            }
            Err(refusal) => match slot.last() {
                Some(old) if used.is_none() => {
                    slot.put(Copy { value: Arc::clone(&old), until: now + PATIENCE });
                    Ok(Some(old))
                }
                _ => Err(refusal),
            },
        }
    }

    async fn fetch(&self, url: &DocumentUrl, now: Timestamp) -> Result<(Client, Document), DocumentRefusal> {
        self.hosts.ask(&url.host(), now).map_err(|()| DocumentRefusal::TooOften)?;
        let document = self.fetcher.json(url.url(), self.settings.max_size).await?;
        let client = client(url, ClientDocument::parse(url, &document.body)?);
        Ok((client, document))
    }

    async fn fetch_keys(&self, url: &Url, now: Timestamp) -> Result<(KeySet, Option<Duration>), DocumentRefusal> {
        self.hosts.ask(url.host_str().unwrap_or_default(), now).map_err(|()| DocumentRefusal::TooOften)?;
        let document = self.fetcher.json(url, MAX_KEYS).await?;
        let keys = KeySet::parse(&document.body).map_err(|_| DocumentFault("its jwks_uri has no key set"))?;
        Ok((keys, document.max_age))
    }

    /// The last copy that let the client in, from memory or from the store.
    async fn last_good(&self, url: &DocumentUrl, slot: &Slot<Client>) -> Result<Option<Client>, StoreError> {
        if let Some(copy) = slot.last() {
            return Ok(Some(Client::clone(&copy)));
        }
        let kept = self.store.find_document(&ClientId::new(url.url().as_str())).await?;
        Ok(kept.and_then(|body| ClientDocument::parse(url, &body).ok()).map(|document| client(url, document)))
    }

    fn lifetime(&self, said: Option<Duration>) -> Duration {
        let longest = self.settings.cache_ttl;
        said.unwrap_or(longest).clamp(SHORTEST.min(longest), longest)
    }
}

fn slot<T>(slots: &Cache<Url, Arc<Slot<T>>>, url: &Url) -> Arc<Slot<T>> {
    let made: Result<_, std::convert::Infallible> = slots.get_or_insert_with(url, || Ok(Arc::default()));
    match made {
        Ok(slot) => slot,
    }
}

fn client(url: &DocumentUrl, document: ClientDocument) -> Client {
    Client {
        id: ClientId::new(url.url().as_str()),
        origin: Origin::Document { host: url.host() },
        name: Some(document.name),
        redirect_uris: document.redirect_uris,
        authentication: match document.authentication {
            DocumentAuthentication::None => Authentication::None,
            DocumentAuthentication::PrivateKey { keys, is_optional } => {
                Authentication::PrivateKey { keys, is_optional }
            }
        },
        // Its document says nothing of assertions; the enterprise's provider does, which names the client in each.
        grants: GrantTypes {
            authorization_code: true,
            refresh_token: document.may_refresh,
            client_credentials: false,
            jwt_bearer: true,
        },
        scopes: None,
    }
}
