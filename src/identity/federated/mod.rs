//! Identity providers: where people log in instead of here. We are the client.
//! [OpenID Connect Core](https://openid.net/specs/openid-connect-core-1_0.html), [RFC 9700](https://www.rfc-editor.org/rfc/rfc9700)
//!
//! Owns everything that is said to a provider and every check of what it answers. The browser, its cookies and the order
//! of steps are the authorization server's.

mod failure;

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::ProviderName;
use crate::base::secret::Secret;
use crate::config::section;
use crate::keys::Keys;
use crate::model::account::{Account, Profile};
use crate::protocol::oauth::scope::ScopeSet;

pub use failure::{Failure, Reason};

/// One identity provider, with what was learnt of it lately.
pub struct Provider {
    settings: section::Provider,
    redirect_uri: String,
    keys: Arc<Keys>,
}

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

impl Provider {
    /// The provider of a section. Nothing is fetched yet. `redirect_uri` is this provider's own (RFC 9700 §4.4.2).
    ///
    /// # Errors
    /// The client key of `private_key_jwt` cannot be used, or there is no TLS on this machine; the text says what to do.
    pub fn new(settings: section::Provider, redirect_uri: String, keys: Arc<Keys>) -> Result<Self, String> {
        Ok(Self { settings, redirect_uri, keys })
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// What people call it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.settings.label
    }

    /// Whether accounts of this issuer are this provider's. A trailing slash is no difference.
    #[must_use]
    pub fn is_issuer(&self, _issuer: &str) -> bool {
        false
    }

    /// How long a login counts when there is no refresh token to ask again with.
    #[must_use]
    pub fn reauthentication_interval(&self) -> Duration {
        self.settings.reauthentication_interval
    }

    /// Learns what is needed to send people there, so that the first of them does not wait. Done again when it has aged.
    ///
    /// # Errors
    /// [`Reason::Unreachable`], [`Reason::Misconfigured`].
    pub async fn warm_up(&self, _now: Timestamp) -> Result<(), Failure> {
        Err(Failure::new(Reason::Unreachable, "skeleton"))
    }

    /// Where the browser is sent: the authorization request with PKCE, `state` and `nonce`. `afresh`: the provider shall
    /// ask who it is although somebody is logged in there (`prompt=login`).
    ///
    /// # Errors
    /// [`Reason::Unreachable`], [`Reason::Misconfigured`].
    pub async fn authorization_url(&self, _: &Attempt, _afresh: bool, _now: Timestamp) -> Result<String, Failure> {
        Err(Failure::new(Reason::Unreachable, format!("skeleton {} {:?}", self.redirect_uri, self.keys)))
    }

    /// Redeems the code and checks all that the provider says: `iss` of the callback, ID token, userinfo.
    ///
    /// # Errors
    /// Any [`Reason`] but [`Reason::Disabled`] and [`Reason::Ended`].
    pub async fn identify(&self, _: &Callback, _: &Attempt, _now: Timestamp) -> Result<Identified, Failure> {
        Err(Failure::new(Reason::Unreachable, "skeleton"))
    }

    /// Asks again about somebody who logged in before, with the refresh token of then. The answer has the same issuer and subject.
    ///
    /// # Errors
    /// [`Reason::Ended`]: the provider no longer stands by the person.
    pub async fn identify_again(
        &self,
        _: &Account,
        _refresh_token: &Secret,
        _now: Timestamp,
    ) -> Result<Identified, Failure> {
        Err(Failure::new(Reason::Unreachable, "skeleton"))
    }

    /// What a person of this profile may grant to clients.
    ///
    /// # Errors
    /// [`Reason::NoVerifiedEmail`], [`Reason::WrongDomain`], [`Reason::NothingToGrant`]: the person may not come in.
    pub fn admit(&self, _issuer: &str, _subject: &str, _profile: &Profile) -> Result<ScopeSet, Failure> {
        Err(Failure::new(Reason::NothingToGrant, "skeleton"))
    }

    /// Where the person can log out there too (OpenID Connect RP-Initiated Logout §2), if the provider said so.
    #[must_use]
    pub fn end_session_url(&self) -> Option<String> {
        None
    }
}
