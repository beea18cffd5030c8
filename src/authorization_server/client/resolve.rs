//! From a `client_id` to the client: one door, whatever way it came.

use std::net::IpAddr;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::documents::DocumentRefusal;
use crate::authorization_server::error::Refused;
use crate::base::id::ClientId;
use crate::config::section::{StaticAuthentication, StaticClient};
use crate::identity::throttle::AddressKey;
use crate::model::client::{Authentication, Client, GrantTypes, Origin, RegisteredClient};
use crate::protocol::oauth::client_document::DocumentUrl;
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::store::StoreError;

impl AuthorizationServer {
    /// The client of this identifier: of the configuration, with a document at an address, or one that registered. `asker`: from
    /// where somebody names it; without, no document is fetched that was not let in before.
    ///
    /// # Errors
    /// Its document lets nobody in, or the store cannot be read.
    pub(in crate::authorization_server) async fn find_client(
        &self,
        id: &ClientId,
        asker: Option<IpAddr>,
    ) -> Result<Option<Client>, ResolveFault> {
        if let Some(client) = self.settings.clients.get(id) {
            return Ok(Some(client.clone()));
        }
        if DocumentUrl::is_address(id.as_str()) {
            let Some(documents) = &self.services.elsewhere.documents else { return Ok(None) };
            return match documents.find(id, asker.map(AddressKey::of), self.services.clock.now()).await {
                Ok(client) => Ok(Some(client)),
                Err(DocumentRefusal::Store(error)) => Err(error.into()),
                Err(refusal) => Err(ResolveFault::Document(refusal)),
            };
        }
        Ok(self.unexpired(self.services.store.find_client(id).await?))
    }

    /// The same for a caller who has read from the store, together with other things, what may be this client.
    ///
    /// # Errors
    /// As [`AuthorizationServer::find_client`].
    pub(super) async fn find_client_read(
        &self,
        id: &ClientId,
        read: Option<RegisteredClient>,
        asker: Option<IpAddr>,
    ) -> Result<Option<Client>, ResolveFault> {
        // Nobody can register under a name of the configuration, or an address; should there be one, it is not asked for.
        let is_registered = !self.settings.clients.contains_key(id) && !DocumentUrl::is_address(id.as_str());
        match read.filter(|client| is_registered && client.id == *id) {
            Some(client) => Ok(self.unexpired(Some(client))),
            None => self.find_client(id, asker).await,
        }
    }

    fn unexpired(&self, registered: Option<RegisteredClient>) -> Option<Client> {
        registered.filter(|client| !self.has_expired(client)).map(Client::from)
    }

    /// Whether a client that registered was not used in time; it is removed at the next opportunity.
    pub(super) fn has_expired(&self, client: &RegisteredClient) -> bool {
        let bounds = self.settings.client_bounds;
        let ends_at = bounds.map(|bounds| client.registered_at + bounds.unused_expiry);
        let expires = client.last_granted_at.is_none() && !client.by_operator;
        expires && ends_at.is_some_and(|ends_at| ends_at <= self.services.clock.now())
    }
}

impl AuthorizationServer {
    /// The same from what is known here already, without asking the client's server.
    pub(in crate::authorization_server) async fn find_known_client(
        &self,
        id: &ClientId,
    ) -> Result<Option<Client>, StoreError> {
        if let Some(client) = self.settings.clients.get(id) {
            return Ok(Some(client.clone()));
        }
        match (DocumentUrl::parse(id.as_str()), &self.services.elsewhere.documents) {
            (Ok(url), Some(documents)) => documents.find_known(&url).await,
            (Ok(_), None) => Ok(None),
            (Err(_), _) => Ok(self.services.store.find_client(id).await?.map(Client::from)),
        }
    }
}

/// Why it cannot be said who a client is.
#[derive(Debug, thiserror::Error)]
pub enum ResolveFault {
    /// Its document.
    #[error(transparent)]
    Document(DocumentRefusal),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ResolveFault> for Refused {
    /// A document that cannot be had now is worth another try; a client keeps what it has on `temporarily_unavailable`.
    fn from(fault: ResolveFault) -> Self {
        let refusal = match fault {
            ResolveFault::Store(error) => return error.into(),
            ResolveFault::Document(refusal) => refusal,
        };
        let (code, text) = match refusal {
            DocumentRefusal::Unreachable(_)
            | DocumentRefusal::TooOften
            | DocumentRefusal::Busy
            | DocumentRefusal::Unknown
            | DocumentRefusal::Store(_) => (
                ErrorCode::TemporarilyUnavailable,
                "the client's metadata document, or its keys, cannot be fetched now; try again later",
            ),
            DocumentRefusal::Invalid(_) | DocumentRefusal::NotAllowed(_) => {
                (ErrorCode::InvalidClient, "the client's metadata document, or its key set, is not accepted here")
            }
        };
        let refused = Self::with_cause(OauthError::new(code, text), refusal.to_string());
        if code == ErrorCode::InvalidClient { refused.word("client_document_refused") } else { refused }
    }
}

/// A client of the configuration.
#[must_use]
pub fn configured(section: &StaticClient) -> Client {
    Client {
        id: ClientId::new(&section.client_id),
        origin: Origin::Configured { skip_consent: section.skip_consent, introspect_any: section.introspect_any },
        name: section.name.clone(),
        redirect_uris: section.redirect_uris.clone(),
        authentication: match &section.authentication {
            StaticAuthentication::None => Authentication::None,
            StaticAuthentication::Secret(digest) => Authentication::Secret(*digest),
            StaticAuthentication::Keys(keys) => Authentication::PrivateKey { keys: keys.clone(), is_optional: false },
        },
        grants: GrantTypes {
            authorization_code: section.asks_people,
            refresh_token: section.may_refresh,
            client_credentials: section.acts_alone,
            jwt_bearer: section.has_assertions,
        },
        scopes: section.scopes.clone(),
    }
}
