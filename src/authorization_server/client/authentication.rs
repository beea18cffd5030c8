//! Client authentication: `none`, `client_secret_basic`, `client_secret_post`. [RFC 6749 §2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::secret::Secret;
use crate::model::client::Client;
use crate::protocol::oauth::error::ErrorCode;
use crate::protocol::oauth::parameters::Parameters;

/// A client that has shown who it is: what the grants demand, so that none can skip it.
#[derive(Debug)]
pub struct AuthenticatedClient(pub(in crate::authorization_server) Client);

struct Credentials {
    id: ClientId,
    secret: Option<Secret>,
}

impl AuthorizationServer {
    /// Finds the client of a token or revocation request and checks its secret.
    ///
    /// # Errors
    /// `invalid_client` when it is not known or does not prove itself: the word that makes clients register anew.
    /// `invalid_request` when the credentials come twice or not at all.
    pub(in crate::authorization_server) async fn find_authenticated(
        &self,
        form: &Parameters,
        authorization: Option<&str>,
    ) -> Result<AuthenticatedClient, Refused> {
        let credentials = credentials(form, authorization)?;
        let found = self.services.store.find_client(&credentials.id).await?;
        let client =
            found.ok_or_else(|| Refused::new(ErrorCode::InvalidClient, "this client is not registered here"))?;
        let proven = match (&client.secret, &credentials.secret) {
            (None, None) => true,
            // Both are digests of 256 random bits: comparing them tells nothing about the secret.
            (Some(digest), Some(secret)) => *digest == Digest::of(secret),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if proven {
            Ok(AuthenticatedClient(client))
        } else {
            Err(Refused::new(ErrorCode::InvalidClient, "client authentication failed"))
        }
    }
}

fn credentials(form: &Parameters, authorization: Option<&str>) -> Result<Credentials, Refused> {
    let id = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    let Some(header) = authorization else {
        let id = id.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "client_id is missing"))?;
        return Ok(Credentials { id: ClientId::new(id), secret: secret.map(Secret::new) });
    };
    let basic = basic(header)
        .ok_or_else(|| Refused::new(ErrorCode::InvalidClient, "the Authorization header is not HTTP Basic"))?;
    // RFC 6749 §2.3: the client MUST NOT use more than one authentication method in each request.
    if secret.is_some() || id.is_some_and(|id| id != basic.id.as_str()) {
        return Err(Refused::new(ErrorCode::InvalidRequest, "client credentials were sent in two ways"));
    }
    Ok(basic)
}

/// RFC 6749 §2.3.1: both parts are form-encoded first. Ours are of an alphabet that this leaves as it is.
fn basic(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let secret = (!secret.is_empty()).then(|| Secret::new(secret));
    (!id.is_empty()).then(|| Credentials { id: ClientId::new(id), secret })
}
