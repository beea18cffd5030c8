//! Signatures of a provider, checked with its keys of the moment. [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)

use std::future::Future;

use url::Url;

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::identity::federated::http::Http;
use crate::identity::federated::kept::Kept;
use crate::identity::federated::{Failure, Reason};
use crate::keys::{ForeignTokenFault, KeySet, Verified};

impl Kept<KeySet> {
    /// A token whose signature is right. A key that is not known may be new: the set is fetched again, but not for everybody
    /// who claims so.
    pub async fn verify<F>(&self, token: &Secret, now: Timestamp, fetch: impl Fn() -> F) -> Result<Verified, Failure>
    where
        F: Future<Output = Result<KeySet, Failure>>,
    {
        let known = self.get(now, fetch()).await?;
        let verified = match known.verify(token.expose()) {
            Err(ForeignTokenFault::UnknownKey(id)) => match self.renew(&known, now, fetch()).await? {
                Some(newer) => newer.verify(token.expose()),
                None => Err(ForeignTokenFault::UnknownKey(id)),
            },
            other => other,
        };
        verified.map_err(|fault| Failure::new(Reason::Untrusted, fault.to_string()))
    }
}

/// The keys at this address.
pub async fn fetch_keys(http: &Http, url: Option<&Url>) -> Result<KeySet, Failure> {
    let missing = || Failure::new(Reason::Misconfigured, "the provider's metadata has no jwks_uri");
    let body = http.document(url.ok_or_else(missing)?).await?;
    KeySet::parse(&body).map_err(|error| Failure::new(Reason::Unreachable, format!("the provider's keys: {error}")))
}
