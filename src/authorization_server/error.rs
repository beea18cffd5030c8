//! Why an endpoint did not do what was asked: what the client is told, and what only the log sees.

use std::fmt;

use crate::audit::Event;
use crate::base::id::{ClientId, UserId};
use crate::keys::KeyError;
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::parameters::{Malformed, Repeated};
use crate::store::StoreError;

/// A refusal, with its public text and its private cause in separate fields.
#[derive(Debug)]
pub struct Refused {
    /// What is answered.
    pub public: OauthError,
    /// What the log gets besides.
    pub cause: Option<String>,
    /// What the audit trail gets besides.
    told: Option<Box<Told>>,
}

/// Of whom the audit trail tells, and in which word.
#[derive(Debug, Default)]
struct Told {
    client: Option<ClientId>,
    user: Option<UserId>,
    word: Option<&'static str>,
}

impl Refused {
    /// A refusal whose text says everything.
    pub fn new(error: ErrorCode, description: impl AsRef<str>) -> Self {
        Self::from(OauthError::new(error, description))
    }

    /// A refusal, and what of it the client is not told.
    pub fn with_cause(public: OauthError, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..Self::from(public) }
    }

    /// The same, of this client, which is one of ours.
    #[must_use]
    pub fn by(mut self, client: &ClientId) -> Self {
        self.told.get_or_insert_default().client = Some(client.clone());
        self
    }

    /// The same, of something that is this user's.
    #[must_use]
    pub fn of(mut self, user: &UserId) -> Self {
        self.told.get_or_insert_default().user = Some(user.clone());
        self
    }

    /// The same under a word of its own in the audit trail, where the error's says too little.
    #[must_use]
    pub fn word(mut self, word: &'static str) -> Self {
        self.told.get_or_insert_default().word = Some(word);
        self
    }

    /// The client, where it is known.
    #[must_use]
    pub fn client(&self) -> Option<&ClientId> {
        self.told.as_ref().and_then(|told| told.client.as_ref())
    }

    /// The reason in the audit trail. `None`: it says nothing about whoever asks, who is clumsy or came at a bad time.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        let error = self.public.error;
        let word = match error {
            ErrorCode::InvalidClient
            | ErrorCode::InvalidGrant
            | ErrorCode::UnauthorizedClient
            | ErrorCode::InvalidScope
            | ErrorCode::InvalidTarget
            | ErrorCode::AccessDenied
            | ErrorCode::InvalidRedirectUri
            | ErrorCode::SlowDown => Some(error.as_str()),
            ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedGrantType
            | ErrorCode::UnsupportedResponseType
            | ErrorCode::RequestNotSupported
            | ErrorCode::RequestUriNotSupported
            | ErrorCode::LoginRequired
            | ErrorCode::InvalidClientMetadata
            | ErrorCode::TemporarilyUnavailable
            | ErrorCode::ServerError => None,
        };
        self.told.as_ref().and_then(|told| told.word).or(word)
    }

    /// What the audit trail is told of a refusal at the token endpoint and its neighbours.
    #[must_use]
    pub fn event(&self) -> Option<Event<'_>> {
        let user = self.told.as_ref().and_then(|told| told.user.as_ref());
        self.reason().map(|reason| Event::TokenRefused { client: self.client(), user, reason })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{} ({cause})", self.public),
            None => self.public.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl From<OauthError> for Refused {
    fn from(public: OauthError) -> Self {
        Self { public, cause: None, told: None }
    }
}

impl From<Malformed> for Refused {
    fn from(error: Malformed) -> Self {
        Self::new(ErrorCode::InvalidRequest, error.to_string())
    }
}

impl From<Repeated> for Refused {
    fn from(error: Repeated) -> Self {
        Self::new(ErrorCode::InvalidRequest, error.to_string())
    }
}

impl From<StoreError> for Refused {
    /// A store that is busy or full is worth another try; clients keep their tokens on `temporarily_unavailable`.
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable(_) => ErrorCode::TemporarilyUnavailable,
            StoreError::Broken(_) => ErrorCode::ServerError,
        };
        Self::with_cause(OauthError::new(code, "the server cannot do this now; try again later"), error.to_string())
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        let public = OauthError::new(ErrorCode::ServerError, "the server could not sign the token");
        Self::with_cause(public, error.to_string())
    }
}
