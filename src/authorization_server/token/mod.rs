//! The token endpoint: a fixed list of phases that no grant can skip. [RFC 6749 §3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)
//!
//! Authenticate the client, find its grant type, check what the credential is bound to, spend the credential in the
//! store, and only then mint. What is answered is on disk.

mod authorization_code;
mod client_credentials;
mod enterprise;
mod issue;
mod refresh_token;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::{AuthenticatedClient, ClientRequest};
use crate::authorization_server::error::Refused;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::grant_type;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::token_response::TokenResponse;

impl AuthorizationServer {
    /// Answers a token request.
    ///
    /// # Errors
    /// [`Refused`] with a code of RFC 6749 §5.2 or RFC 8707 §2.
    pub async fn token(&self, request: &ClientRequest<'_>) -> Result<TokenResponse, Refused> {
        let form = Parameters::parse(request.form)?;
        // RFC 6749 §3.2: parameters MUST NOT be included more than once. RFC 8707 §2 lets `resource`, and names the answer.
        if form.repeats_beside("resource") {
            return Err(Refused::new(ErrorCode::InvalidRequest, "a parameter was sent more than once"));
        }
        let sent = form.one("grant_type")?;
        let sent = sent.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "grant_type is missing"))?;
        if !self.settings.grant_types.contains(&sent) {
            let text = format!("grant_type must be one of {}", self.settings.grant_types.join(", "));
            return Err(Refused::new(ErrorCode::UnsupportedGrantType, text));
        }
        // What a refresh is about is read before the client has proven itself, and looked at after: one hand-over to the store.
        let mut presented = self.find_presented(sent, &form).await?;
        let read = presented.as_mut().and_then(|presented| presented.stored.client.take());
        let client = self.find_authenticated_read(&form, request, read).await?;
        self.redeem(sent, &client, (&form, presented)).await.map_err(|refused| refused.by(&client.0.id))
    }

    async fn redeem(
        &self,
        sent: &str,
        client: &AuthenticatedClient,
        (form, presented): (&Parameters, Option<Presented>),
    ) -> Result<TokenResponse, Refused> {
        // RFC 6749 §5.2: unauthorized_client.
        if !client.0.grants.allow(sent) {
            return Err(Refused::new(ErrorCode::UnauthorizedClient, "this client may not use this grant_type"));
        }
        match sent {
            grant_type::AUTHORIZATION_CODE => self.redeem_authorization_code(client, form).await,
            grant_type::CLIENT_CREDENTIALS => self.act_alone(client, form).await,
            grant_type::JWT_BEARER => self.redeem_assertion(client, form).await,
            _ => self.refresh(client, form, presented).await,
        }
    }
}

/// The one answer to every credential that does not work: which of its bindings failed is nobody's business.
fn invalid_grant(cause: &str) -> Refused {
    let public =
        Refused::new(ErrorCode::InvalidGrant, "the code or token is not valid, has expired, or was used before").public;
    Refused::with_cause(public, cause)
}
