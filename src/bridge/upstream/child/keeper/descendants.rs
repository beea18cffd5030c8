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
        Ok(list) => list.split_ascii_whitespace().filter_map(number).collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => children_by_search(),
    }
}

fn children_by_search() -> Vec<Pid> {
    let own = getpid();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| number(entry.file_name().to_str()?)).filter(|pid| parent(*pid) == Some(own)).collect()
}

/// The fourth field of `stat`; the second is a name in brackets that may itself hold brackets and spaces.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    number(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?)
}

fn number(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_children_as_well() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(parent(pid), Some(getpid()));
        assert!(children_by_search().contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children_by_search().contains(&pid));
    }
}
