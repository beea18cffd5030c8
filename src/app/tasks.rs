//! Work that no request waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::clock::Clock;
use crate::identity::Identity;
use crate::model::grant::RefreshPolicy;
use crate::store::Store;

/// How often what has expired is removed.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);

/// Removes what has expired, until the process ends.
pub(super) async fn clean_up(store: Arc<dyn Store>, policy: watch::Receiver<RefreshPolicy>, clock: Clock) {
    let mut interval = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        interval.tick().await;
        let policy = *policy.borrow();
        if let Err(error) = store.remove_expired(policy, clock.now()).await {
            tracing::warn!(%error, "could not remove what has expired; trying again later");
        }
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
