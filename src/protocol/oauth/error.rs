//! Error codes and the status each is answered with, in one table.

use serde::Serialize;

/// An error code of RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 7591 §3.2.2, RFC 8628 §3.5, RFC 8707 §2 or OpenID Connect Core §3.1.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the specifications' own words")]
pub enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    InvalidTarget,
    AccessDenied,
    RequestNotSupported,
    RequestUriNotSupported,
    LoginRequired,
    InvalidRedirectUri,
    InvalidClientMetadata,
    SlowDown,
    TemporarilyUnavailable,
    ServerError,
}

impl ErrorCode {
    /// The code as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::LoginRequired => "login_required",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::SlowDown => "slow_down",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status of a JSON answer with this code. RFC 6749 §5.2: 400 unless it says otherwise.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::SlowDown => 429,
            Self::TemporarilyUnavailable => 503,
            Self::ServerError => 500,
            _ => 400,
        }
    }
}

/// An error as it is answered: a code and a description for developers, in ASCII without quotation marks (RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {description}", error.as_str())]
pub struct OauthError {
    /// `error`.
    pub error: ErrorCode,
    /// `error_description`.
    #[serde(rename = "error_description")]
    pub description: String,
    /// After how many seconds another try may succeed: `Retry-After` (RFC 9110 §10.2.3).
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl OauthError {
    /// An error with its description. Characters that a description cannot have are replaced.
    pub fn new(error: ErrorCode, description: impl AsRef<str>) -> Self {
        // RFC 6749 §5.2: error_description MUST NOT include characters outside %x20-21 / %x23-5B / %x5D-7E.
        let legal = |character| matches!(character, ' '..='!' | '#'..='[' | ']'..='~');
        let description = description.as_ref().chars().map(|c| if legal(c) { c } else { '?' }).take(300).collect();
        Self { error, description, retry_after: None }
    }

    /// The same, worth another try after so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}
