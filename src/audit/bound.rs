//! How many lines strangers get. Each kind of refusal of each network has one line a minute, one network has twenty, all together
//! have two hundred; the others are counted, and the count is written: in the next line that says the same, or in one about the
//! kind alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::event::Stranger;
use crate::audit::line::Kind;
use crate::base::clock::Timestamp;
use crate::base::limit::Limit;

/// How long a stranger has to wait for another line.
const WINDOW: Duration = Duration::from_secs(60);
/// How many lines strangers get in that time.
const MOST: usize = 200;
/// How many of them one network gets, whatever clients and names it comes with: it must not silence the others.
const MOST_OF_ONE: usize = 20;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::time("time in which a kind of refusal is one line of the audit trail", WINDOW, "they are counted"),
    Limit::count("lines of the audit trail about strangers in that time", MOST, "they are counted"),
    Limit::count("of them, about strangers of one network", MOST_OF_ONE, "they are counted"),
];

/// Who had a line lately.
#[derive(Debug, Default)]
pub(super) struct Bound(Mutex<Window>);

/// What is counted. Strangers are at most [`MOST`] in either map, kinds are words of ours.
#[derive(Debug, Default)]
struct Window {
    began: Option<Timestamp>,
    /// Who had a line, and how many like it were withheld since.
    seen: HashMap<Stranger, u64>,
    /// How many of them are of each network.
    networks: HashMap<String, usize>,
    /// The same of the window before, where any were: told by the next line that says the same.
    before: HashMap<Stranger, u64>,
    /// Those of whom no line tells any more, or ever did.
    others: BTreeMap<Kind, u64>,
    /// Those of `others` whose window is over.
    due: BTreeMap<Kind, u64>,
}

impl Bound {
    /// How many like this one were withheld that its line has to tell of. `None`: it gets no line.
    pub(super) fn admit(&self, stranger: Stranger, now: Timestamp) -> Option<u64> {
        let mut window = self.window();
        window.turn(now);
        if let Some(withheld) = window.seen.get_mut(&stranger) {
            *withheld += 1;
            return None;
        }
        let of_network = window.networks.get(&stranger.network).copied().unwrap_or(0);
        if window.seen.len() >= MOST || of_network >= MOST_OF_ONE {
            *window.others.entry(stranger.kind).or_default() += 1;
            return None;
        }
        window.networks.insert(stranger.network.clone(), of_network + 1);
        let withheld = window.before.remove(&stranger).unwrap_or(0);
        window.seen.insert(stranger, 0);
        Some(withheld)
    }

    /// How many of each kind were withheld whose time is over, for lines about them alone: one a minute for each kind.
    pub(super) fn take_withheld(&self, now: Timestamp) -> Vec<(Kind, u64)> {
        let mut window = self.window();
        window.turn(now);
        std::mem::take(&mut window.due).into_iter().collect()
    }

    /// All that were withheld: nobody comes after the end.
    pub(super) fn take_all(&self) -> Vec<(Kind, u64)> {
        let mut window = std::mem::take(&mut *self.window());
        window.end();
        window.end();
        window.due.into_iter().collect()
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn turn(&mut self, now: Timestamp) {
        // A clock that was set back begins anew, too: nobody is silenced until it has caught up.
        if self.began.is_none_or(|began| now.since(began) >= WINDOW || now < began) {
            self.began = Some(now);
            self.end();
        }
    }

    fn end(&mut self) {
        let told_by_nobody =
            std::mem::take(&mut self.before).into_iter().map(|(stranger, count)| (stranger.kind, count));
        for (kind, count) in told_by_nobody.chain(std::mem::take(&mut self.others)) {
            *self.due.entry(kind).or_default() += count;
        }
        self.networks.clear();
        self.before = std::mem::take(&mut self.seen).into_iter().filter(|(_, count)| *count > 0).collect();
    }
}
