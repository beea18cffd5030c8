//! Reading the files of a configuration: those that can be read to their end, and at a reload those that can be read again.
//!
//! A named pipe, a terminal or another device may keep its reader waiting for ever, so none is opened because a path happens
//! to lead to one. What whoever started the program handed to it is another matter: `-c /dev/stdin` and `-c <(…)` are wishes,
//! and whoever waits there can press Ctrl-C.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// When a configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The program has just been started.
    Start,
    /// It runs, and was told to look again.
    Reload,
}

/// Reads a file.
///
/// # Errors
/// It is not there, may not be read, or is no file that may be waited for.
pub fn read(path: &Path, occasion: Occasion) -> io::Result<Vec<u8>> {
    // Asked before it is opened: to open a named pipe is to wait for its writer. Whoever changes it in between makes the
    // reading wait, but not the shutdown.
    let kind = fs::metadata(path)?.file_type();
    let what = match kind {
        kind if kind.is_file() || kind.is_dir() => return fs::read(path),
        _ if occasion == Occasion::Start && is_handed_over(path) => return fs::read(path),
        kind if kind.is_fifo() => "it is a pipe",
        kind if kind.is_char_device() || kind.is_block_device() => "it is a device",
        _ => "it is a socket",
    };
    Err(io::Error::other(match occasion {
        Occasion::Start => format!("{what}, which may never end; name a file, or /dev/stdin"),
        Occasion::Reload => format!("{what}, which cannot be read again; a reload needs a file"),
    }))
}

/// Whether the path stands for something open that the program was started with; `/dev/null` is nothing at all.
pub fn is_handed_over(path: &Path) -> bool {
    let of_descriptors = |folder| path.parent() == Some(Path::new(folder));
    ["/dev/stdin", "/dev/null"].iter().any(|name| path == Path::new(name))
        || ["/dev/fd", "/proc/self/fd"].into_iter().any(of_descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_was_started_with_is_handed_over() {
        for path in ["/dev/stdin", "/dev/fd/63", "/proc/self/fd/0", "/dev/null"] {
            assert!(is_handed_over(Path::new(path)), "{path}");
        }
        for path in ["/dev/tty", "/dev/zero", "/tmp/pipe", "fd/63", "/dev/fd/../tty", "/dev/fd", "/proc/1/fd/0"] {
            assert!(!is_handed_over(Path::new(path)), "{path}");
        }
    }
}
