//! From the database to [`Revoked`].

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::base::clock::Timestamp;
use crate::store::Revoked;

/// For clocks that differ and requests under way.
const MARGIN: Duration = Duration::from_secs(60);

/// Keeps the lists in memory equal to the database.
pub(super) struct Revocations {
    revoked: Revoked,
    /// How long after its revocation a grant is listed, in seconds.
    window: AtomicU64,
    /// The time as last told. Late when nobody calls, and then the lists are longer than needed, never shorter.
    now: AtomicI64,
    /// Held from reading the database to replacing the lists, so that an older reading never replaces a newer one.
    turn: Mutex<()>,
}

impl Revocations {
    /// Of the database behind `connection`, with the lists of now in force.
    pub(super) fn new(
        connection: &Connection,
        revoked: Revoked,
        now: Timestamp,
        access_token_lifetime: Duration,
    ) -> rusqlite::Result<Self> {
        let longest = longest_lifetime(connection, now, access_token_lifetime)?;
        let revocations = Self {
            revoked,
            window: AtomicU64::new(window(longest)),
            now: AtomicI64::new(now.unix()),
            turn: Mutex::new(()),
        };
        revocations.load(connection)?;
        Ok(revocations)
    }

    /// Tells the time.
    pub(super) fn tell(&self, now: Timestamp) {
        // The latest word counts, not the largest: a clock that had been set wrong must not hide revocations for good.
        self.now.store(now.unix(), Ordering::Relaxed);
    }

    /// How long after its revocation a grant is listed.
    pub(super) fn window(&self) -> Duration {
        Duration::from_secs(self.window.load(Ordering::Relaxed))
    }

    /// Access tokens live for so long from now on. Within a transaction.
    pub(super) fn expect(&self, connection: &Connection, now: Timestamp, lifetime: Duration) -> rusqlite::Result<()> {
        let longest = if is_known(connection, lifetime)? { lifetime } else { record(connection, now, lifetime)? };
        self.window.store(window(longest), Ordering::Relaxed);
        Ok(())
    }

    /// Reads the lists and puts them in force.
    pub(super) fn load(&self, connection: &Connection) -> rusqlite::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::from_unix(self.now.load(Ordering::Relaxed));
        let grants = connection
            .prepare_cached("SELECT id FROM grants WHERE revoked_at >= ?1")?
            .query_map([now - self.window()], |row| row.get(0))?
            .collect::<rusqlite::Result<HashSet<_>>>()?;
        let tokens = connection
            .prepare_cached("SELECT jti FROM revoked_access_tokens WHERE expires_at > ?1")?
            .query_map([now - MARGIN], |row| row.get(0))?
            .collect::<rusqlite::Result<HashSet<_>>>()?;
        self.revoked.replace(grants, tokens);
        Ok(())
    }
}

/// The longest that an access token issued until now may live: a lifetime that was shortened since counts until its last
/// token has ended. Otherwise a restart with a shorter one would let revoked tokens back in.
fn longest_lifetime(connection: &Connection, now: Timestamp, configured: Duration) -> rusqlite::Result<Duration> {
    if is_known(connection, configured)? {
        return Ok(configured);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let longest = record(&transaction, now, configured)?;
    transaction.commit()?;
    Ok(longest)
}

/// Whether no token with another lifetime may live.
fn is_known(connection: &Connection, lifetime: Duration) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM access_token_lifetimes HAVING count(*) = 1 AND max(seconds) = ?1 AND max(used_until) IS NULL",
        )?
        .exists([seconds(lifetime)])
}

fn record(transaction: &Connection, now: Timestamp, lifetime: Duration) -> rusqlite::Result<Duration> {
    let seconds = seconds(lifetime);
    transaction.execute(
        "UPDATE access_token_lifetimes SET used_until = ?2 WHERE seconds <> ?1 AND used_until IS NULL",
        params![seconds, now],
    )?;
    transaction.execute("DELETE FROM access_token_lifetimes WHERE used_until <= ?1 - seconds", [now - MARGIN])?;
    transaction.execute(
        "INSERT INTO access_token_lifetimes (seconds) VALUES (?1) ON CONFLICT (seconds) DO UPDATE SET used_until = NULL",
        [seconds],
    )?;
    let longest: u32 =
        transaction
            .query_row("SELECT min(max(seconds), 4294967295) FROM access_token_lifetimes", [], |row| row.get(0))?;
    Ok(Duration::from_secs(longest.into()))
}

fn seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
}

/// In seconds.
fn window(longest: Duration) -> u64 {
    longest.saturating_add(MARGIN).as_secs()
}
