//! Work that no request waits for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::app::StartError;
use crate::audit::{self, Audit, Event};
use crate::authorization_server::client::tell_of_evicted;
use crate::authorization_server::{client_bounds, refresh_policy};
use crate::base::clock::{Clock, Timestamp};
use crate::config::section::OauthServer;
use crate::identity::Identity;
use crate::keys::{KeyChange, Keys, Untended};
use crate::model::grant::RefreshPolicy;
use crate::store::{ClientBounds, Store, StoreError};

/// How often what has expired is removed.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    tokens: RefreshPolicy,
    clients: Option<ClientBounds>,
}

impl Retention {
    /// As this configuration wants it.
    pub fn of(section: &OauthServer) -> Self {
        Self { tokens: refresh_policy(section), clients: client_bounds(section) }
    }
}

/// Removes what has expired, until the process ends.
pub(super) async fn clean_up(store: Arc<dyn Store>, audit: Audit, retention: watch::Receiver<Retention>, clock: Clock) {
    let mut interval = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        interval.tick().await;
        let Retention { tokens, clients } = *retention.borrow();
        let removed = async {
            store.remove_expired(tokens, clock.now()).await?;
            if let Some(bounds) = clients {
                let expired = store.remove_expired_clients(bounds, clock.now()).await?;
                tell_of_evicted(&audit, &expired, "expired").await;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "could not remove what has expired; trying again later");
        }
    }
}

/// How often it is written down which grants were used.
const CALLS_INTERVAL: Duration = Duration::from_secs(30);

/// Writes down which grants were used, until the process ends.
pub(super) async fn record_calls(store: Arc<dyn Store>) {
    let mut interval = tokio::time::interval(CALLS_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = store.record_calls().await {
            tracing::debug!(%error, "when apps were last used could not be written down; trying again later");
        }
    }
}

/// How often the folder of the keys is looked at.
const KEY_INTERVAL: Duration = Duration::from_secs(1);

/// Makes the next signing key when it is due and learns of what others did to the keys, as long as somebody uses them. With the
/// keys comes which of them is known to sign.
pub(super) async fn tend_keys(
    (keys, mut signs): (Weak<Keys>, Option<String>),
    store: Arc<dyn Store>,
    audit: Audit,
    clock: Clock,
) {
    let mut interval = tokio::time::interval(KEY_INTERVAL);
    let mut said = String::new();
    loop {
        interval.tick().await;
        let Some(keys) = keys.upgrade() else { return };
        let (now, kept) = (clock.now(), Arc::clone(&keys));
        match tend(keys, store.as_ref(), &audit, now).await.map_err(|error| error.to_string()) {
            Ok(()) => said.clear(),
            // Once, not every second.
            Err(error) if error != said => {
                tracing::error!(error, "the signing keys cannot be kept up to date; those known are used on");
                said = error;
            }
            Err(_) => {}
        }
        let signing = kept.signing_key(now);
        if signing != signs {
            tell_of_signing(&audit, signing.as_deref()).await;
            signs = signing;
        }
    }
}

/// Looks after the keys once, and tells what became of them, whatever is wrong besides.
///
/// # Errors
/// Something of the keys is not as it should be.
pub(super) async fn tend(keys: Arc<Keys>, store: &dyn Store, audit: &Audit, now: Timestamp) -> Result<(), StartError> {
    let longest_token = store.longest_access_token();
    // The folder may be on a disk that makes one wait.
    let tended = tokio::task::spawn_blocking(move || keys.tend(now, longest_token)).await;
    let (changes, fault) = match tended.map_err(|error| StartError::Failed(error.to_string()))? {
        Ok(changes) => (changes, None),
        Err(Untended { changes, source }) => (changes, Some(source)),
    };
    tell_of_keys(audit, &changes).await;
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// What a bridge begins with: a key that it has just made, and the one that signs. That one is told at every start, as it may have
/// begun while no bridge ran. Gives it.
pub(super) async fn tell_of_first_keys(audit: &Audit, keys: &Keys, now: Timestamp) -> Option<String> {
    let signing = keys.signing_key(now);
    if let Some(key_id) = keys.first_key() {
        tell_of_keys(audit, &[KeyChange::Added { key_id: key_id.to_owned(), signs_from: now }]).await;
    }
    tell_of_signing(audit, signing.as_deref()).await;
    signing
}

async fn tell_of_signing(audit: &Audit, key_id: Option<&str>) {
    let Some(key_id) = key_id else { return };
    tracing::info!(key_id, "this key signs");
    let _ = audit.record(Event::KeyChanged { key_id, change: audit::KeyChange::Signs }).await;
}

/// What became of the keys, in the log and in the trail. It has happened already, here or in another process: a trail that
/// cannot be written changes nothing.
async fn tell_of_keys(audit: &Audit, changes: &[KeyChange]) {
    for change in changes {
        let (key_id, change) = match change {
            KeyChange::Added { key_id, signs_from } => {
                tracing::info!(key_id, signs_from = signs_from.unix(), "a signing key was added");
                (key_id, audit::KeyChange::Published)
            }
            KeyChange::Removed { key_id } => {
                tracing::info!(key_id, "a signing key is gone; its tokens are refused");
                (key_id, audit::KeyChange::Retired)
            }
        };
        let _ = audit.record(Event::KeyChanged { key_id, change }).await;
    }
}

/// Learns of every identity provider what is needed to send people there.
pub(super) async fn warm_up(identity: Arc<Identity>, clock: Clock) {
    let warming = identity.providers().iter().map(|provider| async {
        if let Err(failure) = provider.warm_up(clock.now()).await {
            let provider = provider.name();
            tracing::warn!(%provider, %failure, "nobody can log in at this identity provider yet; it is asked again then");
        }
    });
    futures_util::future::join_all(warming).await;
}
