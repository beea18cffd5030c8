//! What a client does with its registration later. [RFC 7592](https://www.rfc-editor.org/rfc/rfc7592)

use serde::Deserialize;
use serde_json::Value;

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::registration::{Registered, RegistrationFault, authentication};
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::secret::Secret;
use crate::model::client::{Authentication, RegisteredClient};
use crate::protocol::oauth::client_metadata::{AcceptedProof, ClientMetadata};
use crate::protocol::oauth::error::ErrorCode;

/// What of an update is no metadata (RFC 7592 §2.2). What else the client must not send there is not looked at: many send back
/// everything that they were sent.
#[derive(Deserialize)]
struct Identity {
    client_id: Option<String>,
    client_secret: Option<String>,
}

impl AuthorizationServer {
    /// What the client registered (RFC 7592 §2.1). Its secret is not there: only a digest is kept.
    ///
    /// # Errors
    /// [`RegistrationFault`].
    pub async fn read_registration(&self, id: &str, token: Option<&str>) -> Result<Registered, RegistrationFault> {
        let (client, token) = self.find_managed(id, token).await?;
        let management = self.management(&client.id, token);
        Ok(Registered { client, secret: None, management: Some(management) })
    }

    /// Replaces what the client registered (RFC 7592 §2.2).
    ///
    /// # Errors
    /// [`RegistrationFault`].
    pub async fn update_registration(
        &self,
        id: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> Result<Registered, RegistrationFault> {
        let (before, token) = self.find_managed(id, token).await?;
        let mut metadata = ClientMetadata::parse(body)?;
        // Deviation: RFC 7592 §2.2 lets what is left out go to its default. No update weakens a client without saying so.
        if metadata.token_endpoint_auth_method.is_none() {
            let method = before.metadata.get("token_endpoint_auth_method").and_then(Value::as_str);
            metadata.token_endpoint_auth_method = method.map(str::to_owned);
        }
        let shown = check_identity(&before, body)?;
        let accepted = self.accept(metadata).map_err(|refused| refused.by(&before.id))?;
        let (authentication, secret) = match (&accepted.proof, &before.authentication) {
            // RFC 7592 §2.2: MUST NOT be overwritten by one of the client's choice; it keeps the one that it has.
            (AcceptedProof::Secret, Authentication::Secret(digest)) => (Authentication::Secret(*digest), shown),
            _ => authentication(accepted.proof),
        };
        let client = RegisteredClient {
            name: accepted.name,
            redirect_uris: accepted.redirect_uris,
            authentication,
            may_refresh: accepted.may_refresh,
            metadata: accepted.echo,
            // Who has changed it is not to be taken for one who sends what it was.
            fingerprint: None,
            ..before
        };
        self.services.audit.check().await?;
        let ended = self.services.store.update_client(client.clone(), self.services.clock.now()).await?;
        let ended = ended.ok_or_else(gone)?;
        let recorded = self.services.audit.record(Event::ClientChanged { client: &client.id }).await;
        if ended > 0 {
            let (client, reason) = (Some(&client.id), "client_authentication_changed");
            self.services.audit.record(Event::GrantsRevoked { user: None, client, reason }).await?;
        }
        recorded?;
        let management = self.management(&client.id, token);
        Ok(Registered { client, secret, management: Some(management) })
    }

    /// Removes the client and all that it was granted (RFC 7592 §2.3).
    ///
    /// # Errors
    /// [`RegistrationFault`].
    pub async fn remove_registration(&self, id: &str, token: Option<&str>) -> Result<(), RegistrationFault> {
        let (client, _) = self.find_managed(id, token).await?;
        if !self.services.store.remove_client(&client.id, client.management, self.services.clock.now()).await? {
            return Err(gone());
        }
        Ok(self.services.audit.record(Event::ClientRemoved { client: &client.id }).await?)
    }

    /// The client of this identifier, to whoever has its registration access token, and the token.
    async fn find_managed(
        &self,
        id: &str,
        token: Option<&str>,
    ) -> Result<(RegisteredClient, Secret), RegistrationFault> {
        self.client_bounds()?;
        let client = self.services.store.find_client(&ClientId::new(id)).await?;
        let known = client.as_ref().map(|client| client.id.clone());
        let refused = |reason, text| RegistrationFault::Unauthorized { text, reason, client: known };
        let Some(token) = token.map(Secret::new) else {
            return Err(refused("no_registration_access_token", "send the registration access token"));
        };
        // RFC 7592 §2: 401 too for a client that is not there; nobody learns which are.
        let managed = client.filter(|client| client.management == Some(Digest::of(&token)));
        let managed = managed.filter(|client| !self.has_expired(client));
        match managed {
            Some(client) => Ok((client, token)),
            None => Err(refused("wrong_registration_access_token", "no client is managed by this token")),
        }
    }
}

/// It was there a moment ago, and with this token.
fn gone() -> RegistrationFault {
    RegistrationFault::unauthorized("wrong_registration_access_token", "no client is managed by this token any more")
}

/// RFC 7592 §2.2: `client_id` MUST be there and be the client's, `client_secret` may be and must be its own. Gives the secret.
fn check_identity(client: &RegisteredClient, body: &[u8]) -> Result<Option<Secret>, Refused> {
    let refused = |text| Refused::new(ErrorCode::InvalidClientMetadata, text);
    let identity: Identity =
        serde_json::from_slice(body).map_err(|_| refused("client_id or client_secret is no text"))?;
    if identity.client_id.as_deref() != Some(client.id.as_str()) {
        return Err(refused("client_id must be that of the client"));
    }
    let shown = identity.client_secret.map(Secret::new);
    match (&shown, &client.authentication) {
        (None, _) => Ok(None),
        (Some(secret), Authentication::Secret(digest)) if Digest::of(secret) == *digest => Ok(shown),
        (Some(_), _) => Err(refused("client_secret is not the one that was issued")),
    }
}
