//! The userinfo endpoint. [OpenID Connect Core §5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo)

use serde_json::{Map, Value};
use url::Url;

use crate::base::secret::Secret;
use crate::identity::federated::http::{self, Http};
use crate::identity::federated::{Failure, Reason, id_token};

/// What the endpoint says of `subject`. `None`: it says it in a form that is not read here.
///
/// # Errors
/// [`Reason::Ended`]: the access token is not taken. [`Reason::Untrusted`]: it speaks of somebody else.
pub async fn ask(
    http: &Http,
    url: &Url,
    access_token: &Secret,
    subject: &str,
) -> Result<Option<Map<String, Value>>, Failure> {
    let answer = http.resource(url, access_token, "application/json").await?;
    match answer.status {
        200 => {}
        401 => return Err(Failure::new(Reason::Ended, "the userinfo endpoint does not take the access token")),
        status => return Err(http::unexpected(url, status)),
    }
    // §5.3.2: signed or encrypted, when the client was registered so.
    if answer.media_type == "application/jwt" {
        tracing::debug!("userinfo as a JWT is not read; register the client without userinfo_signed_response_alg");
        return Ok(None);
    }
    let claims = http::object(url, &answer.body)?;
    // §5.3.2: sub MUST be there, and MUST be verified to be exactly that of the ID token; otherwise the claims MUST NOT be used.
    let said = id_token::subject(&claims)
        .map_err(|cause| Failure::new(Reason::Unreachable, format!("userinfo says nothing of a person: {cause}")))?;
    if said != subject {
        return Err(Failure::new(Reason::Untrusted, "userinfo speaks of somebody else"));
    }
    Ok(Some(claims))
}
