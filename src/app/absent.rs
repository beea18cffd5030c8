//! Ending what was granted to whoever is not in the configuration any more, or not as before.

use std::collections::HashSet;

use crate::app::Ground;
use crate::audit::{Audit, Event};
use crate::base::clock::Timestamp;
use crate::base::id::{GrantId, UserId};
use crate::model::grant::Grant;
use crate::store::{Present, Review, Store, StoreError};

/// Ends what was granted to everybody who is not `present` any more or is another than `before`, and says what of the
/// configuration does not count. Without `before` it is the start. Who is another.
pub(super) async fn look(
    ground: &Ground,
    (present, before): (Present, Option<Present>),
    now: Timestamp,
) -> Result<Vec<UserId>, StoreError> {
    let review = review(ground.store.as_ref(), &ground.audit, (present, before), now).await?;
    for user in &review.ended {
        tracing::info!(%user, "what was granted to this user or client ended: the configuration has changed");
    }
    for user in &review.of_others {
        tracing::warn!(%user, "what the configuration says of this user or client now is not in force: another bridge on this store has said something else since; if it should be, restart this one");
    }
    Ok(review.ended)
}

/// The same, recording each grant that ends.
pub(super) async fn review(
    store: &dyn Store,
    audit: &Audit,
    (present, before): (Present, Option<Present>),
    now: Timestamp,
) -> Result<Review, StoreError> {
    let names: Vec<UserId> = present.configured.iter().map(|person| person.id.clone()).collect();
    let open = list_open(store, audit, now).await?;
    let review = store.review_present(present, before, now).await?;
    let is_another = |grant: &Grant| review.ended.contains(&grant.user) && names.contains(&grant.user);
    let reason = |grant: &Grant| if is_another(grant) { "configured_anew" } else { "not_configured_any_more" };
    record_ended(store, audit, (open, reason), now).await?;
    Ok(review)
}

/// Ends what was granted to a user who is another now, recording each grant.
pub(super) async fn revoke(store: &dyn Store, audit: &Audit, user: &UserId, now: Timestamp) -> Result<(), StoreError> {
    let open = list_open(store, audit, now).await?;
    store.revoke_grants_of(user, now).await?;
    record_ended(store, audit, (open, |_: &Grant| "configured_anew"), now).await
}

/// The grants that are alive; none where nothing is recorded.
async fn list_open(store: &dyn Store, audit: &Audit, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
    let listed = if audit.is_on() { store.list_grants(now).await? } else { Vec::new() };
    Ok(listed.into_iter().map(|listed| listed.grant).collect())
}

/// Records those of the grants that are alive no more.
async fn record_ended(
    store: &dyn Store,
    audit: &Audit,
    (open, reason): (Vec<Grant>, impl Fn(&Grant) -> &'static str),
    now: Timestamp,
) -> Result<(), StoreError> {
    if open.is_empty() {
        return Ok(());
    }
    let still: HashSet<GrantId> = list_open(store, audit, now).await?.into_iter().map(|grant| grant.id).collect();
    for grant in open.iter().filter(|grant| !still.contains(&grant.id)) {
        audit.record(Event::GrantRevoked { grant, reason: reason(grant) }).await?;
    }
    Ok(())
}
