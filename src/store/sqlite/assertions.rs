//! Assertions, of clients about themselves and of issuers about people: each counts once.

use rusqlite::params;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::ClientId;
use crate::model::grant::{AssertionOutcome, CheckedAssertion, Description};
use crate::store::sqlite::accounts;
use crate::store::sqlite::grants;
use crate::store::sqlite::writer::Writing;

/// `false`: it was spent before.
pub(super) fn spend(
    writing: &Writing<'_>,
    client: &ClientId,
    digest: &Digest,
    expires_at: Timestamp,
) -> rusqlite::Result<bool> {
    let added = writing.change(
        "INSERT INTO spent_assertions (client_id, digest, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![client, digest, expires_at],
    )?;
    Ok(added == 1)
}

pub(super) fn redeem(writing: &Writing<'_>, assertion: &CheckedAssertion) -> rusqlite::Result<AssertionOutcome> {
    if !spend(writing, &assertion.grant.client_id, &assertion.digest, assertion.expires_at)? {
        return Ok(AssertionOutcome::Replayed);
    }
    // Each looks itself whether the person is disabled, so that nobody who is being disabled meanwhile gets anything.
    let recorded = match assertion.description {
        Description::Latest => accounts::record(writing, &assertion.account)?,
        Description::OfStranger => accounts::meet(writing, &assertion.account)?,
    };
    if !recorded {
        return Ok(AssertionOutcome::Disabled);
    }
    grants::insert(writing, &assertion.grant)?;
    Ok(AssertionOutcome::Granted)
}
