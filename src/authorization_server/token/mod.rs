//! The token endpoint: a fixed list of phases that no grant can skip. [RFC 6749 §3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)
//!
//! Authenticate the client, find its grant type, check what the credential is bound to, spend the credential in the
//! store, and only then mint. What is answered is on disk.

mod authorization_code;
mod client_credentials;
mod issue;
mod refresh_token;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::authentication::ClientRequest;
use crate::authorization_server::error::Refused;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::token_response::TokenResponse;

impl AuthorizationServer {
    /// Answers a token request.
    ///
    /// # Errors
    /// [`Refused`] with a code of RFC 6749 §5.2 or RFC 8707 §2.
    pub async fn token(&self, request: &ClientRequest<'_>) -> Result<TokenResponse, Refused> {
        let form = Parameters::parse(request.form)?;
        let grant_type = form.one("grant_type")?;
        let grant_type = grant_type.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "grant_type is missing"))?;
        if !self.settings.grant_types.contains(&grant_type) {
            let text = format!("grant_type must be one of {}", self.settings.grant_types.join(", "));
            return Err(Refused::new(ErrorCode::UnsupportedGrantType, text));
        }
        let client = self.find_authenticated(&form, request).await?;
        match grant_type {
            "authorization_code" => self.redeem_authorization_code(&client, &form).await,
            "client_credentials" => self.act_alone(&client, &form).await,
            _ => self.refresh(&client, &form).await,
        }
    }
}

/// The one answer to every credential that does not work: which of its bindings failed is nobody's business.
fn invalid_grant(cause: &str) -> Refused {
    let public =
        Refused::new(ErrorCode::InvalidGrant, "the code or token is not valid, has expired, or was used before").public;
    Refused { public, cause: Some(cause.to_owned()) }
}
