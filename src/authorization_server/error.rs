//! Why an endpoint did not do what was asked: what the client is told, and what only the log sees.

use std::fmt;

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
}

impl Refused {
    /// A refusal whose text says everything.
    pub fn new(error: ErrorCode, description: impl AsRef<str>) -> Self {
        Self { public: OauthError::new(error, description), cause: None }
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
        Self { public, cause: None }
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
        Self {
            public: OauthError::new(code, "the server cannot do this now; try again later"),
            cause: Some(error.to_string()),
        }
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        let public = OauthError::new(ErrorCode::ServerError, "the server could not sign the token");
        Self { public, cause: Some(error.to_string()) }
    }
}
