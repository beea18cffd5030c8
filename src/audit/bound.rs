//! How many lines strangers get. Each kind of refusal of each network has one line a minute, all together have two hundred;
//! the others are counted, and the count is written.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::audit::event::Stranger;
use crate::base::clock::Timestamp;
use crate::base::limit::Limit;

/// How long a stranger has to wait for another line.
const WINDOW: Duration = Duration::from_secs(60);
/// How many lines strangers get in that time.
const MOST: usize = 200;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::time("time in which a kind of refusal is one line of the audit trail", WINDOW, "they are counted"),
    Limit::count("lines of the audit trail about strangers in that time", MOST, "they are counted"),
];

/// Who had a line lately.
#[derive(Debug, Default)]
pub(super) struct Bound(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Timestamp>,
    seen: HashSet<Stranger>,
    withheld: u64,
}

impl Bound {
    /// How many were withheld that the line of this one has to tell of. `None`: it gets no line.
    pub(super) fn admit(&self, stranger: Option<Stranger>, now: Timestamp) -> Option<u64> {
        let Some(stranger) = stranger else { return Some(0) };
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(now);
        if window.seen.len() < MOST && window.seen.insert(stranger) {
            return Some(std::mem::take(&mut window.withheld));
        }
        window.withheld += 1;
        None
    }

    /// How many were withheld whose time is over, for a line about them alone.
    pub(super) fn take_withheld(&self, now: Timestamp) -> u64 {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = window.began.is_none_or(|began| now.since(began) >= WINDOW);
        if is_over { std::mem::take(&mut window.withheld) } else { 0 }
    }

    /// All that were withheld: nobody comes after the end.
    pub(super) fn take_all(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).withheld)
    }
}

impl Window {
    fn turn(&mut self, now: Timestamp) {
        // A clock that was set back begins anew, too: nobody is silenced until it has caught up.
        if self.began.is_none_or(|began| now.since(began) >= WINDOW || now < began) {
            self.began = Some(now);
            self.seen.clear();
        }
    }
}
