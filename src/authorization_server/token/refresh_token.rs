//! `grant_type=refresh_token`, with rotation at every use. [OAuth 2.1 §4.3](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-v2-1#section-4.3)

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::AuthenticatedClient;
use crate::authorization_server::error::Refused;
use crate::authorization_server::token::invalid_grant;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, UserId};
use crate::base::secret::Secret;
use crate::identity::{ActiveUser, Standing};
use crate::model::grant::{Grant, Rotation};
use crate::model::user::User;
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::grant_type;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::scope::ScopeSet;
use crate::protocol::oauth::token_response::TokenResponse;
use crate::store::Refreshing;

/// The refresh token of a request, and what is stored of it.
pub(super) struct Presented {
    token: Secret,
    digest: Digest,
    pub(super) stored: Refreshing,
}

impl AuthorizationServer {
    /// The refresh token of a request with this grant type, if it has one.
    pub(super) async fn find_presented(&self, sent: &str, form: &Parameters) -> Result<Option<Presented>, Refused> {
        if sent != grant_type::REFRESH_TOKEN {
            return Ok(None);
        }
        let Some(token) = form.one("refresh_token")?.map(Secret::new) else { return Ok(None) };
        let digest = Digest::of(&token);
        // A client that names itself in another way is read when it is known which one it is.
        let client = ClientId::new(form.one("client_id")?.unwrap_or_default());
        let stored = self.services.store.find_refreshing(&digest, &client).await?;
        Ok(Some(Presented { token, digest, stored }))
    }

    pub(super) async fn refresh(
        &self,
        client: &AuthenticatedClient,
        form: &Parameters,
        presented: Option<Presented>,
    ) -> Result<TokenResponse, Refused> {
        let missing = || Refused::new(ErrorCode::InvalidRequest, "refresh_token is missing");
        let Presented { token, digest, stored } = presented.ok_or_else(missing)?;
        let bound = stored.token.ok_or_else(|| invalid_grant("unknown refresh token"))?.grant;
        // OAuth 2.1 §4.3.1: bound to the client it was issued to. The owner's token still works.
        if bound.client_id != client.0.id {
            return Err(invalid_grant("refresh token of another client")
                .word("refresh_token_of_another_client")
                .of(&bound.user));
        }
        // Codex and older rmcp refresh without resource: it is then the one of the grant.
        if self.check_resource(form)? != bound.resource {
            let text = "the refresh token was issued for another resource";
            return Err(Refused::new(ErrorCode::InvalidTarget, text).of(&bound.user));
        }
        let asked = self.narrower_scopes(&bound, form).map_err(|refused| refused.of(&bound.user))?;
        let now = self.services.clock.now();
        let user = self.standing(&bound.user, stored.user, now).await?;
        // The successor is derived, not drawn, so that every racing or repeated request gets the same one although
        // only its digest is kept. Deriving takes a key that is not in the database.
        let successor = self.services.keys.derive("refresh-successor", &[token.expose().as_bytes()]);
        let rotation =
            self.services.store.rotate_refresh(&digest, Digest::of(&successor), self.settings.refresh, now).await?;
        let grant = match rotation {
            Rotation::Rotated(grant) => grant,
            Rotation::Repeated { grant, successor: stored } if stored == Digest::of(&successor) => {
                self.services.audit.record(Event::RefreshRepeated { grant: &grant }).await?;
                grant
            }
            Rotation::Repeated { .. } => {
                return Err(invalid_grant("rotated under another derivation key").of(&bound.user));
            }
            Rotation::Reused(grant) => {
                tracing::warn!(oauth.grant = %grant, oauth.client = %bound.client_id, "a refresh token was used again after its grace period; its grant is revoked");
                self.services.audit.record(Event::RefreshReused { grant: &bound }).await?;
                return Err(invalid_grant("refresh token reused").of(&bound.user));
            }
            Rotation::Unknown => return Err(invalid_grant("refresh token expired or revoked").of(&bound.user)),
        };
        // OAuth 2.1 §4.3.3: the new refresh token keeps the whole scope; this access token may have less.
        self.issue(&grant, client.0.limit(asked.limited_to(&user.scopes)), Some(successor))
    }

    /// The user, if the grant may go on; somebody from a provider who is no longer let in loses every grant.
    async fn standing(&self, user: &UserId, stored: Option<User>, now: Timestamp) -> Result<ActiveUser, Refused> {
        match self.services.identity.confirm_read(user, stored, now).await? {
            Standing::Active(user) => Ok(user),
            Standing::Ended(cause) => {
                self.services.store.revoke_grants_of(user, now).await?;
                let event = Event::GrantsRevoked { user: Some(user), client: None, reason: "user_not_let_in_any_more" };
                self.services.audit.record(event).await?;
                Err(invalid_grant(&cause).of(user))
            }
            Standing::Unknown(cause) => {
                let text = "the identity provider cannot be asked now; try again later";
                let public = OauthError::new(ErrorCode::TemporarilyUnavailable, text);
                Err(Refused::with_cause(public, cause))
            }
        }
    }

    /// OAuth 2.1 §4.3.1: no more than was granted; all of it when nothing in particular is asked for.
    fn narrower_scopes(&self, grant: &Grant, form: &Parameters) -> Result<ScopeSet, Refused> {
        let known = self.known_scopes(form)?;
        match known.is_empty() {
            true => Ok(grant.scopes.clone()),
            false if grant.scopes.allows_all(&known) => Ok(known),
            false => {
                let text = "more scope than was granted; send the person through authorization again";
                Err(Refused::new(ErrorCode::InvalidScope, text))
            }
        }
    }
}
