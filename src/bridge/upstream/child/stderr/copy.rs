//! A child's standard error as it is, into a file or to the bridge's own.
//!
//! Files and terminals can make a writer wait, so a thread of its own writes; what it cannot keep up with is left out.
//! Rejected: to give the child the descriptor itself (it would wait too), and tokio's files (a disk that hangs would keep
//! the whole runtime from ending).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rustix::fs::OFlags;
use tokio::sync::oneshot;

use super::Line;
use crate::base::secret::Secret;

/// The longest line that is copied, in bytes; what is beyond is counted.
pub(super) const LONGEST_LINE: usize = 1024 * 1024;

/// How many bytes may wait to be written.
const WAITING: usize = 1024 * 1024;

/// Copies lines.
#[derive(Debug)]
pub(in crate::bridge::upstream::child) struct Copier {
    secrets: Vec<Secret>,
    queue: mpsc::Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    dropped: u64,
    ended: oneshot::Receiver<()>,
}

impl Copier {
    /// To the end of a file, which is made when it is not there. `secrets`, the longest first, are blotted out.
    ///
    /// # Errors
    /// It cannot be opened, or is no ordinary file.
    pub(super) fn to_file(path: &Path, upstream: &str, secrets: Vec<Secret>) -> io::Result<Self> {
        // Opening a pipe that nobody reads would wait for a reader.
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no ordinary file"));
        }
        Self::start(file, upstream, secrets)
    }

    /// To the bridge's own standard error.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn to_own(upstream: &str, secrets: Vec<Secret>) -> io::Result<Self> {
        // Not by Rust's handle, whose lock the log needs too.
        let own = io::stderr().as_fd().try_clone_to_owned()?;
        Self::start(File::from(own), upstream, secrets)
    }

    fn start(target: File, upstream: &str, secrets: Vec<Secret>) -> io::Result<Self> {
        let (queue, lines) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let (end, ended) = oneshot::channel();
        let (counter, name) = (Arc::clone(&waiting), upstream.to_owned());
        std::thread::Builder::new().name(format!("stderr {upstream}")).spawn(move || {
            write(&lines, target, &counter, &name);
            // Nobody may be waiting for it any more.
            let _unheard = end.send(());
        })?;
        Ok(Self { secrets, queue, waiting, dropped: 0, ended })
    }

    pub(super) fn line(&mut self, line: &Line) {
        if self.waiting.load(Ordering::Acquire) > WAITING {
            self.dropped += 1;
            return;
        }
        let mut text = self.left_out();
        text.extend(self.secrets.iter().fold(line.bytes.clone(), |text, secret| blotted(&text, secret)));
        if line.beyond > 0 {
            text.extend_from_slice(format!(" … ({} bytes more)", line.beyond).as_bytes());
        }
        text.push(b'\n');
        self.send(text);
    }

    /// Waits until everything is written.
    pub(super) async fn finish(mut self) {
        let text = self.left_out();
        if !text.is_empty() {
            self.send(text);
        }
        drop(self.queue);
        // Fails when the thread panicked, which is as much an end.
        let _ended = self.ended.await;
    }

    fn send(&self, text: Vec<u8>) {
        self.waiting.fetch_add(text.len(), Ordering::AcqRel);
        // Fails when the thread has ended, which has logged why.
        let _gone = self.queue.send(text);
    }

    /// What stands in the place of lines that could not be kept.
    fn left_out(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.dropped) {
            0 => Vec::new(),
            count => format!("mcp-bridge: {count} lines of standard error are left out here\n").into_bytes(),
        }
    }
}

fn write(lines: &mpsc::Receiver<Vec<u8>>, mut target: File, waiting: &AtomicUsize, upstream: &str) {
    let mut failed = false;
    for line in lines {
        match target.write_all(&line) {
            Ok(()) => failed = false,
            // A full disk may have room again: it is tried on, and said once.
            Err(error) if !failed => {
                tracing::warn!(upstream, %error, "an upstream's standard error cannot be copied");
                failed = true;
            }
            Err(_) => {}
        }
        waiting.fetch_sub(line.len(), Ordering::AcqRel);
    }
}

/// The text with every occurrence of the secret replaced.
fn blotted(text: &[u8], secret: &Secret) -> Vec<u8> {
    let secret = secret.expose().as_bytes();
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(secret.len().max(1)).position(|part| part == secret) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"[redacted]");
        rest = &rest[at + secret.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{Destination, drain, report};
    use super::*;

    fn secrets() -> Vec<Secret> {
        ["hush-hush-1", "hush-hush"].map(Secret::new).to_vec()
    }

    #[tokio::test]
    async fn child_12_a_file_gets_every_line_as_it_is_but_for_secrets_and_the_keepers_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("child.log");
        for round in ["1", "2"] {
            let copy = Copier::to_file(&path, "files", secrets()).unwrap();
            let input = format!("{round} \x1b[31m hush-hush-1\r\n\nhush-hush{}", report::encode("exited with 1"));
            let bytes = [input.as_bytes(), b"\xff last"].concat();
            let reported = drain(bytes.as_slice(), Destination::Copier(copy)).await;
            assert_eq!(reported.as_deref(), Some("exited with 1"));
        }
        let expected = |round: &str| [round.as_bytes(), b" \x1b[31m [redacted]\n[redacted]\n\xff last\n"].concat();
        assert_eq!(std::fs::read(&path).unwrap(), [expected("1"), expected("2")].concat());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_hangs_or_is_no_file_stops_nobody() {
        // A pipe that nobody reads takes 64 KiB and then makes its writer wait.
        let (mut reader, writer) = io::pipe().unwrap();
        let copy = Copier::start(File::from(std::os::fd::OwnedFd::from(writer)), "files", Vec::new()).unwrap();
        let input = format!("{}{}", "a line that fills\n".repeat(400_000), report::encode("exited with 0"));
        let reported = drain(input.as_bytes(), Destination::Copier(copy)).await;
        assert_eq!(reported.as_deref(), Some("exited with 0"));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let last = text.lines().last().unwrap();
        let left_out: usize = last.split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert_eq!(left_out + text.lines().count() - 1, 400_000, "{last}");

        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/full"), &folder.path().join("no/file")] {
            assert!(Copier::to_file(path, "files", Vec::new()).is_err(), "{}", path.display());
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("child.log");
        let copy = Copier::to_file(&path, "files", Vec::new()).unwrap();
        let input = vec![b'x'; LONGEST_LINE + 7];
        drain(input.as_slice(), Destination::Copier(copy)).await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("x … (7 bytes more)\n") && text.len() < LONGEST_LINE + 30, "{}", text.len());
    }
}
