//! Identity providers: where people log in instead of here. We are the client.
//! [OpenID Connect Core](https://openid.net/specs/openid-connect-core-1_0.html), [RFC 9700](https://www.rfc-editor.org/rfc/rfc9700)
//!
//! Owns everything that is said to a provider and every check of what it answers. The browser, its cookies and the order
//! of steps are the authorization server's.

mod admission;
mod authorize;
mod claims;
mod confirm;
mod discovery;
mod enterprise;
mod exchange;
mod failure;
mod federation;
mod github;
mod http;
mod id_token;
mod kept;
mod login;
mod oidc;
mod signature;
mod turns;
mod userinfo;

pub use http::LIMITS;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::{ProviderName, UserId};
use crate::base::secret::Secret;
use crate::config::section::{self, ClientAuthentication, Dialect};
use crate::identity::federated::discovery::Metadata;
use crate::identity::federated::http::Http;
use crate::identity::federated::kept::Kept;
use crate::keys::{ClientKey, KeyError, KeySet, Keys};
use crate::model::account::{Account, Profile};
use crate::protocol::oauth::scope::ScopeSet;

pub use enterprise::{Asserted, EnterpriseIssuer};
pub use failure::{Failure, Reason};
pub use federation::Federation;
pub use login::{Attempt, Callback, Identified, Renewal};

/// One identity provider, with what was learnt of it lately.
pub struct Provider {
    settings: section::Provider,
    redirect_uri: String,
    keys: Arc<Keys>,
    client_key: Option<ClientKey>,
    http: Http,
    /// What the configuration says of a provider without discovery.
    configured: Option<Arc<Metadata>>,
    metadata: Arc<Kept<Metadata>>,
    key_set: Arc<Kept<KeySet>>,
}

impl Provider {
    /// The provider of a section. Nothing is fetched yet. `redirect_uri` is this provider's own (RFC 9700 §4.4.2).
    ///
    /// # Errors
    /// The client key of `private_key_jwt` or an address cannot be used, or there is no TLS on this machine; the text says
    /// what to do.
    pub fn new(settings: section::Provider, redirect_uri: String, keys: Arc<Keys>) -> Result<Self, String> {
        let client_key = match &settings.client_authentication {
            ClientAuthentication::PrivateKeyJwt { key_file, key_id } => {
                let key = ClientKey::open(&keys, key_file.as_deref(), key_id.as_deref());
                Some(key.map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        let configured = Metadata::configured(&settings.dialect).transpose().map_err(|failure| failure.cause)?;
        let http = Http::new(settings.http_timeout)?;
        let (metadata, key_set) = (Arc::new(Kept::new()), Arc::new(Kept::new()));
        Ok(Self {
            settings,
            redirect_uri,
            keys,
            client_key,
            http,
            configured: configured.map(Arc::new),
            metadata,
            key_set,
        })
    }

    /// Whether the other is the same provider, asked in the same way.
    fn is_same(&self, other: &Self) -> bool {
        self.settings == other.settings
    }

    /// Knows from now on what the other does.
    fn learn_from(&mut self, other: &Self) {
        self.metadata = Arc::clone(&other.metadata);
        self.key_set = Arc::clone(&other.key_set);
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
    pub fn is_issuer(&self, issuer: &str) -> bool {
        discovery::same_issuer(self.issuer(), issuer)
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
    pub async fn warm_up(&self, now: Timestamp) -> Result<(), Failure> {
        self.metadata(now).await.map(drop)
    }

    /// Where the browser is sent: the authorization request with PKCE, `state` and `nonce`. `afresh`: the provider shall
    /// ask who it is although somebody is logged in there (`prompt=login`).
    ///
    /// # Errors
    /// [`Reason::Unreachable`], [`Reason::Misconfigured`].
    pub async fn authorization_url(&self, attempt: &Attempt, afresh: bool, now: Timestamp) -> Result<String, Failure> {
        let metadata = self.metadata(now).await?;
        authorize::url(&self.settings, &self.redirect_uri, &metadata, attempt, afresh)
    }

    /// Redeems the code and checks all that the provider says: `iss` of the callback, ID token, userinfo.
    ///
    /// # Errors
    /// Any [`Reason`] but [`Reason::Disabled`] and [`Reason::Ended`].
    pub async fn identify(
        &self,
        callback: &Callback,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Identified, Failure> {
        let metadata = self.metadata(now).await?;
        let code = callback.code(&metadata)?;
        let tokens = self.redeem(&metadata, code, attempt, now).await?;
        let person = match &self.settings.dialect {
            Dialect::Oidc { .. } => self.read_login(&metadata, &tokens, &attempt.nonce, now).await,
            Dialect::Oauth2 { .. } => self.read_user(&metadata, &tokens).await,
        };
        person.map_err(oidc::not_ended)
    }

    /// Asks again about somebody who logged in before, with the refresh token of then. The answer has the same issuer and
    /// subject.
    ///
    /// # Errors
    /// The refresh token was not redeemed. [`Reason::Ended`], here or inside: the provider no longer stands by the person.
    pub async fn identify_again(
        &self,
        account: &Account,
        refresh_token: &Secret,
        now: Timestamp,
    ) -> Result<Renewal, Failure> {
        let metadata = self.metadata(now).await?;
        if matches!(self.settings.dialect, Dialect::Oidc { .. }) {
            // Before the refresh token is spent: nothing that can be known to fail shall fail after it.
            self.key_set(&metadata, now).await?;
        }
        let tokens = self.refresh(&metadata, refresh_token, now).await?;
        let person = match &self.settings.dialect {
            Dialect::Oidc { .. } => self.read_again(&metadata, &tokens, account, now).await,
            Dialect::Oauth2 { .. } => {
                self.read_user(&metadata, &tokens).await.and_then(|user| user.same_as(account)).map(Some)
            }
        };
        Ok(Renewal { refresh_token: tokens.refresh_token, person })
    }

    /// What a person of this profile may grant to clients.
    ///
    /// # Errors
    /// [`Reason::NoVerifiedEmail`], [`Reason::WrongDomain`], [`Reason::NothingToGrant`]: the person may not come in.
    pub fn admit(&self, issuer: &str, subject: &str, profile: &Profile) -> Result<ScopeSet, Failure> {
        admission::admit(&self.settings.admission, issuer, subject, profile)
    }

    /// Where the person can log out there too (OpenID Connect RP-Initiated Logout §2), if the provider said so.
    #[must_use]
    pub fn end_session_url(&self) -> Option<String> {
        let mut url = self.metadata.current()?.end_session_endpoint.clone()?;
        // §2: without it, and without an ID token to show, the provider does not know who asks.
        url.query_pairs_mut().append_pair("client_id", &self.settings.client_id);
        Some(url.into())
    }

    /// The issuer, as it is configured.
    pub(super) fn issuer(&self) -> &str {
        match &self.settings.dialect {
            Dialect::Oidc { issuer, .. } | Dialect::Oauth2 { issuer, .. } => issuer,
        }
    }

    /// Makes a refresh token fit to be stored: for this client of the provider and this person alone.
    fn seal(&self, user: &UserId, refresh_token: &Secret) -> Result<String, KeyError> {
        self.keys.seal(&self.label_of(user), refresh_token)
    }

    /// The refresh token that this client of the provider was given for this person.
    fn unseal(&self, user: &UserId, sealed: &str) -> Option<Secret> {
        self.keys.unseal(&self.label_of(user), sealed)
    }

    fn label_of(&self, user: &UserId) -> String {
        format!("provider refresh token {} {user}", self.settings.client_id)
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, Failure> {
        match &self.configured {
            Some(configured) => Ok(Arc::clone(configured)),
            None => self.metadata.get(now, self.discover()).await,
        }
    }

    async fn discover(&self) -> Result<Metadata, Failure> {
        let url = match &self.settings.dialect {
            Dialect::Oidc { discovery_url: Some(url), .. } => url.clone(),
            _ => discovery::document_url(self.issuer())?,
        };
        Metadata::parse(&url, &self.http.document(&url).await?, self.issuer())
    }
}
