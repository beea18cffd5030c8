//! What the token endpoint answers. [RFC 6749 §5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)

use crate::base::secret::Secret;
use crate::protocol::oauth::scope::ScopeSet;

/// A successful token response. Deliberately not `Serialize`: tokens leave through [`TokenResponse::to_json`] alone.
#[derive(Clone, Debug)]
pub struct TokenResponse {
    /// `access_token`.
    pub access_token: Secret,
    /// `expires_in`, in seconds.
    pub expires_in: u64,
    /// `refresh_token`, for clients registered for that grant.
    pub refresh_token: Option<Secret>,
    /// `scope`: always said, because it may be less than was asked.
    pub scope: ScopeSet,
}

impl TokenResponse {
    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut body = serde_json::json!({
            "access_token": self.access_token.expose(),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": self.scope.to_string(),
        });
        if let (Some(refresh_token), Some(members)) = (&self.refresh_token, body.as_object_mut()) {
            members.insert("refresh_token".to_owned(), refresh_token.expose().into());
        }
        body.to_string()
    }
}
