//! What `/proc` tells of processes: who there is, whose child, in which session.
//!
//! Not by `getsid`: it answers 0 for a kernel thread and for a session led from outside of this PID namespace,
//! which rustix takes for impossible.

use std::fs;

use rustix::process::Pid;

/// The fields of `/proc/<pid>/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `None`: none, or one outside of this PID namespace.
    pub(super) parent: Option<Pid>,
    /// The same.
    pub(super) session: Option<Pid>,
}

/// The numbers of all processes that can be seen.
pub(super) fn numbers() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| number(entry.file_name().to_str()?))
}

/// `None` when there is no such process (any more).
pub(super) fn entry(pid: Pid) -> Option<Entry> {
    parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
}

/// `None` for what is not a number or not positive.
pub(super) fn number(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|number| *number > 0).and_then(Pid::from_raw)
}

/// The second field is a name in brackets that may itself hold brackets and spaces, so everything is counted from the last.
fn parse(stat: &str) -> Option<Entry> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
    let parent = number(fields.next()?);
    let session = number(fields.nth(1)?);
    Some(Entry { parent, session })
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::*;

    #[test]
    fn names_with_brackets_and_kernel_threads_are_read() {
        let pid = |number| Pid::from_raw(number);
        assert_eq!(parse("9 (a) b) S 7 5 3 0 -1"), Some(Entry { parent: pid(7), session: pid(3) }));
        assert_eq!(parse("2 (kthreadd) S 0 0 0 0 -1"), Some(Entry { parent: None, session: None }));
        assert_eq!(parse("9 (a"), None);
    }

    #[test]
    fn a_child_is_seen_as_one() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let ours = entry(getpid()).unwrap();
        let expected = Entry { parent: Some(getpid()), session: ours.session };
        assert_eq!(entry(pid), Some(expected));
        assert!(numbers().any(|number| number == pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(entry(pid).filter(|entry| entry.parent == Some(getpid())), None);
    }
}
