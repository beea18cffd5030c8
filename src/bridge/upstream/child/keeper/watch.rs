//! What the keeper waits for: the lifeline's hang-up, the bridge's end, ends of children, and signals to itself.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use rustix::stdio::stdin;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

use super::plan::Cause;

/// Signals that mean "end, and take the command with you".
const STOP_SIGNALS: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT];

/// How often the parent is looked at when nothing tells of its end.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The event sources, and which of them have spoken for good.
pub(super) struct Watch {
    bridge: Option<Pid>,
    /// Missing on kernels and sandboxes without `pidfd_open`.
    bridge_end: Option<OwnedFd>,
    stop_signals: UnixStream,
    other_signals: UnixStream,
    input_closed: bool,
    bridge_gone: bool,
    signalled: bool,
}

impl Watch {
    /// Sets the signal handlers and takes hold of the parent.
    pub(super) fn new() -> io::Result<Self> {
        let stop_signals = hear(STOP_SIGNALS)?;
        // A handler, even for what was ignored (`nohup`), makes the disposition the default in the command after `exec`.
        // The standard library does the same for SIGPIPE.
        let ignored = ignored_signals().filter(|signal| *signal != SIGPIPE && !STOP_SIGNALS.contains(signal));
        let other_signals = hear(std::iter::once(SIGCHLD).chain(ignored.filter(|signal| *signal != SIGCHLD)))?;
        let bridge = getppid();
        let bridge_end = bridge.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Self {
            bridge,
            bridge_end,
            stop_signals,
            other_signals,
            input_closed: false,
            bridge_gone: false,
            signalled: false,
        })
    }

    /// Whether the bridge has closed the lifeline or ended. Asked once before the command starts: only the bridge has a
    /// writing end then, so "no" also shows that the parent seen in [`Watch::new`] was the bridge.
    pub(super) fn hung_up(&mut self) -> bool {
        self.sleep(Some(Duration::ZERO));
        self.input_closed || self.bridge_gone
    }

    /// The reasons to end the command so far.
    pub(super) fn causes(&self, command_ended: bool) -> impl Iterator<Item = Cause> + use<> {
        let causes = [
            (self.input_closed, Cause::InputClosed),
            (self.bridge_gone, Cause::BridgeGone),
            (command_ended, Cause::CommandEnded),
            (self.signalled, Cause::Signalled),
        ];
        causes.into_iter().filter(|(seen, _)| *seen).map(|(_, cause)| cause)
    }

    /// Sleeps until a source speaks or `timeout` is over.
    pub(super) fn sleep(&mut self, timeout: Option<Duration>) {
        let lifeline = stdin();
        let mut watched = vec![
            PollFd::from_borrowed_fd(self.stop_signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.other_signals.as_fd(), PollFlags::IN),
        ];
        watched.extend((!self.input_closed).then(|| hang_up_of(lifeline)));
        let bridge_end = self.bridge_end.as_ref().filter(|_| !self.bridge_gone);
        watched.extend(bridge_end.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let timeout = match timeout {
            None if self.bridge_end.is_none() => Some(LOOK_AGAIN),
            Some(time) if self.bridge_end.is_none() => Some(time.min(LOOK_AGAIN)),
            timeout => timeout,
        };
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        // An interruption is a signal, whose byte is read below; nothing else can fail for valid descriptors.
        let _ = poll(&mut watched, timeout.as_ref());
        drop(watched);
        self.look();
    }

    /// Reads the state of every source afresh rather than from the flags of one poll, so that no order of events matters.
    fn look(&mut self) {
        self.signalled |= drain(&mut self.stop_signals);
        drain(&mut self.other_signals);
        self.input_closed |= ready(hang_up_of(stdin()));
        // A process is reparented when its parent ends; this works without a pidfd, too.
        let ended = |fd: &OwnedFd| ready(PollFd::new(fd, PollFlags::IN));
        self.bridge_gone |= getppid() != self.bridge || self.bridge_end.as_ref().is_some_and(ended);
    }
}

/// No event is asked for: a hang-up is always told, and what the command has not read yet is none of the keeper's business.
fn hang_up_of(input: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(input, PollFlags::empty())
}

fn ready(source: PollFd<'_>) -> bool {
    poll(&mut [source], Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// Makes the signals readable. None of them ends this process from now on.
fn hear(signals: impl IntoIterator<Item = i32>) -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(signal, sender.try_clone()?)?;
    }
    Ok(receiver)
}

/// Reads all there is; true when there was something.
fn drain(signals: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    while matches!(signals.read(&mut buffer), Ok(1..)) {
        any = true;
    }
    any
}

/// The signals that this process was started to ignore. Empty without `/proc`.
fn ignored_signals() -> impl Iterator<Item = i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let mask = mask.unwrap_or_default();
    // SIGKILL and SIGSTOP cannot be ignored, SIGILL, SIGFPE and SIGSEGV cannot be heard; 32 and 33 are the C library's.
    (1..=31).filter(move |signal| mask >> (signal - 1) & 1 == 1 && ![4, 8, 9, 11, 19].contains(signal))
}
