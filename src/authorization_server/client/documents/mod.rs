//! Clients that are named by the address of their own metadata: fetched, kept, and fetched again.
//! [Client ID Metadata Documents §4](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-client-id-metadata-document-00#section-4)
//!
//! A copy is used as long as its server says, within bounds; then it is asked for anew. While that fails, the last good copy
//! counts on, across restarts too: a client does not lose its people because its server does not answer. A failure is never
//! kept: who tries again, tries.
//!
//! A document that names other keys, another way to prove itself or other hosts than the one before is another client as far as
//! people are concerned: they are asked anew, and what the old keys held ends (CIMD, Changes in Client Metadata). A client that
//! changes its keys from time to time keeps them at its `jwks_uri`.

mod copy;
mod hosts;
mod key_sets;

pub use copy::LIMITS as COPY_LIMITS;
pub use hosts::LIMITS as HOST_LIMITS;
pub use key_sets::{KeySets, LIMITS as KEY_LIMITS, Wanted};

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use quick_cache::sync::Cache;
use url::Url;

use crate::audit::{Audit, Event};
use crate::authorization_server::client::documents::copy::{Copy, PATIENCE, Slot, lifetime, slot};
use crate::authorization_server::client::documents::hosts::{Errand, Hosts};
use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::base::limit::Limit;
use crate::config::section::MetadataDocuments;
use crate::fetch::{Document, FetchError, PublicClient, PublicFault};
use crate::identity::throttle::AddressKey;
use crate::model::client::{Authentication, Client, GrantTypes, Origin};
use crate::protocol::oauth::client_document::{ClientDocument, DocumentAuthentication, DocumentFault, DocumentUrl};
use crate::store::{DocumentChange, Store, StoreError};

/// How many documents are kept in memory. What drops out is fetched again.
const KEPT: usize = 1000;

/// What is shown of them.
pub const LIMITS: [Limit; 1] =
    [Limit::count("metadata documents of clients in memory", KEPT, "the least used is fetched anew")];

/// What clients keep elsewhere: their documents, and their keys.
pub struct Elsewhere {
    /// The documents; `None`: no client is named by the address of one.
    pub documents: Option<Documents>,
    /// The keys.
    pub key_sets: KeySets,
}

/// The documents of clients.
pub struct Documents {
    settings: MetadataDocuments,
    store: Arc<dyn Store>,
    audit: Audit,
    hosts: Arc<Hosts>,
    clients: Cache<Url, Arc<Slot<Client>>>,
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
    /// Too many are being fetched just now.
    #[error("too many documents are being fetched; try again in a minute")]
    Busy,
    /// It was not let in before, and is not fetched for this.
    #[error("its document was not let in before")]
    Unknown,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Elsewhere {
    /// Documents and keys, fetched as `settings` say. What changes in them is told to `audit`.
    ///
    /// # Errors
    /// No TLS on this machine.
    pub fn new(settings: &MetadataDocuments, store: Arc<dyn Store>, audit: Audit) -> Result<Self, FetchError> {
        let exempt: &[SocketAddr] = &settings.danger_allow_addresses;
        let hosts = Arc::new(Hosts::new(PublicClient::new(settings.timeout, exempt)?, settings.timeout));
        let key_sets = KeySets::new(Arc::clone(&hosts), Arc::clone(&store), settings.cache_ttl);
        let documents = Documents { settings: settings.clone(), store, audit, hosts, clients: Cache::new(KEPT) };
        Ok(Self { documents: settings.enabled.then_some(documents), key_sets })
    }
}

impl Documents {
    /// The client of this identifier, which is an address. `asker`: from where somebody names it; without, one that was not let
    /// in before is not fetched.
    ///
    /// # Errors
    /// See [`DocumentRefusal`].
    pub async fn find(
        &self,
        id: &ClientId,
        asker: Option<AddressKey>,
        now: Timestamp,
    ) -> Result<Client, DocumentRefusal> {
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
        let errand = match (self.last_good(&url, &slot).await?, asker) {
            (Some(_), _) => self.hosts.for_known(),
            (None, Some(asker)) => self.hosts.for_stranger(asker, url.url(), now).await?,
            (None, None) => return Err(DocumentRefusal::Unknown),
        };
        // One request at a time for one document; who waited finds what it brought.
        let Ok(_turn) = errand.wait(slot.turn()).await else {
            return self.last_good(&url, &slot).await?.ok_or(DocumentRefusal::Busy);
        };
        if let Some(copy) = slot.fresh(now) {
            return Ok(Client::clone(&copy));
        }
        self.renew(&url, &slot, &errand, now).await
    }

    async fn renew(
        &self,
        url: &DocumentUrl,
        slot: &Slot<Client>,
        errand: &Errand,
        now: Timestamp,
    ) -> Result<Client, DocumentRefusal> {
        let id = ClientId::new(url.url().as_str());
        match self.fetch(url, errand, now).await {
            Ok((client, document)) => {
                let change = self.change(url, &client).await?;
                if change != DocumentChange::None {
                    tracing::warn!(oauth.client = %id, ?change, "a client's document has changed; what was built on the old one ends");
                }
                let ended = self.store.record_document(&id, &document.body, change, now).await?;
                self.tell(&id, change, ended).await;
                let until = now + lifetime(document.max_age, self.settings.cache_ttl);
                slot.put(Copy { value: Arc::new(client.clone()), until });
                Ok(client)
            }
            // A document that says something else now is what counts, also when it cannot be had afterwards.
            Err(refusal @ (DocumentRefusal::Invalid(_) | DocumentRefusal::NotAllowed(_))) => {
                slot.forget();
                self.store.refuse_document(&id, now).await?;
                Err(refusal)
            }
            Err(refusal) => match self.last_good(url, slot).await? {
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

    async fn fetch(
        &self,
        url: &DocumentUrl,
        errand: &Errand,
        now: Timestamp,
    ) -> Result<(Client, Document), DocumentRefusal> {
        let document = self.hosts.fetch(url.url(), self.settings.max_size, errand, now).await?;
        let client = client(url, ClientDocument::parse(url, &document.body)?);
        Ok((client, document))
    }

    /// Records what a document that changed has ended. It has happened, so nothing depends on it.
    async fn tell(&self, client: &ClientId, change: DocumentChange, ended: usize) {
        if change != DocumentChange::None {
            let _ = self.audit.record(Event::ClientChanged { client }).await;
        }
        if ended > 0 {
            let (client, reason) = (Some(client), "client_authentication_changed");
            let _ = self.audit.record(Event::GrantsRevoked { user: None, client, reason }).await;
        }
    }

    /// How a document that came now differs from the one that let its client in before.
    async fn change(&self, url: &DocumentUrl, new: &Client) -> Result<DocumentChange, StoreError> {
        let kept = self.store.find_document(&ClientId::new(url.url().as_str())).await?;
        let old = kept.and_then(|kept| ClientDocument::parse(url, &kept.body).ok()).map(|old| client(url, old));
        Ok(match old {
            Some(old) if old.authentication != new.authentication => DocumentChange::Authentication,
            Some(old) if destinations(&old) != destinations(new) => DocumentChange::Destinations,
            _ => DocumentChange::None,
        })
    }

    /// The last copy that let the client in, from memory or from the store.
    async fn last_good(&self, url: &DocumentUrl, slot: &Slot<Client>) -> Result<Option<Client>, StoreError> {
        if let Some(copy) = slot.last() {
            return Ok(Some(Client::clone(&copy)));
        }
        let kept = self.store.find_document(&ClientId::new(url.url().as_str())).await?;
        let good = kept.filter(|kept| !kept.is_refused);
        Ok(good.and_then(|kept| ClientDocument::parse(url, &kept.body).ok()).map(|document| client(url, document)))
    }
}

/// The schemes and hosts that people can be sent to.
fn destinations(client: &Client) -> BTreeSet<(String, String)> {
    let parsed = client.redirect_uris.iter().filter_map(|uri| Url::parse(uri).ok());
    parsed.map(|url| (url.scheme().to_owned(), url.host_str().unwrap_or_default().to_owned())).collect()
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
