//! From a `client_id` to the client: one door, whatever way it came.

use crate::authorization_server::AuthorizationServer;
use crate::base::id::ClientId;
use crate::config::section::{StaticAuthentication, StaticClient};
use crate::model::client::{Authentication, Client, GrantTypes, Origin};
use crate::store::StoreError;

impl AuthorizationServer {
    /// The client of this identifier: of the configuration, or one that registered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(in crate::authorization_server) async fn find_client(
        &self,
        id: &ClientId,
    ) -> Result<Option<Client>, StoreError> {
        if let Some(client) = self.settings.clients.get(id) {
            return Ok(Some(client.clone()));
        }
        Ok(self.services.store.find_client(id).await?.map(Client::from))
    }
}

/// A client of the configuration.
pub(in crate::authorization_server) fn configured(section: &StaticClient) -> Client {
    Client {
        id: ClientId::new(&section.client_id),
        origin: Origin::Configured { skip_consent: section.skip_consent },
        name: section.name.clone(),
        redirect_uris: section.redirect_uris.clone(),
        authentication: match &section.authentication {
            StaticAuthentication::None => Authentication::None,
            StaticAuthentication::Secret(digest) => Authentication::Secret(*digest),
            StaticAuthentication::Keys(keys) => Authentication::PrivateKey(keys.clone()),
        },
        grants: GrantTypes { refresh_token: section.may_refresh, client_credentials: section.acts_alone },
        scopes: section.scopes.clone(),
    }
}
