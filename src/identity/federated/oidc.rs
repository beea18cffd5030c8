//! Who somebody is, at a provider of OpenID Connect. [OpenID Connect Core §3.1.3, §12.2](https://openid.net/specs/openid-connect-core-1_0.html#TokenResponseValidation)

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::identity::federated::claims::Claims;
use crate::identity::federated::discovery::Metadata;
use crate::identity::federated::exchange::Tokens;
use crate::identity::federated::id_token::{self, Expected};
use crate::identity::federated::{Failure, Identified, Provider, Reason, signature, userinfo};
use crate::keys::KeySet;
use crate::model::account::{Account, Profile};

/// How much the userinfo endpoint is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Nothing,
    /// Something to show is missing.
    Nice,
    /// A rule looks at something that is missing.
    Needed,
}

impl Provider {
    /// Who has just logged in.
    pub(super) async fn read_login(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        nonce: &Secret,
        now: Timestamp,
    ) -> Result<Identified, Failure> {
        // §3.1.3.3: REQUIRED in this answer. Without it, nothing says who it was and for whom.
        let token = tokens.id_token.as_ref().ok_or_else(|| untrusted("the provider gave no ID token"))?;
        let claims = self.verify(metadata, token, &self.expected(metadata, tokens, Some(nonce), now)).await?;
        let subject = id_token::subject(&claims).map_err(untrusted)?.to_owned();
        let claims = self.complete(metadata, tokens, claims, &subject).await?;
        Ok(self.identified(metadata.issuer.clone(), subject, self.profile(metadata, &claims), tokens))
    }

    /// What the provider says now of somebody who logged in before. `None`: nothing, although a rule would look at it.
    pub(super) async fn read_again(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        account: &Account,
        now: Timestamp,
    ) -> Result<Option<Identified>, Failure> {
        let profile = match &tokens.id_token {
            Some(token) => {
                // §12.2: iss, sub and aud as before; nonce SHOULD be absent.
                let claims = self.verify(metadata, token, &self.expected(metadata, tokens, None, now)).await?;
                if id_token::subject(&claims).map_err(untrusted)? != account.subject {
                    return Err(untrusted("the refreshed ID token is somebody else's"));
                }
                let claims = self.complete(metadata, tokens, claims, &account.subject).await?;
                self.profile(metadata, &claims)
            }
            None => match self.ask_again(metadata, tokens, account).await? {
                Some(profile) => profile,
                None if self.reads_profile() => return Ok(None),
                // The new access token alone says that the person is still welcome there.
                None => account.profile.clone(),
            },
        };
        Ok(Some(self.identified(account.issuer.clone(), account.subject.clone(), profile, tokens)))
    }

    /// The keys of the provider, which are fetched if need be.
    pub(super) async fn key_set(&self, metadata: &Metadata, now: Timestamp) -> Result<Arc<KeySet>, Failure> {
        self.key_set.get(now, self.fetch_keys(metadata)).await
    }

    fn identified(&self, issuer: String, subject: String, profile: Profile, tokens: &Tokens) -> Identified {
        Identified { issuer, subject, profile, refresh_token: tokens.refresh_token.clone() }
    }

    fn profile(&self, metadata: &Metadata, claims: &Claims) -> Profile {
        claims.profile(&metadata.issuer, &self.settings.admission.groups_claim)
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<KeySet, Failure> {
        signature::fetch_keys(&self.http, metadata.jwks_uri.as_ref()).await
    }

    fn expected<'a>(
        &'a self,
        metadata: &'a Metadata,
        tokens: &'a Tokens,
        nonce: Option<&'a Secret>,
        now: Timestamp,
    ) -> Expected<'a> {
        let (issuer, client_id) = (metadata.issuer.as_str(), self.settings.client_id.as_str());
        Expected { issuer, client_id, nonce, access_token: &tokens.access_token, now }
    }

    async fn verify(
        &self,
        metadata: &Metadata,
        token: &Secret,
        expected: &Expected<'_>,
    ) -> Result<Map<String, Value>, Failure> {
        let verified = self.key_set.verify(token, expected.now, || self.fetch_keys(metadata)).await;
        let verified =
            verified.map_err(|failure| Failure::new(failure.reason, format!("ID token: {}", failure.cause)))?;
        id_token::check(&verified, expected).map_err(|cause| untrusted(format!("ID token: {cause}")))
    }

    /// Asks the userinfo endpoint for what the ID token does not say, if it is wanted and there is one.
    async fn complete(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        id_token: Map<String, Value>,
        subject: &str,
    ) -> Result<Claims, Failure> {
        let mut claims = Claims { id_token, ..Claims::default() };
        let want = self.want(&claims);
        let Some(url) = metadata.userinfo_endpoint.as_ref().filter(|_| want != Want::Nothing) else {
            return Ok(claims);
        };
        match userinfo::ask(&self.http, url, &tokens.access_token, subject).await {
            Ok(userinfo) => claims.userinfo = userinfo.unwrap_or_default(),
            Err(failure) if failure.reason == Reason::Untrusted => return Err(failure),
            // The ID token is there and fresh, so this says nothing about the person: the access token may be for another API.
            Err(failure) if want == Want::Needed => return Err(not_ended(failure)),
            Err(failure) => tracing::debug!(%failure, "userinfo is left out"),
        }
        Ok(claims)
    }

    /// What userinfo says of somebody about whom no ID token came. `None`: there is none, or none that is read here.
    async fn ask_again(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        account: &Account,
    ) -> Result<Option<Profile>, Failure> {
        let Some(url) = &metadata.userinfo_endpoint else { return Ok(None) };
        let userinfo = userinfo::ask(&self.http, url, &tokens.access_token, &account.subject).await?;
        Ok(userinfo.map(|userinfo| self.profile(metadata, &Claims { userinfo, ..Claims::default() })))
    }

    /// Whether a rule decides by the address.
    fn reads_email(&self) -> bool {
        let rules = &self.settings.admission;
        !rules.allowed_domains.is_empty() || rules.admin_users.iter().any(|entry| entry.contains('@'))
    }

    fn reads_profile(&self) -> bool {
        self.reads_email() || !self.settings.admission.group_scopes.is_empty()
    }

    fn want(&self, claims: &Claims) -> Want {
        let rules = &self.settings.admission;
        let reads_email = self.reads_email();
        let has_email = claims.has("email");
        // An address that nobody calls verified may be called so there; a rule would turn the person away without.
        let is_open = has_email && !claims.has("email_verified") && (reads_email || rules.require_email_verified);
        let lacks_groups = !rules.group_scopes.is_empty() && !claims.has_groups(&rules.groups_claim);
        if (reads_email && !has_email) || is_open || lacks_groups {
            return Want::Needed;
        }
        let asked = |scope: &str| self.settings.scopes.iter().any(|asked| asked == scope);
        let lacks_name = !has_email && !claims.has("name") && asked("profile");
        if (!has_email && asked("email")) || lacks_name { Want::Nice } else { Want::Nothing }
    }
}

/// A refused access token that is not to end anything.
pub(super) fn not_ended(failure: Failure) -> Failure {
    match failure.reason {
        Reason::Ended => Failure::new(Reason::Misconfigured, failure.cause),
        _ => failure,
    }
}

fn untrusted(cause: impl Into<String>) -> Failure {
    Failure::new(Reason::Untrusted, cause)
}
