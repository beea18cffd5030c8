//! Assertions of an enterprise's identity provider about its people (ID-JAG): whose they are, and who may come in.
//! [draft-ietf-oauth-identity-assertion-authz-grant](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-identity-assertion-authz-grant-04)
//!
//! For whom and for what an assertion is good is the authorization server's to check, and so is that it is used once.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, UserId};
use crate::base::secret::Secret;
use crate::config::section::{self, EnterpriseKeys};
use crate::identity::federated::claims::Claims;
use crate::identity::federated::discovery::{self, Metadata};
use crate::identity::federated::http::Http;
use crate::identity::federated::id_token;
use crate::identity::federated::kept::Kept;
use crate::identity::federated::{Failure, Federation, Reason, admission, signature};
use crate::keys::{KeySet, unverified_payload};
use crate::model::account::{Account, Profile};
use crate::model::grant::Description;
use crate::protocol::oauth::scope::ScopeSet;

/// `typ` of such an assertion (EMA §4.3).
const TYPE: &str = "oauth-id-jag+jwt";

/// An identity provider whose assertions are taken.
pub struct EnterpriseIssuer {
    settings: section::EnterpriseIssuer,
    http: Http,
    metadata: Arc<Kept<Metadata>>,
    key_set: Arc<Kept<KeySet>>,
}

/// What an issuer says of somebody who may come in.
#[derive(Debug)]
pub struct Asserted {
    /// The person.
    pub account: Account,
    /// What is kept of that where the person is known already.
    pub description: Description,
    /// What the person may grant to clients.
    pub scopes: ScopeSet,
    /// Every claim of the assertion, of which only `iss` and `sub` were checked.
    pub claims: Map<String, Value>,
}

/// What of an assertion is read before the signature: whose keys it is checked with.
#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl EnterpriseIssuer {
    /// The issuer of a section. Nothing is fetched yet.
    ///
    /// # Errors
    /// There is no TLS on this machine.
    pub fn new(settings: section::EnterpriseIssuer) -> Result<Self, String> {
        let http = Http::new(settings.http_timeout)?;
        let (metadata, key_set) = (Arc::new(Kept::new()), Arc::new(Kept::new()));
        Ok(Self { settings, http, metadata, key_set })
    }

    /// Whether another finds the same keys at the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name() == other.name() && self.settings.keys == other.settings.keys
    }

    /// Goes on with what another knows of the same issuer, so that a reload fetches nothing anew.
    pub(super) fn learn_from(&mut self, other: &Self) {
        self.metadata = Arc::clone(&other.metadata);
        self.key_set = Arc::clone(&other.key_set);
    }

    /// The issuer, as it is configured.
    pub(super) fn name(&self) -> &str {
        &self.settings.issuer
    }

    /// What somebody of this profile may grant to clients.
    pub(super) fn admit(&self, account: &Account) -> Result<ScopeSet, Failure> {
        admission::admit(&self.settings.admission, &account.issuer, &account.subject, &account.profile)
    }

    fn is(&self, issuer: &str) -> bool {
        discovery::same_issuer(self.name(), issuer)
    }

    /// The claims of an assertion that this issuer made, with the issuer as it writes itself.
    async fn read(&self, assertion: &Secret, now: Timestamp) -> Result<(String, Map<String, Value>), Failure> {
        let metadata = match &self.settings.keys {
            EnterpriseKeys::At(_) => None,
            EnterpriseKeys::Discovered(url) => Some(self.metadata.get(now, self.discover(url.as_ref())).await?),
        };
        let url = match (&self.settings.keys, &metadata) {
            (EnterpriseKeys::At(url), _) => Some(url),
            (_, metadata) => metadata.as_ref().and_then(|metadata| metadata.jwks_uri.as_ref()),
        };
        let verified = self.key_set.verify(assertion, now, || signature::fetch_keys(&self.http, url)).await?;
        // RFC 8725 §3.11: whatever else this issuer signs, such as an ID token, is no assertion.
        if !verified.token_type.as_deref().is_some_and(is_assertion) {
            return Err(untrusted(format!("typ is {:?}, not {TYPE}", verified.token_type)));
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(&verified.payload).map_err(|_| untrusted("the payload is no JSON object"))?;
        let issuer = metadata.map_or_else(|| self.name().to_owned(), |metadata| metadata.issuer.clone());
        // RFC 7523 §3, 1: compared as strings.
        match claims.get("iss") == Some(&Value::from(issuer.as_str())) {
            true => Ok((issuer, claims)),
            false => Err(untrusted(format!("iss is not {issuer:?}"))),
        }
    }

    async fn discover(&self, url: Option<&url::Url>) -> Result<Metadata, Failure> {
        let url = match url {
            Some(url) => url.clone(),
            None => discovery::document_url(self.name())?,
        };
        Metadata::parse(&url, &self.http.document(&url).await?, self.name())
    }

    fn profile(&self, issuer: &str, claims: &Map<String, Value>) -> Profile {
        let claims = Claims { id_token: claims.clone(), ..Claims::default() };
        claims.profile(issuer, &self.settings.admission.groups_claim)
    }
}

impl Federation {
    /// The same, taking assertions of these issuers besides.
    #[must_use]
    pub fn with_enterprise(self, enterprise: Vec<EnterpriseIssuer>) -> Self {
        Self { enterprise, ..self }
    }

    /// Of whom an assertion is that `client` presents, if one of the issuers made it and lets the person in. Nothing is kept
    /// of that yet.
    ///
    /// # Errors
    /// Any [`Reason`] that is about the person, [`Reason::Untrusted`]; [`Reason::Unreachable`], [`Reason::Misconfigured`]:
    /// the issuer's keys cannot be had.
    pub async fn read_assertion(
        &self,
        assertion: &Secret,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Asserted, Failure> {
        let payload = unverified_payload(assertion.expose());
        let claimed: Option<Issuer> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        let claimed = claimed.ok_or_else(|| untrusted("it is no JWT with an issuer"))?.iss;
        let issuer = self.enterprise.iter().find(|issuer| issuer.is(&claimed));
        let issuer = issuer.ok_or_else(|| untrusted("its issuer is none of enterprise.issuers"))?;
        let allowed = &issuer.settings.allowed_clients;
        if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == client.as_str()) {
            return Err(untrusted(format!("{client} is not in allowed_clients of {}", issuer.name())));
        }
        let (name, claims) = issuer.read(assertion, now).await?;
        let subject = id_token::subject(&claims).map_err(untrusted)?;
        let account = Account {
            user: UserId::federated(&name, subject),
            subject: subject.to_owned(),
            profile: issuer.profile(&name, &claims),
            refresh_token: None,
            disabled: false,
            created_at: now,
            confirmed_at: now,
            issuer: name,
        };
        let scopes = issuer.admit(&account)?;
        // An assertion says little of a person. Where people also log in at the issuer, what they may do here follows from
        // what that said.
        let logs_in = self.providers_of(&account).next().is_some();
        let description = if logs_in { Description::OfStranger } else { Description::Latest };
        Ok(Asserted { account, description, scopes, claims })
    }

    /// What somebody may do who comes with assertions alone.
    pub(super) fn admit_asserted(&self, account: &Account) -> Option<ScopeSet> {
        let issuer = self.enterprise.iter().find(|issuer| issuer.is(&account.issuer))?;
        issuer.admit(account).ok()
    }

    /// Whether assertions are taken at all.
    #[must_use]
    pub fn takes_assertions(&self) -> bool {
        !self.enterprise.is_empty()
    }
}

/// RFC 7515 §4.1.9: a media type, in any case, with or without `application/`.
fn is_assertion(token_type: &str) -> bool {
    let token_type = token_type.to_ascii_lowercase();
    token_type.strip_prefix("application/").unwrap_or(&token_type) == TYPE
}

fn untrusted(cause: impl Into<String>) -> Failure {
    Failure::new(Reason::Untrusted, cause)
}
