//! The protected resource: decides whose request it is, and says how to get a token. [RFC 6750](https://www.rfc-editor.org/rfc/rfc6750)
//!
//! Owns the verdicts on access tokens, the RFC 9728 document and the challenges. What a caller may do with a scope is the
//! bridge's to decide; signatures are checked in `keys`.

mod challenge;
mod metadata;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::base::clock::{Clock, Timestamp};
use crate::base::digest::Digest;
use crate::base::limit::Limit;
use crate::keys::{Keys, MAX_TOKEN_LENGTH, TokenFault};
use crate::model::principal::Principal;
use crate::protocol::oauth::claims::AccessTokenClaims;
use crate::resource_server::challenge::Challenges;
use crate::store::{Calls, Revoked};

pub use challenge::Challenge;

/// How many verdicts are kept, of some 400 bytes each. Twice the 10,000 clients for which a call shall cost what it costs for
/// ten: the cache is in parts that do not fill evenly, and once one is full, clients that call in turn drive each other out.
const VERDICTS: usize = 20_000;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::count("access tokens whose verdict is remembered", VERDICTS, "the least used is checked anew")];
/// How far the clock of a replica that issued a token may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How exact it is when a grant was last used.
const NOTING: Duration = Duration::from_secs(30);

/// What distinguishes this resource.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The issuer whose tokens are taken, byte for byte.
    pub issuer: String,
    /// The canonical URL of the resource: `aud` of its tokens, `resource` of its metadata.
    pub resource: String,
    /// `scopes_supported` of the metadata.
    pub scopes_supported: Vec<String>,
    /// What a normal session needs: `scope` of the 401 challenge.
    pub challenge_scopes: Vec<String>,
    /// Where the metadata is served, for the challenge.
    pub metadata_url: String,
    /// `resource_name` of the metadata.
    pub resource_name: Option<String>,
}

/// Accepts access tokens of our own authorization server.
pub struct ResourceServer {
    keys: Arc<Keys>,
    issuer: String,
    resource: String,
    revoked: Revoked,
    clock: Clock,
    /// Good verdicts only, so that garbage cannot drive them out.
    verdicts: Cache<Digest, Arc<Verdict>>,
    calls: Calls,
    verifications: AtomicU64,
    metadata: Bytes,
    challenges: Challenges,
}

/// A token whose signature and claims were right when it was first seen. What changes with time is asked anew.
struct Verdict {
    principal: Arc<Principal>,
    expires_at: Timestamp,
    /// When its use was last noted, in seconds.
    noted_at: AtomicI64,
}

impl ResourceServer {
    /// A resource whose tokens `keys` signs. `calls` is told which grants are used.
    #[must_use]
    pub fn new(keys: Arc<Keys>, settings: Settings, (revoked, calls): (Revoked, Calls), clock: Clock) -> Self {
        Self {
            keys,
            metadata: metadata::document(&settings),
            challenges: Challenges::new(&settings),
            issuer: settings.issuer,
            resource: settings.resource,
            revoked,
            clock,
            verdicts: Cache::new(VERDICTS),
            calls,
            verifications: AtomicU64::new(0),
        }
    }

    /// Who presents this token. The signature is checked once for each token, expiry and revocation every time;
    /// the database never.
    ///
    /// # Errors
    /// The token is not ours, not for this resource, not valid any more or not yet.
    pub fn authenticate(&self, token: &str) -> Result<Arc<Principal>, TokenRefused> {
        // Before the digest: nothing is done with an oversized token.
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Reason::NotOurs(TokenFault::TooLong).into());
        }
        let digest = Digest::of_bytes(token.as_bytes());
        let now = self.clock.now();
        if let Some(verdict) = self.verdicts.get(&digest) {
            return self.still_good(&verdict, now).inspect_err(|_| {
                self.verdicts.remove(&digest);
            });
        }
        let verdict = Arc::new(self.examine(token, now)?);
        let principal = self.still_good(&verdict, now)?;
        self.verdicts.insert(digest, verdict);
        Ok(principal)
    }

    /// Resolves when the token of this caller ends: it expires, is revoked, or loses its key. Streams it opened end then.
    pub fn until_ended(&self, principal: Arc<Principal>) -> impl Future<Output = ()> + Send + use<> {
        let remaining = principal.expires_at.map(|end| end.since(self.clock.now()));
        let revoked = self.revoked.clone();
        let keys = Arc::clone(&self.keys);
        let expiry = async move {
            match remaining {
                Some(remaining) => tokio::time::sleep(remaining).await,
                None => std::future::pending().await,
            }
        };
        let revocation = async move {
            // Subscribed first, so that nothing is missed between the two.
            let (mut changes, mut key_changes) = (revoked.subscribe(), keys.subscribe());
            while !is_revoked(&revoked, &principal) && !has_lost_its_key(&keys, &principal) {
                let changed = tokio::select! {
                    changed = changes.changed() => changed,
                    changed = key_changes.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        async move {
            tokio::select! {
                () = expiry => {}
                () = revocation => {}
            }
        }
    }

    /// The RFC 9728 document, ready to send as `application/json`.
    #[must_use]
    pub fn metadata(&self) -> Bytes {
        self.metadata.clone()
    }

    /// The value of `WWW-Authenticate` for a request that is not served.
    #[must_use]
    pub fn challenge(&self, challenge: Challenge<'_>) -> String {
        self.challenges.value(challenge)
    }

    /// How many tokens were examined, signature and all, rather than recognised.
    #[must_use]
    pub fn verifications(&self) -> u64 {
        self.verifications.load(Ordering::Relaxed)
    }

    /// What is right about a token for ever, or not at all.
    fn examine(&self, token: &str, now: Timestamp) -> Result<Verdict, Reason> {
        self.verifications.fetch_add(1, Ordering::Relaxed);
        let (claims, key_id) = self.keys.verify_with_key(token)?;
        // RFC 9068 §4: the issuer must match exactly, and the audience must name this resource. MCP: accept no other token.
        if claims.issuer != self.issuer {
            return Err(Reason::Issuer);
        }
        if claims.audience != self.resource {
            return Err(Reason::Audience);
        }
        if claims.issued_at > now + CLOCK_SKEW {
            return Err(Reason::NotYet);
        }
        Ok(Verdict::of(claims, key_id))
    }

    fn still_good(&self, verdict: &Verdict, now: Timestamp) -> Result<Arc<Principal>, TokenRefused> {
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted. No leeway: we wrote the date ourselves.
        if now >= verdict.expires_at {
            return Err(Reason::Expired.into());
        }
        if is_revoked(&self.revoked, &verdict.principal) {
            let holder = Some(Arc::clone(&verdict.principal));
            return Err(TokenRefused { holder, ..Reason::Revoked.into() });
        }
        if has_lost_its_key(&self.keys, &verdict.principal) {
            return Err(Reason::NotOurs(TokenFault::Key).into());
        }
        self.note(verdict, now);
        Ok(Arc::clone(&verdict.principal))
    }

    /// Seldom enough for each token that no request waits for another.
    fn note(&self, verdict: &Verdict, now: Timestamp) {
        let noted_at = Timestamp::from_unix(verdict.noted_at.load(Ordering::Relaxed));
        let Some(grant) = verdict.principal.grant.as_ref().filter(|_| now.since(noted_at) >= NOTING) else { return };
        verdict.noted_at.store(now.unix(), Ordering::Relaxed);
        self.calls.note(grant, now);
    }
}

impl Verdict {
    fn of(claims: AccessTokenClaims, key_id: String) -> Self {
        let principal = Principal {
            user: Some(claims.subject),
            client_id: Some(claims.client_id),
            grant: Some(claims.grant),
            token_id: Some(claims.jti),
            key_id: Some(key_id),
            scopes: claims.scope,
            expires_at: Some(claims.expires_at),
        };
        Self { principal: Arc::new(principal), expires_at: claims.expires_at, noted_at: AtomicI64::new(0) }
    }
}

fn is_revoked(revoked: &Revoked, principal: &Principal) -> bool {
    principal.grant.as_ref().is_some_and(|grant| revoked.has_grant(grant))
        || principal.token_id.as_ref().is_some_and(|jti| revoked.has_token(jti))
}

/// Whether the key that signed the token was taken away since.
fn has_lost_its_key(keys: &Keys, principal: &Principal) -> bool {
    principal.key_id.as_ref().is_some_and(|key_id| !keys.has_key(key_id))
}

/// A token that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TokenRefused {
    /// What its holder is told: `error_description`.
    pub error_description: &'static str,
    /// What the log is told.
    pub reason: Reason,
    /// Whose token it was, when it was good once.
    pub holder: Option<Arc<Principal>>,
}

/// Why a token is refused, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not an access token that we signed.
    #[error("not our token: {0}")]
    NotOurs(#[from] TokenFault),
    /// Signed by our key under the name of another issuer.
    #[error("another issuer")]
    Issuer,
    /// For another resource (RFC 8707).
    #[error("another audience")]
    Audience,
    /// Issued in the future.
    #[error("issued in the future")]
    NotYet,
    /// Past its `exp`.
    #[error("expired")]
    Expired,
    /// It, or the grant it was made from, was revoked.
    #[error("revoked")]
    Revoked,
}

impl Reason {
    /// The word for it in the audit trail. `None`: it is no event. Every client presents a token that has just expired, and gets
    /// the next one.
    #[must_use]
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs(_) => Some("bad_token"),
            Self::Issuer => Some("bad_issuer"),
            Self::Audience => Some("bad_audience"),
            Self::NotYet => Some("not_yet_valid"),
            Self::Revoked => Some("revoked"),
            Self::Expired => None,
        }
    }
}

impl From<Reason> for TokenRefused {
    fn from(reason: Reason) -> Self {
        let error_description = match reason {
            Reason::Expired => "The access token has expired",
            Reason::Revoked => "The access token was revoked",
            Reason::Audience => "The access token is for another resource",
            // A stranger learns nothing about which check failed.
            Reason::NotOurs(_) | Reason::Issuer | Reason::NotYet => "The access token is not valid",
        };
        Self { error_description, reason, holder: None }
    }
}
