//! What is left when somebody kills a keeper: the processes of its session.
//!
//! A last resort. What left the session by `setsid` is not found; only the keeper, as their subreaper, knows those.

use rustix::io;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::process_table;

/// Enough for a tree that is this deep or forks this fast.
const ROUNDS: usize = 50;

/// Kills every process in the session that `leader` had led. Blocking: reads `/proc`.
pub(super) fn kill_session(leader: Pid) {
    for _ in 0..ROUNDS {
        let members: Vec<_> = process_table::numbers().filter(|pid| is_member(*pid, leader)).collect();
        if members.into_iter().filter(|pid| kill_member(*pid, leader).is_ok()).count() == 0 {
            return;
        }
    }
}

/// The session is asked for again once the descriptor pins the process, so a reused number hits nobody.
fn kill_member(pid: Pid, leader: Pid) -> io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    if !is_member(pid, leader) {
        return Err(io::Errno::SRCH);
    }
    pidfd_send_signal(process, Signal::KILL)
}

fn is_member(pid: Pid, leader: Pid) -> bool {
    process_table::entry(pid).is_some_and(|entry| entry.session == Some(leader))
}
