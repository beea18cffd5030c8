//! Dynamic client registration. [RFC 7591 §3](https://www.rfc-editor.org/rfc/rfc7591#section-3)

use serde_json::{Value, json};

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::random;
use crate::base::secret::Secret;
use crate::model::client::RegisteredClient;
use crate::protocol::oauth::client_metadata::{AcceptedMetadata, ClientMetadata};
use crate::protocol::oauth::error::{ErrorCode, OauthError};

/// A client that was just registered, with its secret, which is never seen again.
#[derive(Debug)]
pub struct Registered {
    /// The client.
    pub client: RegisteredClient,
    /// `client_secret`, when it asked for one.
    pub secret: Option<Secret>,
}

impl AuthorizationServer {
    /// Registers a client. `None`: registration is off, the endpoint does not exist.
    ///
    /// # Errors
    /// `invalid_client_metadata`, `invalid_redirect_uri`; `temporarily_unavailable` when every place is taken by a
    /// client in use.
    pub async fn register(&self, body: &[u8]) -> Option<Result<Registered, Refused>> {
        let bounds = self.settings.client_bounds?;
        let result = async {
            let accepted = ClientMetadata::parse(body)?.accept(&self.settings.scopes_supported)?;
            self.check_redirect_uris(&accepted)?;
            let registered = self.make_client(accepted);
            let now = self.services.clock.now();
            if self.services.store.add_client(registered.client.clone(), bounds, now).await? {
                self.services.audit.record(Event::ClientAdded { client: &registered.client.id }).await?;
                return Ok(registered);
            }
            let text = "no more clients can be registered here; the operator can raise registration.max_clients";
            Err(Refused::new(ErrorCode::TemporarilyUnavailable, text))
        };
        Some(result.await)
    }

    fn check_redirect_uris(&self, accepted: &AcceptedMetadata) -> Result<(), Refused> {
        for uri in &accepted.redirect_uris {
            let checked = self.settings.redirect_uris.check(uri);
            checked.map_err(|fault| OauthError::new(ErrorCode::InvalidRedirectUri, fault.to_string()))?;
        }
        Ok(())
    }

    fn make_client(&self, accepted: AcceptedMetadata) -> Registered {
        let secret = accepted.wants_secret.then(random::token);
        let client = RegisteredClient {
            id: ClientId::new(random::identifier()),
            name: accepted.name,
            redirect_uris: accepted.redirect_uris,
            secret: secret.as_ref().map(Digest::of),
            may_refresh: accepted.may_refresh,
            metadata: accepted.echo,
            registered_at: self.services.clock.now(),
            last_granted_at: None,
        };
        Registered { client, secret }
    }
}

impl Registered {
    /// The 201 body: everything registered (RFC 7591 §3.2.1).
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut body = self.client.metadata.clone();
        body.insert("client_id".to_owned(), self.client.id.as_str().into());
        body.insert("client_id_issued_at".to_owned(), self.client.registered_at.unix().into());
        if let Some(secret) = &self.secret {
            body.insert("client_secret".to_owned(), secret.expose().into());
            // RFC 7591 §3.2.1: REQUIRED if client_secret is issued; 0 for one that does not expire.
            body.insert("client_secret_expires_at".to_owned(), json!(0));
        }
        Value::Object(body).to_string()
    }
}
