//! One login: what goes out with the browser, what comes back, and who it turned out to be.

use crate::base::secret::Secret;
use crate::identity::federated::discovery::Metadata;
use crate::identity::federated::{Failure, Reason};
use crate::model::account::{Account, Profile};

/// What binds one login to one browser. All three follow from the flow's cookie, so nothing of it is stored.
#[derive(Debug)]
pub struct Attempt {
    /// `state`.
    pub state: Secret,
    /// `nonce` (OpenID Connect Core §3.1.2.1).
    pub nonce: Secret,
    /// `code_verifier` (RFC 7636 §4.1).
    pub code_verifier: Secret,
}

/// What the browser brought back, its `state` having been checked and spent.
#[derive(Debug)]
pub struct Callback {
    /// `code`, or the error code that came instead (RFC 6749 §4.1.2.1).
    pub outcome: Result<Secret, String>,
    /// `iss` (RFC 9207 §2).
    pub issuer: Option<String>,
}

/// Who it is, in the provider's words.
#[derive(Debug)]
pub struct Identified {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The rest.
    pub profile: Profile,
    /// With which to ask again later.
    pub refresh_token: Option<Secret>,
}

/// What came of asking again about somebody.
#[derive(Debug)]
pub struct Renewal {
    /// The refresh token that replaces the one that was presented, which may be worthless now, whatever else came of it.
    pub refresh_token: Option<Secret>,
    /// Who it is. `None`: the provider took the refresh token, and says nothing of what the rules look at.
    pub person: Result<Option<Identified>, Failure>,
}

impl Callback {
    /// The code, if it comes from this provider.
    pub(super) fn code(&self, metadata: &Metadata) -> Result<&Secret, Failure> {
        // RFC 9207 §2.4: compared before anything else is done with the answer, be it a code or an error.
        match &self.issuer {
            Some(issuer) if !metadata.is_named(issuer) => {
                return Err(Failure::new(Reason::Untrusted, format!("the callback is from {issuer:?} (iss)")));
            }
            None if metadata.sends_issuer => {
                return Err(Failure::new(
                    Reason::Untrusted,
                    "the callback has no iss, which this provider always sends",
                ));
            }
            _ => {}
        }
        self.outcome.as_ref().map_err(|error| {
            let reason = match error.as_str() {
                "access_denied" => Reason::Denied,
                "server_error" | "temporarily_unavailable" => Reason::Unreachable,
                _ => Reason::Misconfigured,
            };
            let shown: String = error.chars().take(64).collect();
            Failure::new(reason, format!("the provider sent the person back with error {shown:?}"))
        })
    }
}

impl Identified {
    /// Somebody asked about again, if it is the person of the account.
    pub(super) fn same_as(self, account: &Account) -> Result<Self, Failure> {
        if self.subject == account.subject {
            return Ok(Self { issuer: account.issuer.clone(), ..self });
        }
        Err(Failure::new(Reason::Untrusted, "the refreshed access token is somebody else's"))
    }
}
