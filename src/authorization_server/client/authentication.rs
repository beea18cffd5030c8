//! Client authentication: `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`. [RFC 6749 §2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3)

use std::net::IpAddr;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::client::assertion::{self, Assertion};
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::model::client::{Authentication, Client, RegisteredClient};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::parameters::{self, Parameters};

/// What a client sends to an endpoint where it says who it is. No `Debug`: it is full of secrets.
#[derive(Clone, Copy)]
pub struct ClientRequest<'a> {
    /// The body, form-encoded.
    pub form: &'a [u8],
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Where it comes from; guessing is slowed for each address apart.
    pub address: IpAddr,
}

/// A client that has shown who it is: what the grants demand, so that none can skip it.
#[derive(Debug)]
pub struct AuthenticatedClient(
    pub(in crate::authorization_server) Client,
    pub(in crate::authorization_server) Confidence,
);

/// What a client has shown in this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authorization_server) enum Confidence {
    /// Nothing: a public client, or one that may come without its proof and did. Anybody could be it.
    Claimed,
    /// A secret or a key.
    Proven,
}

struct Credentials {
    id: ClientId,
    proof: Proof,
}

enum Proof {
    None,
    /// Either of them: as it came, and as it would be if it had been form-encoded.
    Secret(Secret, Secret),
    Assertion(Assertion),
}

impl AuthorizationServer {
    /// Finds the client of a token or revocation request and checks its proof.
    ///
    /// # Errors
    /// `invalid_client` when it is not known or does not prove itself: the word that makes clients register anew.
    /// `invalid_request` when the credentials come twice or not at all. `slow_down` when too many proofs were wrong.
    pub(in crate::authorization_server) async fn find_authenticated(
        &self,
        form: &Parameters,
        request: &ClientRequest<'_>,
    ) -> Result<AuthenticatedClient, Refused> {
        self.find_authenticated_read(form, request, None).await
    }

    /// The same, with a registered client that was read before its proof was looked at. It may be another one.
    ///
    /// # Errors
    /// As [`AuthorizationServer::find_authenticated`].
    pub(in crate::authorization_server) async fn find_authenticated_read(
        &self,
        form: &Parameters,
        request: &ClientRequest<'_>,
        read: Option<RegisteredClient>,
    ) -> Result<AuthenticatedClient, Refused> {
        self.authenticate(credentials(form, request.authorization)?, request.address, read).await
    }

    /// The same of a client that has something to prove itself with: what anybody may say of itself is not enough.
    ///
    /// # Errors
    /// As [`AuthorizationServer::find_authenticated`].
    pub(in crate::authorization_server) async fn find_confidential(
        &self,
        form: &Parameters,
        request: &ClientRequest<'_>,
    ) -> Result<AuthenticatedClient, Refused> {
        let unproven = || Refused::new(ErrorCode::InvalidClient, "this endpoint needs client authentication");
        // Nobody at all is told the same, rather than which parameter is missing.
        let is_named = request.authorization.is_some() || form.one("client_assertion")?.is_some();
        if !is_named && form.one("client_secret")?.is_none() {
            return Err(unproven());
        }
        let credentials = credentials(form, request.authorization)?;
        if matches!(credentials.proof, Proof::None) {
            return Err(unproven());
        }
        self.authenticate(credentials, request.address, None).await
    }

    async fn authenticate(
        &self,
        credentials: Credentials,
        address: IpAddr,
        read: Option<RegisteredClient>,
    ) -> Result<AuthenticatedClient, Refused> {
        let Credentials { id, proof } = credentials;
        let unknown = || Refused::new(ErrorCode::InvalidClient, "this client is not registered here");
        let found = self.find_client_read(&id, read, Some(address)).await?;
        let client = found.ok_or_else(|| unknown().word("unknown_client"))?;
        self.check_proof(&client, &proof, address).await.map_err(|refused| refused.by(&client.id))?;
        let confidence = if matches!(proof, Proof::None) { Confidence::Claimed } else { Confidence::Proven };
        Ok(AuthenticatedClient(client, confidence))
    }
}

impl AuthorizationServer {
    async fn check_proof(&self, client: &Client, proof: &Proof, address: IpAddr) -> Result<(), Refused> {
        let is_proven = match (&client.authentication, proof) {
            (Authentication::None, Proof::None) => true,
            (Authentication::Secret(digest), Proof::Secret(one, other)) => {
                self.is_secret(&client.id, address, digest, [one, other])?
            }
            (Authentication::PrivateKey { is_optional: true, .. }, Proof::None) => true,
            (Authentication::PrivateKey { keys, .. }, Proof::Assertion(assertion)) => {
                return self.check_assertion(&client.id, keys, assertion, address).await;
            }
            (Authentication::None | Authentication::Secret(_) | Authentication::PrivateKey { .. }, _) => false,
        };
        let failed = || Refused::new(ErrorCode::InvalidClient, "client authentication failed");
        if is_proven { Ok(()) } else { Err(failed().word("client_authentication_failed")) }
    }

    /// Whether one of these is the client's secret. Guessing is slowed as guessing of passwords is: OAuth 2.1 §7.7 asks for
    /// it. Assertions cannot be guessed, and what they cost to check is bounded by the limit of their address.
    fn is_secret(
        &self,
        client: &ClientId,
        address: IpAddr,
        digest: &Digest,
        sent: [&Secret; 2],
    ) -> Result<bool, Refused> {
        let account = UserId::of_client(client);
        let reservation = self.services.guesses.reserve(Some(&account), address, Instant::now()).map_err(|retry| {
            let text = "too many wrong secrets for this client from this address; try again later";
            Refused::from(OauthError::new(ErrorCode::SlowDown, text).retry_after(retry.seconds()))
                .word("too_many_wrong_secrets")
        })?;
        // Both are digests of something long and random: comparing them tells nothing about the secret.
        let is_right = sent.iter().any(|secret| *digest == Digest::of(secret));
        if is_right {
            reservation.succeeded();
        }
        Ok(is_right)
    }
}

fn credentials(form: &Parameters, authorization: Option<&str>) -> Result<Credentials, Refused> {
    let id = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    let assertion = assertion::read(form)?;
    // RFC 6749 §2.3: the client MUST NOT use more than one authentication method in each request.
    let twice = || Refused::new(ErrorCode::InvalidRequest, "client credentials were sent in two ways");
    if usize::from(secret.is_some()) + usize::from(assertion.is_some()) + usize::from(authorization.is_some()) > 1 {
        return Err(twice());
    }
    if let Some(header) = authorization {
        let basic = basic(header)
            .ok_or_else(|| Refused::new(ErrorCode::InvalidClient, "the Authorization header is not HTTP Basic"))?;
        return if id.is_none_or(|id| id == basic.id.as_str()) { Ok(basic) } else { Err(twice()) };
    }
    let id = id.map(ClientId::new);
    // RFC 7521 §4.2: client_id may be left out beside an assertion, which names the client.
    let named = assertion.as_ref().map(|assertion| assertion.subject.clone());
    let id = match (id, named) {
        (Some(id), Some(named)) if id != named => return Err(assertion::refused("it is another client's")),
        (id, named) => id.or(named),
    };
    let id = id.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "client_id is missing"))?;
    let proof = match (secret, assertion) {
        (Some(secret), _) => Proof::Secret(Secret::new(secret), Secret::new(secret)),
        (None, Some(assertion)) => Proof::Assertion(assertion),
        (None, None) => Proof::None,
    };
    Ok(Credentials { id, proof })
}

/// RFC 6749 §2.3.1: both parts are form-encoded first, by some clients down to each `-` and `_`, by some not at all. Identifiers
/// hold no space, so only `%` says that one was encoded; of an operator's secret nothing says it, so it is tried as both.
fn basic(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = parameters::decoded(secret).unwrap_or_else(|| secret.to_owned());
    let proof = if secret.is_empty() { Proof::None } else { Proof::Secret(Secret::new(secret), Secret::from(plain)) };
    let id = parameters::decoded(id).filter(|_| id.contains('%')).unwrap_or_else(|| id.to_owned());
    (!id.is_empty()).then(|| Credentials { id: ClientId::new(id), proof })
}
