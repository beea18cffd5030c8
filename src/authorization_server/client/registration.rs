//! Dynamic client registration. [RFC 7591 §3](https://www.rfc-editor.org/rfc/rfc7591#section-3)

use std::net::IpAddr;

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::audit::{Audit, Event};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::error::Refused;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::base::random;
use crate::base::secret::Secret;
use crate::identity::throttle::AddressKey;
use crate::keys::KeySet;
use crate::model::client::{Authentication, RegisteredClient};
use crate::protocol::oauth::client_keys::KeySource;
use crate::protocol::oauth::client_metadata::{AcceptedMetadata, AcceptedProof, ClientMetadata};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::store::{ClientBounds, Renewal};

/// A client that registered, with what it is told once.
#[derive(Debug)]
pub struct Registered {
    /// The client.
    pub client: RegisteredClient,
    /// `client_secret`, when it was given one, or has just shown it.
    pub secret: Option<Secret>,
    /// `registration_access_token`, when it may manage what it registered.
    pub management: Option<Management>,
}

/// How a client manages its registration (RFC 7592 §3).
#[derive(Debug)]
pub struct Management {
    /// `registration_access_token`. It stays the same for life: RFC 7592 lets a server give another with each answer, but then a
    /// client that misses one answer has lost its registration.
    pub token: Secret,
    /// `registration_client_uri`.
    pub uri: String,
}

/// Why nothing was registered, read, changed or removed.
#[derive(Debug)]
pub enum RegistrationFault {
    /// Registration is off: there is no such endpoint.
    Off,
    /// The token that it takes is not there, or wrong.
    Unauthorized {
        /// What is answered.
        text: &'static str,
        /// The reason in the audit trail.
        reason: &'static str,
        /// The client that is not managed so, where there is such a one.
        client: Option<ClientId>,
    },
    /// Something else.
    Refused(Refused),
}

impl RegistrationFault {
    pub(super) fn unauthorized(reason: &'static str, text: &'static str) -> Self {
        Self::Unauthorized { text, reason, client: None }
    }

    /// What the audit trail is told of it. Metadata that cannot be registered for another reason are no event.
    #[must_use]
    pub fn event(&self) -> Option<Event<'_>> {
        match self {
            Self::Off => None,
            Self::Unauthorized { reason, client, .. } => Some(Event::ClientRefused { client: client.as_ref(), reason }),
            Self::Refused(refused) => {
                refused.reason().map(|reason| Event::ClientRefused { client: refused.client(), reason })
            }
        }
    }
}

impl<T: Into<Refused>> From<T> for RegistrationFault {
    fn from(fault: T) -> Self {
        Self::Refused(fault.into())
    }
}

impl AuthorizationServer {
    /// Registers a client that sent `body` from `address`, with `token` if it has one.
    ///
    /// Of public clients that send the same from the same place, none of which was used yet, all but the first are one client, which
    /// nobody manages: some register anew whenever they start, and whoever is there may be somebody else. The first keeps its
    /// own. A client with a secret or keys always is a new one.
    ///
    /// # Errors
    /// `invalid_client_metadata`, `invalid_redirect_uri`; `temporarily_unavailable` when every place is taken by a
    /// client in use.
    pub async fn register(
        &self,
        body: &[u8],
        token: Option<&str>,
        address: IpAddr,
    ) -> Result<Registered, RegistrationFault> {
        let bounds = self.client_bounds()?;
        self.check_initial_access_token(token)?;
        let accepted = self.accept(ClientMetadata::parse(body)?)?;
        // Before anybody else's place is taken.
        self.services.audit.check().await?;
        let now = self.services.clock.now();
        let fingerprint = (accepted.proof == AcceptedProof::None).then(|| self.fingerprint(&accepted, address));
        let renewal = match &fingerprint {
            Some(fingerprint) => self.services.store.renew_client(fingerprint, now).await?,
            None => Renewal::None,
        };
        if let Renewal::Done(client) = renewal {
            self.services.audit.record(Event::ClientRenewed { client: &client.id }).await?;
            return Ok(Registered { client: *client, secret: None, management: None });
        }
        let mut registered = self.make_client(accepted, fingerprint);
        if renewal == Renewal::Managed {
            (registered.client.management, registered.management) = (None, None);
        }
        let admission = self.services.store.add_client(registered.client.clone(), bounds, now).await?;
        tell_of_evicted(&self.services.audit, &admission.expired, "expired").await;
        tell_of_evicted(&self.services.audit, &admission.made_room, "made_room").await;
        if admission.is_admitted {
            self.services.audit.record(Event::ClientAdded { client: &registered.client.id }).await?;
            return Ok(registered);
        }
        let text = "no more clients can be registered here; the operator can raise registration.max_clients";
        Err(Refused::new(ErrorCode::TemporarilyUnavailable, text).into())
    }

    pub(super) fn client_bounds(&self) -> Result<ClientBounds, RegistrationFault> {
        self.settings.client_bounds.ok_or(RegistrationFault::Off)
    }

    /// What a client may register of what it sent.
    pub(super) fn accept(&self, metadata: ClientMetadata) -> Result<AcceptedMetadata, Refused> {
        let accepted = metadata.accept(&self.settings.scopes_supported)?;
        for uri in &accepted.redirect_uris {
            let checked = self.settings.redirect_uris.check(uri);
            checked.map_err(|fault| OauthError::new(ErrorCode::InvalidRedirectUri, fault.to_string()))?;
        }
        let keys = match &accepted.proof {
            AcceptedProof::Keys(KeySource::Inline(keys)) => KeySet::parse(keys.as_bytes()).map(drop),
            AcceptedProof::Keys(KeySource::Url(url)) => {
                self.services.elsewhere.key_sets.check(url).map_err(|fault| fault.to_string())
            }
            AcceptedProof::None | AcceptedProof::Secret => Ok(()),
        };
        keys.map_err(|fault| Refused::new(ErrorCode::InvalidClientMetadata, format!("the keys: {fault}")))?;
        Ok(accepted)
    }

    pub(super) fn management(&self, client: &ClientId, token: Secret) -> Management {
        Management { token, uri: format!("{}/oauth/register/{client}", self.settings.issuer) }
    }

    /// RFC 7591 §3: the operator may have given initial access tokens to those who may register.
    fn check_initial_access_token(&self, token: Option<&str>) -> Result<(), RegistrationFault> {
        let Some(digest) = &self.settings.initial_access_token else { return Ok(()) };
        match token {
            // Digests of something long and random: comparing them tells nothing about it.
            Some(token) if Digest::of(&Secret::new(token)) == *digest => Ok(()),
            Some(_) => {
                let text = "this is not the initial access token of this server";
                Err(RegistrationFault::unauthorized("wrong_initial_access_token", text))
            }
            None => {
                let text = "registering takes an initial access token of the operator";
                Err(RegistrationFault::unauthorized("no_initial_access_token", text))
            }
        }
    }

    /// Made with a key, so that it tells nobody who reads the store from where a client came.
    fn fingerprint(&self, accepted: &AcceptedMetadata, address: IpAddr) -> Digest {
        let (place, said) = (AddressKey::of(address).to_string(), Value::Object(accepted.echo.clone()).to_string());
        Digest::of(&self.services.keys.derive("client-registration", &[place.as_bytes(), said.as_bytes()]))
    }

    fn make_client(&self, accepted: AcceptedMetadata, fingerprint: Option<Digest>) -> Registered {
        let (id, token) = (ClientId::new(random::identifier()), random::token());
        let (authentication, secret) = authentication(accepted.proof);
        let client = RegisteredClient {
            id: id.clone(),
            name: accepted.name,
            redirect_uris: accepted.redirect_uris,
            authentication,
            may_refresh: accepted.may_refresh,
            metadata: accepted.echo,
            management: Some(Digest::of(&token)),
            fingerprint,
            registered_at: self.services.clock.now(),
            last_granted_at: None,
            by_operator: false,
        };
        Registered { client, secret, management: Some(self.management(&id, token)) }
    }
}

/// How many lines are under way at once: they share their writes.
const LINES_AT_ONCE: usize = 64;

/// Tells the trail of clients that lost their registration. It has happened, so nothing depends on it.
pub async fn tell_of_evicted(audit: &Audit, clients: &[ClientId], reason: &'static str) {
    let tell = |client| async move {
        let _ = audit.record(Event::ClientEvicted { client, reason }).await;
    };
    stream::iter(clients).for_each_concurrent(LINES_AT_ONCE, tell).await;
}

/// How a client proves itself from now on, and the secret that it is given for it.
pub(super) fn authentication(proof: AcceptedProof) -> (Authentication, Option<Secret>) {
    match proof {
        AcceptedProof::None => (Authentication::None, None),
        AcceptedProof::Keys(keys) => (Authentication::PrivateKey { keys, is_optional: false }, None),
        AcceptedProof::Secret => {
            let secret = random::token();
            (Authentication::Secret(Digest::of(&secret)), Some(secret))
        }
    }
}

impl Registered {
    /// The body of the answer: everything registered (RFC 7591 §3.2.1, RFC 7592 §3).
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut body = self.client.metadata.clone();
        body.insert("client_id".to_owned(), self.client.id.as_str().into());
        body.insert("client_id_issued_at".to_owned(), self.client.registered_at.unix().into());
        if let Some(secret) = &self.secret {
            body.insert("client_secret".to_owned(), secret.expose().into());
            // RFC 7591 §3.2.1: REQUIRED if client_secret is issued; 0 for one that does not expire.
            body.insert("client_secret_expires_at".to_owned(), json!(0));
        }
        if let Some(management) = &self.management {
            body.insert("registration_access_token".to_owned(), management.token.expose().into());
            body.insert("registration_client_uri".to_owned(), management.uri.as_str().into());
        }
        Value::Object(body).to_string()
    }
}
