//! Why a login at a provider came to nothing: what the person is told, and what only the log sees.

use std::fmt;

/// A login that came to nothing.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the person is told about; in words of ours, never the provider's.
    pub reason: Reason,
    /// What happened, for the log. May quote the provider; never a token, code or secret.
    pub cause: String,
}

/// What the person is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The provider does not answer, or not sensibly: worth another try.
    Unreachable,
    /// The provider does not take us for its client, or contradicts its own metadata: the operator has to look.
    Misconfigured,
    /// The person said no there, or may not use this client there.
    Denied,
    /// What came cannot be trusted: signature, issuer, audience, nonce or time.
    Untrusted,
    /// No address, or none that the provider says is verified.
    NoVerifiedEmail,
    /// Not in `allowed_domains`.
    WrongDomain,
    /// Let in, but without any scope.
    NothingToGrant,
    /// Disabled here.
    Disabled,
    /// The provider no longer stands by an earlier login.
    Ended,
}

impl Reason {
    /// The word for it in the audit trail.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "provider_unreachable",
            Self::Misconfigured => "provider_misconfigured",
            Self::Denied => "denied_at_provider",
            Self::Untrusted => "untrusted",
            Self::NoVerifiedEmail => "no_verified_email",
            Self::WrongDomain => "wrong_domain",
            Self::NothingToGrant => "nothing_to_grant",
            Self::Disabled => "disabled",
            Self::Ended => "ended_at_provider",
        }
    }

    /// Whether another person might fare better, and trying again as the same one is of no use.
    #[must_use]
    pub const fn is_about_the_person(self) -> bool {
        !matches!(self, Self::Unreachable | Self::Misconfigured | Self::Untrusted)
    }
}

impl Failure {
    /// A failure with its cause.
    pub fn new(reason: Reason, cause: impl Into<String>) -> Self {
        Self { reason, cause: cause.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.reason, self.cause)
    }
}

impl std::error::Error for Failure {}
