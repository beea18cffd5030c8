//! `private_key_jwt`: a client proves itself by a signed JWT. [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3)

use std::net::IpAddr;

use serde::Deserialize;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::assertion::{Audience, Validity};
use crate::authorization_server::client::ResolveFault;
use crate::authorization_server::client::documents::{DocumentRefusal, Wanted};
use crate::authorization_server::error::Refused;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::secret::Secret;
use crate::identity::throttle::AddressKey;
use crate::keys::{ForeignTokenFault, KeySet, Verified, unverified_payload};
use crate::protocol::oauth::client_keys::KeySource;
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::parameters::Parameters;

/// `client_assertion_type` (RFC 7523 §2.2).
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client assertion whose signature was not checked yet.
pub(super) struct Assertion {
    /// Whom it claims to be of.
    pub subject: ClientId,
    token: Secret,
}

/// RFC 7523 §3. What else stands there means nothing here.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    jti: String,
    #[serde(flatten)]
    validity: Validity,
}

/// What of it is read before the signature: who is to be looked up.
#[derive(Deserialize)]
struct Subject {
    sub: String,
}

/// The assertion of a request, if there is one.
pub(super) fn read(form: &Parameters) -> Result<Option<Assertion>, Refused> {
    let Some(token) = form.one("client_assertion")? else {
        return match form.one("client_assertion_type")? {
            Some(_) => Err(Refused::new(ErrorCode::InvalidRequest, "client_assertion is missing")),
            None => Ok(None),
        };
    };
    if form.one("client_assertion_type")? != Some(TYPE) {
        return Err(Refused::new(ErrorCode::InvalidRequest, format!("client_assertion_type must be {TYPE}")));
    }
    let subject: Option<Subject> = unverified_payload(token).and_then(|payload| serde_json::from_slice(&payload).ok());
    let subject = subject.ok_or_else(|| refused("it is no JWT with a subject"))?;
    Ok(Some(Assertion { subject: ClientId::new(subject.sub), token: Secret::new(token) }))
}

impl AuthorizationServer {
    /// Checks the assertion of a client whose public keys are `keys`, which came from `address`, and spends it.
    ///
    /// # Errors
    /// `invalid_client`: it is not this client's, not for us, not for now, or was used before.
    pub(super) async fn check_assertion(
        &self,
        client: &ClientId,
        keys: &KeySource,
        assertion: &Assertion,
        address: IpAddr,
    ) -> Result<(), Refused> {
        let verified = match keys {
            KeySource::Inline(keys) => {
                let keys = KeySet::parse(keys.as_bytes()).map_err(|fault| refused(&format!("its keys: {fault}")))?;
                keys.verify(assertion.token.expose()).map_err(wrong)?
            }
            KeySource::Url(url) => {
                let wanted = Wanted { url, client, asker: AddressKey::of(address) };
                self.verify_with_keys_elsewhere(wanted, assertion).await?
            }
        };
        let claims: Claims =
            serde_json::from_slice(&verified.payload).map_err(|fault| refused(&format!("its claims: {fault}")))?;
        let now = self.services.clock.now();
        let expires_at = self.check_claims(client, &claims, now).map_err(refused)?;
        // Spent last: whoever changed a copy of it on the way cannot use it up. RFC 7523 §3, 7: `jti` once.
        let spent = Digest::of_bytes(claims.jti.as_bytes());
        match self.services.store.spend_assertion(client, &spent, expires_at, now).await? {
            true => Ok(()),
            false => Err(refused("its jti was used before").word("client_assertion_replayed")),
        }
    }

    async fn verify_with_keys_elsewhere(&self, wanted: Wanted<'_>, assertion: &Assertion) -> Result<Verified, Refused> {
        let token = assertion.token.expose();
        let (key_sets, now) = (&self.services.elsewhere.key_sets, self.services.clock.now());
        let unavailable = |refusal: DocumentRefusal| Refused::from(ResolveFault::Document(refusal));
        let used = key_sets.find(wanted, None, now).await.map_err(unavailable)?;
        let used = used.ok_or_else(|| refused("it has no keys"))?;
        match used.verify(token) {
            // RFC 7517 §5: a key that is not there may have come since.
            Err(ForeignTokenFault::UnknownKey(kid)) => match key_sets.find(wanted, Some(&used), now).await {
                Ok(Some(newer)) => newer.verify(token).map_err(wrong),
                Ok(None) => Err(wrong(ForeignTokenFault::UnknownKey(kid))),
                Err(refusal) => Err(unavailable(refusal)),
            },
            verified => verified.map_err(wrong),
        }
    }

    /// Gives the time until which its `jti` must be remembered.
    fn check_claims(&self, client: &ClientId, claims: &Claims, now: Timestamp) -> Result<Timestamp, &'static str> {
        // RFC 7523 §3, 2: for client authentication the subject MUST be the client_id; so is the issuer.
        if claims.sub != client.as_str() || claims.iss != client.as_str() {
            return Err("iss and sub are not both the client_id");
        }
        let expires_at = claims.validity.check(now)?;
        if claims.jti.is_empty() || !self.is_audience(&claims.aud) {
            return Err("its audience is not this issuer alone, or it has no jti");
        }
        Ok(expires_at)
    }

    /// RFC 7523 §3, 3: it MUST name this server. The issuer is what newer clients name, the token endpoint what older ones do.
    fn is_audience(&self, audience: &Audience) -> bool {
        let issuer = &self.settings.issuer;
        let is_ours = |one: &str| {
            one == issuer || one.strip_suffix('/') == Some(issuer) || *one == format!("{issuer}/oauth/token")
        };
        audience.only().is_some_and(is_ours)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what an error is mapped with")]
fn wrong(fault: ForeignTokenFault) -> Refused {
    refused(&fault.to_string())
}

/// `invalid_client`, with what was wrong for the log alone.
pub(super) fn refused(cause: &str) -> Refused {
    let public = OauthError::new(ErrorCode::InvalidClient, "client authentication failed");
    Refused::with_cause(public, format!("client assertion: {cause}")).word("client_assertion_refused")
}
