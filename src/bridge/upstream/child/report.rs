//! How a command ended, in words, and the line on standard error by which the keeper tells the bridge.
//!
//! An exit status has eight bits, too few for the command's own status, a signal and a failure to start. The line comes
//! after the end of every process that could have written to the same pipe, so the last one is genuine.

use std::io;

use rustix::process::WaitStatus;

/// What the keeper's line begins with: the record separator, which no log line has.
const MARK: &str = "\u{1e}mcp-keeper: ";

/// A keeper says no more than this: a number, or a path and what the system says of it.
const LONGEST: usize = 64 * 1024;

/// The bytes the keeper writes. The line break in front ends a line that the command left open.
pub(super) fn encode(words: &str) -> String {
    format!("\n{MARK}{words}\n")
}

/// The words, when the line is a keeper's.
pub(super) fn decode(line: &[u8]) -> Option<String> {
    let words = line.strip_prefix(MARK.as_bytes())?;
    Some(String::from_utf8_lossy(words).into_owned())
}

/// Whether a line that begins like this may be a keeper's.
pub(super) fn may_begin(line: &[u8]) -> bool {
    let mark = MARK.as_bytes();
    mark.starts_with(line) || (line.starts_with(mark) && line.len() < LONGEST)
}

/// `exited with 1`, `killed by signal 11 (SIGSEGV)`.
pub(super) fn ended(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
        (None, None) => format!("ended with status {:#x}", status.as_raw()),
    }
}

/// For a command that the system would not execute.
pub(super) fn not_started(command: &str, error: &io::Error) -> String {
    let hint = match error.raw_os_error() {
        // The file itself was there a moment ago.
        Some(2) => "; is there a first line #! that names a missing interpreter?",
        Some(8) => "; is it built for this machine, or a script without #! in its first line?",
        _ => "",
    };
    format!("could not be started: {command}: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe() {
        let bytes = encode("exited with 1");
        let lines: Vec<_> = bytes.lines().collect();
        assert_eq!(lines[0], "");
        assert_eq!(decode(lines[1].as_bytes()).as_deref(), Some("exited with 1"));
        assert_eq!(decode(b"mcp-keeper: exited with 1"), None);
    }

    #[test]
    fn child_15_a_failure_to_start_says_what_to_look_at() {
        let words = |code| not_started("foo", &io::Error::from_raw_os_error(code));
        assert!(words(2).ends_with("missing interpreter?"), "{}", words(2));
        assert!(words(8).contains("#!"), "{}", words(8));
        assert_eq!(words(7), "could not be started: foo: Argument list too long (os error 7)");
    }
}
