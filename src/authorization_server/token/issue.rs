//! Minting: a JWT access token of [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068) and the answer around it.

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::error::Refused;
use crate::authorization_server::token::invalid_grant;
use crate::base::random;
use crate::base::secret::Secret;
use crate::model::grant::Grant;
use crate::protocol::oauth::claims::AccessTokenClaims;
use crate::protocol::oauth::scope::ScopeSet;
use crate::protocol::oauth::token_response::TokenResponse;

impl AuthorizationServer {
    /// Mints an access token of a grant for its one resource, with these scopes of it.
    pub(super) fn issue(
        &self,
        grant: &Grant,
        scope: ScopeSet,
        refresh_token: Option<Secret>,
    ) -> Result<TokenResponse, Refused> {
        if scope.is_empty() {
            return Err(invalid_grant("the user has none of the granted scopes any more"));
        }
        let now = self.services.clock.now();
        let claims = AccessTokenClaims {
            issuer: self.settings.issuer.clone(),
            subject: grant.user.clone(),
            audience: grant.resource.clone(),
            client_id: grant.client_id.clone(),
            scope: scope.clone(),
            jti: random::identifier(),
            issued_at: now,
            expires_at: now + self.settings.token_lifetime,
            grant: grant.id.clone(),
        };
        let access_token = self.services.keys.sign(&claims)?;
        Ok(TokenResponse { access_token, expires_in: self.settings.token_lifetime.as_secs(), refresh_token, scope })
    }
}
