//! `grant_type=authorization_code`. [RFC 6749 §4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3), [RFC 7636 §4.6](https://www.rfc-editor.org/rfc/rfc7636#section-4.6)

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::AuthenticatedClient;
use crate::authorization_server::error::Refused;
use crate::authorization_server::token::invalid_grant;
use crate::base::digest::Digest;
use crate::base::random;
use crate::base::secret::Secret;
use crate::model::authorization::AuthorizationCode;
use crate::model::grant::Redemption;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::pkce;
use crate::protocol::oauth::token_response::TokenResponse;
use crate::store::NewRefreshToken;

impl AuthorizationServer {
    pub(super) async fn redeem_authorization_code(
        &self,
        client: &AuthenticatedClient,
        form: &Parameters,
    ) -> Result<TokenResponse, Refused> {
        let missing = |name| Refused::new(ErrorCode::InvalidRequest, format!("{name} is missing"));
        let code = Digest::of(&Secret::new(form.one("code")?.ok_or_else(|| missing("code"))?));
        let verifier = form.one("code_verifier")?.ok_or_else(|| missing("code_verifier"))?;
        let bound = self.services.store.find_code(&code).await?.ok_or_else(|| invalid_grant("unknown code"))?;
        self.check_binding(&bound, client, verifier, form).map_err(|refused| refused.of(&bound.user))?;
        let user = self.services.identity.find_active(&bound.user).await?;
        let user = user.ok_or_else(|| invalid_grant("the user is gone or disabled").of(&bound.user))?;
        // A code cannot be given back.
        self.services.audit.check().await?;

        let now = self.services.clock.now();
        let refresh_token = client.0.grants.refresh_token.then(random::token);
        let stored = refresh_token.as_ref().map(|token| NewRefreshToken {
            digest: Digest::of(token),
            expires_at: now + self.settings.refresh.idle.min(self.settings.refresh.absolute),
        });
        // Spent before anything is minted: whoever comes second, however close, gets nothing, and a code that comes
        // back with everything right was stolen from one of the two, so what it gave is revoked (OAuth 2.1 §4.1.3).
        // Every check came before, so that a thief without the verifier cannot log the person out.
        match self.services.store.redeem_code(&code, stored, now).await? {
            Redemption::Granted(grant) => {
                self.services.audit.record(Event::Granted { grant: &grant, grant_type: "authorization_code" }).await?;
                self.issue(&grant, client.0.limit(grant.scopes.limited_to(&user.scopes)), refresh_token)
            }
            Redemption::Replayed(grant) => {
                tracing::warn!(oauth.grant = %grant, oauth.client = %bound.client_id, "an authorization code was redeemed twice; what it gave is revoked");
                let (user, client) = (&bound.user, &bound.client_id);
                self.services.audit.record(Event::CodeReplayed { grant: &grant, user, client }).await?;
                Err(invalid_grant("code replayed").of(user))
            }
            Redemption::Unknown => Err(invalid_grant("code expired").of(&bound.user)),
        }
    }

    fn check_binding(
        &self,
        bound: &AuthorizationCode,
        client: &AuthenticatedClient,
        verifier: &str,
        form: &Parameters,
    ) -> Result<(), Refused> {
        // RFC 6749 §4.1.3: the code was issued to the authenticated client.
        if bound.client_id != client.0.id {
            return Err(invalid_grant("code of another client").word("code_of_another_client"));
        }
        // OAuth 2.1 §10.2: redirect_uri may be left out; when it is sent it must be the one the code was sent to.
        if form.one("redirect_uri")?.is_some_and(|sent| sent != bound.redirect_uri) {
            return Err(invalid_grant("other redirect_uri"));
        }
        // RFC 7636 §4.6: if the values are not equal, invalid_grant MUST be returned.
        if !pkce::is_verifier(verifier) || !pkce::matches(verifier, &bound.code_challenge) {
            return Err(invalid_grant("wrong code_verifier").word("wrong_code_verifier"));
        }
        // RFC 8707 §2.2: the resource of the authorization request, or a subset; there is one.
        if self.check_resource(form)? != bound.resource {
            return Err(Refused::new(ErrorCode::InvalidTarget, "the code was issued for another resource"));
        }
        Ok(())
    }
}
