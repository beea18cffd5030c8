//! From the database to [`Revoked`].

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::base::clock::Timestamp;
use crate::store::Revoked;

/// For clocks that differ and requests under way.
const MARGIN: Duration = Duration::from_secs(60);

/// Keeps the lists in memory equal to the database.
pub(super) struct Revocations {
    revoked: Revoked,
    /// How long after its revocation a grant is listed.
    window: Duration,
    /// The time as last told. Late when nobody calls, and then the lists are longer than needed, never shorter.
    now: AtomicI64,
    /// Held from reading the database to replacing the lists, so that an older reading never replaces a newer one.
    turn: Mutex<()>,
}

impl Revocations {
    pub(super) fn new(revoked: Revoked, now: Timestamp, access_token_lifetime: Duration) -> Self {
        let window = access_token_lifetime.saturating_add(MARGIN);
        Self { revoked, window, now: AtomicI64::new(now.unix()), turn: Mutex::new(()) }
    }

    /// Tells the time.
    pub(super) fn tell(&self, now: Timestamp) {
        // The latest word counts, not the largest: a clock that had been set wrong must not hide revocations for good.
        self.now.store(now.unix(), Ordering::Relaxed);
    }

    /// How long after its revocation a grant is listed.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Reads the lists and puts them in force.
    pub(super) fn load(&self, connection: &Connection) -> rusqlite::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::from_unix(self.now.load(Ordering::Relaxed));
        let grants = connection
            .prepare_cached("SELECT id FROM grants WHERE revoked_at >= ?1")?
            .query_map([now - self.window], |row| row.get(0))?
            .collect::<rusqlite::Result<HashSet<_>>>()?;
        let tokens = connection
            .prepare_cached("SELECT jti FROM revoked_access_tokens WHERE expires_at > ?1")?
            .query_map([now - MARGIN], |row| row.get(0))?
            .collect::<rusqlite::Result<HashSet<_>>>()?;
        self.revoked.replace(grants, tokens);
        Ok(())
    }
}
