//! When a command is asked, told and made to end.

use std::time::{Duration, Instant};

use crate::base::limit::Limit;

/// The longest wait before SIGTERM, and again before SIGKILL, once nobody is waiting for a polite end any more. Twice this
/// is less than the five seconds after which nothing may be left.
const HURRY: Duration = Duration::from_secs(2);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("SIGTERM, and again SIGKILL, of a child after the bridge has gone", HURRY, "the next step is taken")];

/// Why the command is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The bridge closed standard input.
    InputClosed,
    /// The bridge has ended.
    BridgeGone,
    /// The command itself has ended; what it started has not.
    CommandEnded,
    /// A signal asked the keeper to end.
    Signalled,
}

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// Waits for the command to end by itself.
    InputClosed,
    /// SIGTERM.
    Terminated,
    /// SIGKILL.
    Killed,
}

/// Every cause sets its times when it is first seen; the earliest count.
#[derive(Debug)]
pub(super) struct Plan {
    grace: Duration,
    seen: Vec<Cause>,
    times: Option<Times>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    terminate: Instant,
    kill: Instant,
}

impl Plan {
    pub(super) fn new(grace: Duration) -> Self {
        // A day is for ever here and keeps the sums below from overflowing.
        Self { grace: grace.min(Duration::from_secs(86_400)), seen: Vec::new(), times: None }
    }

    /// Takes in what there is to see at `now`. True when a cause is new.
    pub(super) fn update(&mut self, causes: impl Iterator<Item = Cause>, now: Instant) -> bool {
        let before = self.seen.len();
        for cause in causes {
            if !self.seen.contains(&cause) {
                self.seen.push(cause);
                let new = self.times_of(cause, now);
                self.times = Some(self.times.map_or(new, |old| old.earlier(new)));
            }
        }
        self.seen.len() > before
    }

    pub(super) fn stage(&self, now: Instant) -> Stage {
        match self.times {
            None => Stage::Running,
            Some(times) if now >= times.kill => Stage::Killed,
            Some(times) if now >= times.terminate => Stage::Terminated,
            Some(_) => Stage::InputClosed,
        }
    }

    /// How long until the next stage. `None`: until something happens.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let times = self.times?;
        let next = if now < times.terminate { times.terminate } else { times.kill };
        Some(next.saturating_duration_since(now))
    }

    /// How long ago the killing began.
    pub(super) fn killed_for(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.times?.kill)
    }

    fn times_of(&self, cause: Cause, now: Instant) -> Times {
        let short = self.grace.min(HURRY);
        let (wait, again) = match cause {
            // MCP, stdio, Shutdown: close the input, wait, SIGTERM, wait, SIGKILL.
            Cause::InputClosed => (self.grace, self.grace),
            Cause::BridgeGone => (short, short),
            Cause::CommandEnded | Cause::Signalled => (Duration::ZERO, short),
        };
        Times { terminate: now + wait, kill: now + wait + again }
    }
}

impl Times {
    fn earlier(self, other: Self) -> Self {
        Self { terminate: self.terminate.min(other.terminate), kill: self.kill.min(other.kill) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(grace: u32, cause: Cause, now: Instant) -> Plan {
        let mut plan = Plan::new(SECOND * grace);
        assert_eq!(plan.stage(now), Stage::Running);
        assert!(plan.update([cause].into_iter(), now));
        plan
    }

    #[test]
    fn child_19_the_order_is_end_of_input_sigterm_sigkill() {
        let now = Instant::now();
        let plan = plan(30, Cause::InputClosed, now);
        let at = |seconds| plan.stage(now + SECOND * seconds);
        assert_eq!((at(0), at(29)), (Stage::InputClosed, Stage::InputClosed));
        assert_eq!((at(30), at(59)), (Stage::Terminated, Stage::Terminated));
        assert_eq!(at(60), Stage::Killed);
        assert_eq!(plan.next(now + SECOND * 10), Some(SECOND * 20));
    }

    #[test]
    fn child_7_without_the_bridge_all_is_over_within_five_seconds() {
        let now = Instant::now();
        let mut plan = plan(30, Cause::InputClosed, now);
        assert!(plan.update([Cause::InputClosed, Cause::BridgeGone].into_iter(), now + SECOND));
        assert_eq!(plan.stage(now + SECOND * 2), Stage::InputClosed);
        assert_eq!(plan.stage(now + SECOND * 3), Stage::Terminated);
        assert_eq!(plan.stage(now + SECOND * 5), Stage::Killed);
        assert!(!plan.update([Cause::BridgeGone].into_iter(), now + SECOND * 4), "a known cause sets no new times");
    }

    #[test]
    fn what_a_command_leaves_behind_is_told_at_once() {
        let now = Instant::now();
        let plan = plan(30, Cause::CommandEnded, now);
        assert_eq!(plan.stage(now), Stage::Terminated);
        assert_eq!(plan.stage(now + SECOND * 2), Stage::Killed);
        assert_eq!(plan.killed_for(now + SECOND * 5), Some(SECOND * 3));
    }
}
