//! Work that no request waits for.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::model::grant::RefreshPolicy;
use crate::store::Store;

/// How often what has expired is removed.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);

/// Removes what has expired, until the process ends.
pub(super) async fn clean_up(store: Arc<dyn Store>, policy: RefreshPolicy, clock: Clock) {
    let mut interval = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = store.remove_expired(policy, clock.now()).await {
            tracing::warn!(%error, "could not remove what has expired; trying again later");
        }
    }
}
