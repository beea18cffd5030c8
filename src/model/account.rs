//! A person known from an identity provider, as the provider last described them.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::UserId;

/// A person at an identity provider. What the person may do is not kept: it follows from the profile and the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// [`UserId::federated`] of issuer and subject.
    pub user: UserId,
    /// `iss` of the provider (OpenID Connect Core §2); the configured one of a provider that only speaks OAuth 2.
    pub issuer: String,
    /// `sub`: the person, in the provider's words.
    pub subject: String,
    /// What else the provider said.
    pub profile: Profile,
    /// The provider's refresh token, sealed with a key that is not in the store. `None`: it gave none.
    pub refresh_token: Option<String>,
    /// A disabled person cannot log in, and every grant is revoked.
    pub disabled: bool,
    /// When the person first logged in.
    pub created_at: Timestamp,
    /// When the provider last vouched for the person.
    pub confirmed_at: Timestamp,
}

/// What a provider says of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// A name to show.
    pub name: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// `email_verified`, and nothing but the boolean `true` or the text `true`.
    pub email_verified: bool,
    /// Google's `hd`: the organisation that the account belongs to. An address in its domain alone may be anybody's.
    pub hosted_domain: Option<String>,
    /// The groups (or GitHub organisations) the person is in.
    pub groups: Vec<String>,
}

impl Account {
    /// The name under which pages speak of the person.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.profile.email.as_deref().or(self.profile.name.as_deref()).unwrap_or(&self.subject)
    }
}
