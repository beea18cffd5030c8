//! Signals to everything below this process, and only to that.
//!
//! Only direct children are addressed, never remembered numbers: a child's number, and that of its group, cannot be given to
//! another process before this single thread reaps the child. Deeper generations become direct children as those above them
//! die. The group rather than the process is signalled because the kernel does that in one go, so a member that forks at
//! that moment cannot slip through.

use std::fs;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgid, getpgrp, getpid, kill_process, kill_process_group, wait,
};

use crate::bridge::upstream::child::process_table;

/// Collects every child that has ended. False when there is no child left, dead or alive.
pub(super) fn reap(mut each: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => each(pid, status),
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return false,
            Ok(None) | Err(_) => return true,
        }
    }
}

/// Sends `signals`, in this order, to every child and its group.
pub(super) fn signal_all(signals: &[Signal]) {
    let own = getpgrp();
    let mut groups = Vec::new();
    for child in children() {
        let group = getpgid(Some(child)).unwrap_or(own);
        let known = groups.contains(&group);
        for signal in signals.iter().copied().filter(|_| !known) {
            // Errors mean that it has ended or is another user's; the caller looks again anyway.
            let _ = if group == own { kill_process(child, signal) } else { kill_process_group(group, signal) };
        }
        if group != own {
            groups.push(group);
        }
    }
}

/// The children of this process, the ended ones that were not reaped included.
pub(super) fn children() -> Vec<Pid> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => list.split_ascii_whitespace().filter_map(process_table::number).collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => children_by_search(),
    }
}

fn children_by_search() -> Vec<Pid> {
    let own = Some(getpid());
    process_table::numbers().filter(|pid| process_table::entry(*pid).is_some_and(|entry| entry.parent == own)).collect()
}
