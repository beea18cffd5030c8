//! The public keys of clients that keep them at an address (`jwks_uri`), whatever way the client came.
//! [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2)

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use url::Url;

use crate::authorization_server::client::documents::DocumentRefusal;
use crate::authorization_server::client::documents::copy::{Copy, PATIENCE, Slot, lifetime, slot};
use crate::authorization_server::client::documents::hosts::{Errand, Hosts};
use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::base::limit::Limit;
use crate::fetch::PublicFault;
use crate::identity::throttle::AddressKey;
use crate::keys::KeySet;
use crate::protocol::oauth::client_document::DocumentFault;
use crate::store::{Store, StoreError};

/// How many key sets are kept in memory. What drops out is fetched again.
const KEPT: usize = 1000;
/// How often somebody whose key we do not have may have a key set fetched anew.
const RENEWAL: Duration = Duration::from_secs(60);
/// The largest key set that is taken, in bytes.
const MAX_KEYS: usize = 64 * 1024;

/// What stands for an answer that is no key set.
const NO_KEYS: &[u8] = br#"{"keys":[]}"#;

/// What is shown of them.
pub const LIMITS: [Limit; 3] = [
    Limit::count("key sets of clients in memory", KEPT, "the least used is fetched anew"),
    Limit::time("before a client's keys are fetched anew for one unknown", RENEWAL, "401"),
    Limit::bytes("keys of a client", MAX_KEYS, "they are not taken"),
];

/// The key sets.
pub struct KeySets {
    hosts: Arc<Hosts>,
    store: Arc<dyn Store>,
    longest: Duration,
    sets: Cache<Url, Arc<Slot<KeySet>>>,
}

/// Whose keys are looked for, and for whom.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Where they are.
    pub url: &'a Url,
    /// Who has them there.
    pub client: &'a ClientId,
    /// Where a request comes from that shows to be signed with one of them.
    pub asker: AddressKey,
}

impl KeySets {
    /// Key sets from `hosts`, each used for at most `longest`.
    pub(super) fn new(hosts: Arc<Hosts>, store: Arc<dyn Store>, longest: Duration) -> Self {
        Self { hosts, store, longest, sets: Cache::new(KEPT) }
    }

    /// Whether keys would be fetched from such an address at all.
    ///
    /// # Errors
    /// [`PublicFault::Refused`], saying why not.
    pub fn check(&self, url: &Url) -> Result<(), PublicFault> {
        self.hosts.check(url)
    }

    /// The keys at an address; newer than `used` when that set was found wanting. `None`: there is none newer, and it is too
    /// early to ask again. While they cannot be fetched, the last good copy counts, across restarts too.
    ///
    /// # Errors
    /// See [`DocumentRefusal`].
    pub async fn find(
        &self,
        wanted: Wanted<'_>,
        used: Option<&Arc<KeySet>>,
        now: Timestamp,
    ) -> Result<Option<Arc<KeySet>>, DocumentRefusal> {
        let slot = slot(&self.sets, wanted.url);
        let other = |copy: Arc<KeySet>| Some(copy).filter(|copy| used.is_none_or(|used| !Arc::ptr_eq(used, copy)));
        if let Some(copy) = slot.fresh(now).and_then(other) {
            return Ok(Some(copy));
        }
        // Whoever can write a name of a key can find a set wanting: that is as good as a stranger's wish.
        let errand = match used {
            None if self.last_good(wanted.url, &slot).await?.is_some() => self.hosts.for_known(),
            _ => self.hosts.for_stranger(wanted.asker, wanted.url, now).await?,
        };
        let Ok(_turn) = errand.wait(slot.turn()).await else {
            return self.fall_back(wanted.url, &slot, used, DocumentRefusal::Busy).await;
        };
        if let Some(copy) = slot.fresh(now).and_then(other) {
            return Ok(Some(copy));
        }
        if used.is_some() && !slot.may_renew(now, RENEWAL) {
            return Ok(None);
        }
        let fetched = self.fetch(wanted, &errand, now).await;
        // Who may not ask has not asked.
        if used.is_some() && !matches!(fetched, Err(DocumentRefusal::TooOften | DocumentRefusal::Busy)) {
            slot.renewed(now);
        }
        match fetched {
            Ok((keys, max_age)) => {
                if keys.is_empty() {
                    // Whoever's key it is, it is not in a set that has just come without any.
                    slot.renewed(now);
                }
                let keys = Arc::new(keys);
                slot.put(Copy { value: Arc::clone(&keys), until: now + lifetime(max_age, self.longest) });
                Ok(Some(keys))
            }
            Err(refusal) => {
                let old = self.fall_back(wanted.url, &slot, used, refusal).await?;
                if let Some(old) = &old {
                    slot.put(Copy { value: Arc::clone(old), until: now + PATIENCE });
                }
                Ok(old)
            }
        }
    }

    async fn fetch(
        &self,
        wanted: Wanted<'_>,
        errand: &Errand,
        now: Timestamp,
    ) -> Result<(KeySet, Option<Duration>), DocumentRefusal> {
        let document = self.hosts.fetch(wanted.url, MAX_KEYS, errand, now).await?;
        let (keys, body) = match KeySet::parse(&document.body) {
            Ok(keys) => (keys, &*document.body),
            // Keys that are there no more are taken back: an answer that is no key set is one without keys.
            Err(_) => (KeySet::parse(NO_KEYS).map_err(|_| DocumentFault("its jwks_uri has no key set"))?, NO_KEYS),
        };
        self.store.record_key_set(wanted.url, body, wanted.client, now).await?;
        Ok((keys, document.max_age))
    }

    /// The last good copy in place of one that cannot be had, for who has not just found it wanting.
    async fn fall_back(
        &self,
        url: &Url,
        slot: &Slot<KeySet>,
        used: Option<&Arc<KeySet>>,
        refusal: DocumentRefusal,
    ) -> Result<Option<Arc<KeySet>>, DocumentRefusal> {
        match self.last_good(url, slot).await? {
            Some(old) if used.is_none() => Ok(Some(old)),
            _ => Err(refusal),
        }
    }

    /// The last good copy, from memory or from the store.
    async fn last_good(&self, url: &Url, slot: &Slot<KeySet>) -> Result<Option<Arc<KeySet>>, StoreError> {
        if let Some(copy) = slot.last() {
            return Ok(Some(copy));
        }
        let kept = self.store.find_key_set(url).await?;
        Ok(kept.and_then(|body| KeySet::parse(&body).ok()).map(Arc::new))
    }
}
