//! Ending what was granted to whoever is not in the configuration any more, or not as before.

use std::collections::HashSet;

use crate::audit::{Audit, Event};
use crate::base::clock::Timestamp;
use crate::store::{Present, Store, StoreError};

/// Ends what was granted to everybody who is not `present`, and records what it was.
pub(super) async fn revoke(
    store: &dyn Store,
    audit: &Audit,
    present: Present,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ending = store.revoke_absent_users(present, now);
    recorded(store, audit, "not_configured_any_more", (ending, now)).await
}

/// Records each grant that `ending` ends.
pub(super) async fn recorded(
    store: &dyn Store,
    audit: &Audit,
    reason: &'static str,
    (ending, now): (impl Future<Output = Result<(), StoreError>>, Timestamp),
) -> Result<(), StoreError> {
    let before = if audit.is_on() { store.list_grants(now).await? } else { Vec::new() };
    ending.await?;
    if before.is_empty() {
        return Ok(());
    }
    let after: HashSet<_> = store.list_grants(now).await?.into_iter().map(|listed| listed.grant.id).collect();
    for listed in before.iter().filter(|listed| !after.contains(&listed.grant.id)) {
        audit.record(Event::GrantRevoked { grant: &listed.grant, reason }).await?;
    }
    Ok(())
}
