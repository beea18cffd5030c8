//! Token revocation. [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::ClientRequest;
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::secret::Secret;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;

impl AuthorizationServer {
    /// Ends a token. A refresh token takes its grant with it, an access token goes alone. `token_type_hint` is not
    /// needed: the two look different. `None`: revocation is off, the endpoint does not exist.
    ///
    /// # Errors
    /// [`Refused`] when the client does not prove itself. A token that is unknown, or another client's, is no error
    /// (RFC 7009 §2.2): the answer then hides whether it exists.
    pub async fn revoke(&self, request: &ClientRequest<'_>) -> Option<Result<(), Refused>> {
        if !self.settings.revocation {
            return None;
        }
        Some(self.end(request).await)
    }

    async fn end(&self, request: &ClientRequest<'_>) -> Result<(), Refused> {
        let form = Parameters::parse(request.form)?;
        // RFC 7009 §2.1: the client's credentials are checked first, then whether the token was issued to it.
        let client = self.find_authenticated(&form, request).await?;
        let token = form.one("token")?.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "token is missing"))?;
        if let Some(found) = self.services.store.find_refresh(&Digest::of(&Secret::new(token))).await? {
            if found.grant.client_id == client.0.id {
                let event = Event::GrantRevoked { grant: &found.grant, reason: "by_its_client" };
                if self.services.store.revoke_grant(&found.grant.id, self.services.clock.now()).await? {
                    self.services.audit.record(event).await?;
                }
            }
            return Ok(());
        }
        match self.services.keys.verify(token) {
            Ok(claims) if claims.client_id == client.0.id => {
                self.services.store.revoke_access_token(&claims.jti, claims.expires_at).await?;
                let (user, grant) = (&claims.subject, &claims.grant);
                Ok(self
                    .services
                    .audit
                    .record(Event::AccessTokenRevoked { user, client: &claims.client_id, grant })
                    .await?)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
