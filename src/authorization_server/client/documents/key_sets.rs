//! The public keys of clients that keep them at an address (`jwks_uri`), whatever way the client came.
//! [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2)

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use url::Url;

use crate::authorization_server::client::documents::DocumentRefusal;
use crate::authorization_server::client::documents::copy::{Copy, PATIENCE, Slot, lifetime, slot};
use crate::authorization_server::client::documents::hosts::Hosts;
use crate::base::clock::Timestamp;
use crate::base::limit::Limit;
use crate::fetch::PublicFault;
use crate::keys::KeySet;
use crate::protocol::oauth::client_document::DocumentFault;

/// How many key sets are kept in memory. What drops out is fetched again.
const KEPT: usize = 1000;
/// How often somebody whose key we do not have may have a key set fetched anew.
const RENEWAL: Duration = Duration::from_secs(60);
/// The largest key set that is taken, in bytes.
const MAX_KEYS: usize = 64 * 1024;

/// What is shown of them.
pub const LIMITS: [Limit; 3] = [
    Limit::count("key sets of clients in memory", KEPT, "the least used is fetched anew"),
    Limit::time("before a client's keys are fetched anew for one unknown", RENEWAL, "401"),
    Limit::bytes("keys of a client", MAX_KEYS, "they are not taken"),
];

/// The key sets.
pub struct KeySets {
    hosts: Arc<Hosts>,
    longest: Duration,
    sets: Cache<Url, Arc<Slot<KeySet>>>,
}

impl KeySets {
    /// Key sets from `hosts`, each used for at most `longest`.
    pub(super) fn new(hosts: Arc<Hosts>, longest: Duration) -> Self {
        Self { hosts, longest, sets: Cache::new(KEPT) }
    }

    /// Whether keys would be fetched from such an address at all.
    ///
    /// # Errors
    /// [`PublicFault::Refused`], saying why not.
    pub fn check(&self, url: &Url) -> Result<(), PublicFault> {
        self.hosts.check(url)
    }

    /// The keys at `url`; newer than `used` when that set was found wanting. `None`: there is none newer, and it is too early
    /// to ask again.
    ///
    /// # Errors
    /// See [`DocumentRefusal`].
    pub async fn find(
        &self,
        url: &Url,
        used: Option<&Arc<KeySet>>,
        now: Timestamp,
    ) -> Result<Option<Arc<KeySet>>, DocumentRefusal> {
        let slot = slot(&self.sets, url);
        let other = |copy: Arc<KeySet>| Some(copy).filter(|copy| used.is_none_or(|used| !Arc::ptr_eq(used, copy)));
        if let Some(copy) = slot.fresh(now).and_then(other) {
            return Ok(Some(copy));
        }
        let _turn = slot.turn().await;
        if let Some(copy) = slot.fresh(now).and_then(other) {
            return Ok(Some(copy));
        }
        if used.is_some() && !slot.may_renew(now, RENEWAL) {
            return Ok(None);
        }
        match self.fetch(url, now).await {
            Ok((keys, max_age)) => {
                let keys = Arc::new(keys);
                slot.put(Copy { value: Arc::clone(&keys), until: now + lifetime(max_age, self.longest) });
                Ok(Some(keys))
            }
            Err(refusal) => match slot.last() {
                Some(old) if used.is_none() => {
                    slot.put(Copy { value: Arc::clone(&old), until: now + PATIENCE });
                    Ok(Some(old))
                }
                _ => Err(refusal),
            },
        }
    }

    async fn fetch(&self, url: &Url, now: Timestamp) -> Result<(KeySet, Option<Duration>), DocumentRefusal> {
        let document = self.hosts.fetch(url, MAX_KEYS, now).await?;
        let keys = KeySet::parse(&document.body).map_err(|_| DocumentFault("its jwks_uri has no key set"))?;
        Ok((keys, document.max_age))
    }
}
