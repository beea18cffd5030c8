//! Token introspection. [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)

use serde_json::{Value, json};

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::{AuthenticatedClient, ClientRequest};
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::secret::Secret;
use crate::model::client::Origin;
use crate::model::grant::RefreshToken;
use crate::protocol::oauth::claims::AccessTokenClaims;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;

/// What a token is worth now.
#[derive(Debug)]
pub enum Introspection {
    /// It works.
    Access(Box<AccessTokenClaims>),
    /// It works.
    Refresh(Box<RefreshToken>),
    /// It does not, or is none of the asking client's business: which of the two is not told (RFC 7662 §2.2).
    Inactive,
}

impl AuthorizationServer {
    /// Says what a token is worth to the client that asks. `None`: introspection is off, the endpoint does not exist.
    ///
    /// # Errors
    /// [`Refused`] when the client does not prove itself, or the store cannot be read.
    pub async fn introspect(&self, request: &ClientRequest<'_>) -> Option<Result<Introspection, Refused>> {
        if !self.settings.introspection {
            return None;
        }
        Some(self.look_at(request).await)
    }

    async fn look_at(&self, request: &ClientRequest<'_>) -> Result<Introspection, Refused> {
        let form = Parameters::parse(request.form)?;
        // RFC 7662 §2.1: to prevent scanning, the endpoint MUST require authorization. The name of a public client is none.
        let client = self.find_confidential(&form, request).await?;
        let token = form.one("token")?.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "token is missing"))?;
        // `token_type_hint` is not needed: the two look different.
        if let Some(found) = self.services.store.find_refresh(&Digest::of(&Secret::new(token))).await? {
            return Ok(self.worth_of_refresh(&client, found));
        }
        Ok(self.worth_of_access(&client, token))
    }

    fn worth_of_access(&self, client: &AuthenticatedClient, token: &str) -> Introspection {
        let Ok(claims) = self.services.keys.verify(token) else { return Introspection::Inactive };
        let revoked = self.services.store.revoked();
        let may_ask = claims.client_id == client.0.id
            || matches!(client.0.origin, Origin::Configured { introspect_any: true, .. });
        // RFC 7662 §4: all that a resource server would check itself. The same lists are asked at /mcp.
        let works = claims.issuer == self.settings.issuer
            && self.services.clock.now() < claims.expires_at
            && !revoked.has_grant(&claims.grant)
            && !revoked.has_token(&claims.jti);
        if may_ask && works { Introspection::Access(Box::new(claims)) } else { Introspection::Inactive }
    }

    /// Of its own client alone: a resource server that were told of one, sent to it in place of an access token, would take
    /// it for one. A token that was rotated is not active, its successor is, although a retry is still answered.
    fn worth_of_refresh(&self, client: &AuthenticatedClient, token: RefreshToken) -> Introspection {
        let now = self.services.clock.now();
        let ends_at = token.expires_at.min(token.grant.created_at + self.settings.refresh.absolute);
        let works = token.grant.revoked_at.is_none() && !token.is_rotated && now < ends_at;
        if works && token.grant.client_id == client.0.id {
            return Introspection::Refresh(Box::new(token));
        }
        Introspection::Inactive
    }

    /// The answer (RFC 7662 §2.2).
    #[must_use]
    pub fn introspection_json(&self, introspection: &Introspection) -> Value {
        match introspection {
            Introspection::Access(claims) => json!({
                "active": true,
                "token_type": "Bearer",
                "scope": claims.scope,
                "client_id": claims.client_id,
                "sub": claims.subject,
                "aud": claims.audience,
                "iss": claims.issuer,
                "iat": claims.issued_at,
                "exp": claims.expires_at,
                "jti": claims.jti,
            }),
            Introspection::Refresh(token) => json!({
                "active": true,
                "scope": token.grant.scopes,
                "client_id": token.grant.client_id,
                "sub": token.grant.user,
                "aud": token.grant.resource,
                "iss": self.settings.issuer,
                "exp": token.expires_at.min(token.grant.created_at + self.settings.refresh.absolute),
            }),
            // RFC 7662 §2.2: SHOULD NOT include any additional information, also not why.
            Introspection::Inactive => json!({ "active": false }),
        }
    }
}
