//! `grant_type=client_credentials`: a client acts for itself. [RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::{AuthenticatedClient, Confidence};
use crate::authorization_server::error::Refused;
use crate::base::id::{GrantId, UserId};
use crate::base::random;
use crate::model::grant::Grant;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::scope::ScopeSet;
use crate::protocol::oauth::token_response::TokenResponse;

const NOT_ALLOWED: &str = "this client may not use client_credentials";

impl AuthorizationServer {
    pub(super) async fn act_alone(
        &self,
        client: &AuthenticatedClient,
        form: &Parameters,
    ) -> Result<TokenResponse, Refused> {
        let AuthenticatedClient(client, confidence) = client;
        // RFC 6749 §4.4: MUST only be used by confidential clients. The configuration sees to that; this does not rely on it.
        if *confidence == Confidence::Claimed {
            return Err(Refused::new(ErrorCode::UnauthorizedClient, NOT_ALLOWED));
        }
        let grant = Grant {
            id: GrantId::new(random::identifier()),
            user: UserId::of_client(&client.id),
            client_id: client.id.clone(),
            resource: self.check_resource(form)?,
            scopes: self.own_scopes(client.scopes.as_ref(), form)?,
            created_at: self.services.clock.now(),
            revoked_at: None,
        };
        let enrolled = client.enrolled().ok_or_else(|| Refused::new(ErrorCode::UnauthorizedClient, NOT_ALLOWED))?;
        // On disk before anything is minted, so that it can be revoked like any other.
        if !self.services.store.add_grant(grant.clone(), enrolled).await? {
            tracing::warn!(client = %client.id, "a client was refused that is another in the configuration that came into force on this store last, by a reload or a start of another bridge; if that was taken back, restart this one");
            return Err(Refused::new(ErrorCode::InvalidClient, "client authentication failed").word("configured_anew"));
        }
        self.services.audit.record(Event::Granted { grant: &grant, grant_type: "client_credentials" }).await?;
        // RFC 6749 §4.4.3: a refresh token SHOULD NOT be included.
        self.issue(&grant, grant.scopes.clone(), None)
    }

    /// What it asks for, within what the operator gave it; all of that when it asks for nothing in particular.
    fn own_scopes(&self, given: Option<&ScopeSet>, form: &Parameters) -> Result<ScopeSet, Refused> {
        let given = given.cloned().unwrap_or_default();
        let asked = self.known_scopes(form)?;
        let scopes = if asked.is_empty() { given } else { asked.limited_to(&given) };
        match scopes.is_empty() {
            true => Err(Refused::new(ErrorCode::InvalidScope, "this client was given none of these scopes")),
            false => Ok(scopes),
        }
    }
}
