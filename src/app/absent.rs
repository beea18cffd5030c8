//! Ending what was granted to whoever is not in the configuration any more, or not as before.

use std::collections::HashSet;

use crate::app::Ground;
use crate::audit::{Audit, Event};
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, UserId};
use crate::config::section::{OauthServer, StaticAuthentication};
use crate::identity::Identity;
use crate::model::enrolled::Enrolled;
use crate::store::{Present, Review, Store, StoreError};

/// Ends what was granted to everybody who is not among those of `present`, if it is given, and to whom `review` finds to be
/// another than before. Who these are.
pub(super) async fn look(
    ground: &Ground,
    (present, review): (Option<Present>, Review),
    now: Timestamp,
) -> Result<Vec<UserId>, StoreError> {
    let (store, audit) = (ground.store.as_ref(), &ground.audit);
    // Who is gone altogether is recorded as that; the review then finds them with nothing left.
    if let Some(present) = present {
        revoke(store, audit, present, now).await?;
    }
    let mut ended = Vec::new();
    let reviewing = async {
        ended = store.review_configured(review, now).await?;
        Ok(())
    };
    recorded(store, audit, "configured_anew", (reviewing, now)).await?;
    for user in &ended {
        tracing::info!(%user, "what was granted to this user or client ended: the configuration has changed");
    }
    Ok(ended)
}

/// What grants of the users of the configuration depend on, and of its clients that act for themselves.
pub(super) fn enrolled(section: &OauthServer, identity: &Identity) -> Vec<Enrolled> {
    let alone = section.clients.iter().filter(|client| client.acts_alone);
    let clients = alone.map(|client| Enrolled {
        id: UserId::of_client(&ClientId::new(&client.client_id)),
        credential: proof(&client.authentication),
        scopes: client.scopes.clone().unwrap_or_default(),
    });
    identity.enrolled().into_iter().chain(clients).collect()
}

/// Who of the one is not the same in the other, or not there.
pub(super) fn differing(before: &[Enrolled], after: &[Enrolled]) -> Vec<UserId> {
    let of_one = before.iter().filter(|person| !after.contains(person));
    of_one.chain(after.iter().filter(|person| !before.contains(person))).map(|person| person.id.clone()).collect()
}

fn proof(authentication: &StaticAuthentication) -> Digest {
    match authentication {
        StaticAuthentication::None => Digest::of_bytes(b"none"),
        StaticAuthentication::Secret(secret) => Digest::of_bytes(&[b"secret", secret.as_bytes().as_slice()].concat()),
        StaticAuthentication::Keys(keys) => {
            Digest::of_bytes(&serde_json::to_vec(keys).expect("an address or a text is always JSON"))
        }
    }
}

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
