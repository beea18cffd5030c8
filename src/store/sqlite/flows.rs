//! Authorization requests on their way through a browser.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{FlowId, UserId};
use crate::base::limit::Limit;
use crate::model::authorization::{AuthorizationCode, Flow, Stage};
use crate::model::consent::Decided;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::accounts;
use crate::store::sqlite::consents;
use crate::store::sqlite::tokens;
use crate::store::sqlite::value::Json;
use crate::store::sqlite::writer::Writing;
use crate::store::{Flows, StoreError};

/// How many flows are kept, so that requests nobody answers cannot fill the disk.
const MAX_FLOWS: i64 = 10_000;
/// What stands in the place of a client when a person goes to the own account.
const OWN_ACCOUNT: &str = "";
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::count("logins under way, in all", MAX_FLOWS as usize, "the oldest is forgotten")];

#[async_trait]
impl Flows for Sqlite {
    async fn add_flow(&self, flow: Flow, now: Timestamp) -> Result<(), StoreError> {
        self.write_at(now, move |writing| {
            insert(writing, &flow)?;
            drop_oldest(writing, MAX_FLOWS)
        })
        .await
    }

    async fn find_flow(&self, id: &FlowId, now: Timestamp) -> Result<Option<Flow>, StoreError> {
        let id = id.clone();
        self.read(move |connection| find(connection, &id, now)).await
    }

    async fn advance_flow(
        &self,
        from: &Flow,
        browser: Digest,
        stage: Stage,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let from = from.clone();
        self.write_at(now, move |writing| advance(writing, &from, &Step { browser, stage, now })).await
    }

    async fn approve_flow(
        &self,
        from: &Flow,
        code: AuthorizationCode,
        decided: Option<Decided>,
    ) -> Result<bool, StoreError> {
        let from = from.clone();
        self.write(move |writing| {
            let step = Step { browser: from.browser, stage: Stage::Finished, now: code.issued_at };
            // A user who was disabled between login and approval gets no code, nor does a person of an identity provider
            // who was removed: who it is was known only after the answer came, so the flow did not go with the person.
            if !accounts::may_come_in(writing, &code.user)? || !advance(writing, &from, &step)? {
                return Ok(false);
            }
            tokens::insert_code(writing, &code)?;
            decided.map(|decided| consents::remember(writing, decided)).transpose()?;
            Ok(true)
        })
        .await
    }
}

struct Step {
    browser: Digest,
    stage: Stage,
    now: Timestamp,
}

/// Moves the flow if it still is where it was found. A finished flow answers no more.
fn advance(writing: &Writing<'_>, from: &Flow, step: &Step) -> rusqlite::Result<bool> {
    if from.stage == Stage::Finished {
        return Ok(false);
    }
    let changed = writing.change(
        "UPDATE flows SET browser = ?1, stage = ?2, user_id = ?3
         WHERE id = ?4 AND browser = ?5 AND stage = ?6 AND expires_at > ?7",
        params![
            step.browser,
            Json(&step.stage),
            user_of(&step.stage),
            from.id,
            from.browser,
            Json(&from.stage),
            step.now
        ],
    )?;
    Ok(changed == 1)
}

fn insert(writing: &Writing<'_>, flow: &Flow) -> rusqlite::Result<()> {
    writing.change(
        "INSERT INTO flows (id, browser, client_id, user_id, request, stage, started_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            flow.id,
            flow.browser,
            flow.request.as_ref().map_or(OWN_ACCOUNT, |request| request.client_id.as_str()),
            user_of(&flow.stage),
            Json(&flow.request),
            Json(&flow.stage),
            flow.started_at,
            flow.expires_at,
        ],
    )?;
    Ok(())
}

/// Rows are numbered as they come, so the oldest are found without counting the others.
fn drop_oldest(writing: &Writing<'_>, most: i64) -> rusqlite::Result<()> {
    writing.change("DELETE FROM flows WHERE rowid <= (SELECT max(rowid) FROM flows) - ?1", [most])?;
    Ok(())
}

fn find(connection: &Connection, id: &FlowId, now: Timestamp) -> rusqlite::Result<Option<Flow>> {
    connection
        .prepare_cached(
            "SELECT id, browser, request, stage, started_at, expires_at FROM flows WHERE id = ?1 AND expires_at > ?2",
        )?
        .query_row(params![id, now], |row| {
            Ok(Flow {
                id: row.get(0)?,
                browser: row.get(1)?,
                request: row.get::<_, Json<_>>(2)?.0,
                stage: row.get::<_, Json<_>>(3)?.0,
                started_at: row.get(4)?,
                expires_at: row.get(5)?,
            })
        })
        .optional()
}

fn user_of(stage: &Stage) -> Option<&UserId> {
    match stage {
        Stage::Consent { user, .. } => Some(user),
        Stage::Login { .. }
        | Stage::Permission { .. }
        | Stage::Away { .. }
        | Stage::Returned { .. }
        | Stage::Finished => None,
    }
}
