//! An OAuth client: a program that asks for access, whatever way it came.

use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, UserId};
use crate::model::enrolled::Enrolled;
use crate::protocol::oauth::client_keys::KeySource;
use crate::protocol::oauth::grant_type;
use crate::protocol::oauth::scope::ScopeSet;

/// A client, as authorization and token requests see it (RFC 6749 §2).
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// `client_id`.
    pub id: ClientId,
    /// Where it comes from.
    pub origin: Origin,
    /// `client_name`, cleaned of control and direction-changing characters; shown, never trusted.
    pub name: Option<String>,
    /// `redirect_uris`. The operator's policy is asked again at every request.
    pub redirect_uris: Vec<String>,
    /// How it proves itself.
    pub authentication: Authentication,
    /// Which grants it may use.
    pub grants: GrantTypes,
    /// The most it may be granted; `None`: what the person may have is the only bound.
    pub scopes: Option<ScopeSet>,
}

impl Client {
    /// As much of `scopes` as the client may be granted.
    #[must_use]
    pub fn limit(&self, scopes: ScopeSet) -> ScopeSet {
        match &self.scopes {
            Some(most) => scopes.limited_to(most),
            None => scopes,
        }
    }

    /// What its own grants depend on, if the configuration lets it act for itself.
    #[must_use]
    pub fn enrolled(&self) -> Option<Enrolled> {
        let credential = match &self.authentication {
            Authentication::None => Digest::of_bytes(b"none"),
            Authentication::Secret(secret) => Digest::of_bytes(&[b"secret", secret.as_bytes().as_slice()].concat()),
            Authentication::PrivateKey { keys, .. } => {
                Digest::of_bytes(&serde_json::to_vec(keys).expect("an address or a text is always JSON"))
            }
        };
        let scopes = self.scopes.clone().unwrap_or_default();
        let id = UserId::of_client(&self.id);
        self.grants.client_credentials.then_some(Enrolled { id, credential, key: None, scopes })
    }
}

/// Where a client comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration of the operator, who answers for it.
    Configured {
        /// `skip_consent`: nobody is asked whether it may act.
        skip_consent: bool,
        /// `introspect_any`: it may ask about every access token.
        introspect_any: bool,
    },
    /// The address that is its identifier: whoever rules this host answers for it.
    Document {
        /// The host, with the port if it is not that of https.
        host: String,
    },
    /// It registered itself (RFC 7591): anybody may have.
    Registered,
}

/// How a client proves itself (RFC 7591 §2, `token_endpoint_auth_method`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `none`: a public client.
    None,
    /// `client_secret_basic` or `client_secret_post`: the secret of this digest.
    Secret(Digest),
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKey {
        /// Where its public keys are.
        keys: KeySource,
        /// It may also come without.
        is_optional: bool,
    },
}

impl Authentication {
    /// Whether who proved itself in the one way can do so in the other, but for a secret that was replaced.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(_), Self::Secret(_)) => true,
            _ => self == other,
        }
    }
}

/// The grants that a client may use (RFC 7591 §2, `grant_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantTypes {
    /// `authorization_code`: it may ask people.
    pub authorization_code: bool,
    /// `refresh_token`.
    pub refresh_token: bool,
    /// `client_credentials`: it acts for itself, without a person.
    pub client_credentials: bool,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`: it brings assertions of an enterprise's identity provider.
    pub jwt_bearer: bool,
}

impl GrantTypes {
    /// Whether this is one of them.
    #[must_use]
    pub fn allow(self, grant_type: &str) -> bool {
        match grant_type {
            grant_type::AUTHORIZATION_CODE => self.authorization_code,
            grant_type::REFRESH_TOKEN => self.refresh_token,
            grant_type::CLIENT_CREDENTIALS => self.client_credentials,
            grant_type::JWT_BEARER => self.jwt_bearer,
            _ => false,
        }
    }
}

/// A client that registered itself, or was added by the operator, as it is kept (RFC 7591 §2).
#[derive(Clone, Debug, PartialEq)]
pub struct RegisteredClient {
    /// `client_id`.
    pub id: ClientId,
    /// `client_name`, cleaned.
    pub name: Option<String>,
    /// `redirect_uris`, each accepted by the operator's policy when it was registered.
    pub redirect_uris: Vec<String>,
    /// How it proves itself.
    pub authentication: Authentication,
    /// Whether `refresh_token` is among its `grant_types`.
    pub may_refresh: bool,
    /// Everything it registered that was understood, as it is echoed (RFC 7591 §3.2.1), without secrets.
    pub metadata: Map<String, Value>,
    /// Digest of its registration access token (RFC 7592 §3); `None`: nobody can manage it.
    pub management: Option<Digest>,
    /// By which it is known again when it registers anew before it was ever used; `None`: it never is.
    pub fingerprint: Option<Digest>,
    /// When it registered, the last time.
    pub registered_at: Timestamp,
    /// When a grant was last made for it; `None` for one that was never used, which may expire.
    pub last_granted_at: Option<Timestamp>,
    /// The operator added it: it does not expire and makes no room, used or not.
    pub by_operator: bool,
}

impl From<RegisteredClient> for Client {
    fn from(registered: RegisteredClient) -> Self {
        Self {
            id: registered.id,
            origin: Origin::Registered,
            name: registered.name,
            redirect_uris: registered.redirect_uris,
            authentication: registered.authentication,
            // No enterprise can have told its provider the identifier of a client that registers itself.
            grants: GrantTypes {
                authorization_code: true,
                refresh_token: registered.may_refresh,
                client_credentials: false,
                jwt_bearer: false,
            },
            scopes: None,
        }
    }
}
