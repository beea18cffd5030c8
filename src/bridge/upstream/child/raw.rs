//! A child's standard error to where it is wanted as it is: a file, the bridge's own standard error, or nowhere.
//!
//! Always drained. What the other end does not take in time is lost and counted: a full disk or a stopped terminal may
//! not stop the child.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::oneshot;

use crate::base::limit::Limit;

use super::report;
use super::stderr::escaped;

/// How many pieces of at most [`PIECE`] bytes wait to be written.
const QUEUE: usize = 64;
const PIECE: usize = 16 * 1024;
/// What is shown of it.
pub const LIMITS: [Limit; 1] = [Limit::bytes(
    "standard error of a child that waits to be written",
    QUEUE * PIECE,
    "the rest is lost, and counted",
)];
/// How long the last of them are waited for when the child is gone.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Where it goes. Writing is a thread's work, for neither a file nor a terminal can be written to without waiting.
#[derive(Debug)]
pub(super) struct Sink {
    upstream: String,
    queue: Option<SyncSender<Vec<u8>>>,
    written: Option<oneshot::Receiver<()>>,
    dropped: u64,
}

impl Sink {
    /// Nowhere.
    pub(super) fn nowhere(upstream: &str) -> Self {
        Self { upstream: upstream.to_owned(), queue: None, written: None, dropped: 0 }
    }

    /// To the bridge's own standard error.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn inherited(upstream: &str) -> io::Result<Self> {
        Self::new(upstream, io::stderr())
    }

    /// To the end of a file, which is made with mode 0600.
    ///
    /// # Errors
    /// The file cannot be opened or is none, or there is no thread.
    pub(super) fn file(upstream: &str, path: &Path) -> io::Result<Self> {
        // Opening a pipe that nobody reads would wait for a reader.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file: File = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no ordinary file"));
        }
        Self::new(upstream, file)
    }

    fn new(upstream: &str, mut target: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = sync_channel::<Vec<u8>>(QUEUE);
        let (done, written) = oneshot::channel();
        let name = upstream.to_owned();
        thread::Builder::new().name("stderr".to_owned()).spawn(move || {
            for piece in waiting {
                if let Err(error) = target.write_all(&piece).and_then(|()| target.flush()) {
                    tracing::warn!(upstream = name, %error, "standard error: cannot be written any more");
                    break;
                }
            }
            // Whoever waits may be gone.
            let _ = done.send(());
        })?;
        Ok(Self { upstream: upstream.to_owned(), queue: Some(queue), written: Some(written), dropped: 0 })
    }

    fn write(&mut self, piece: Vec<u8>) {
        let Some(queue) = self.queue.as_ref().filter(|_| !piece.is_empty()) else { return };
        match queue.try_send(piece) {
            Ok(()) => self.account(),
            Err(TrySendError::Full(piece)) => self.dropped += piece.len() as u64,
            Err(TrySendError::Disconnected(_)) => self.queue = None,
        }
    }

    fn account(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(upstream = self.upstream, bytes = self.dropped, "standard error: not all of it was written");
            self.dropped = 0;
        }
    }

    async fn finish(mut self) {
        self.account();
        drop(self.queue.take());
        if let Some(written) = self.written.take() {
            let _late = tokio::time::timeout(LAST_WORDS, written).await;
        }
    }
}

/// Reads until the end and passes everything on but the keeper's report, which it returns.
pub(super) async fn copy(mut stderr: impl AsyncRead + Unpin, mut sink: Sink) -> Option<String> {
    let mut sieve = Sieve::default();
    let mut chunk = vec![0; PIECE];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        for part in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
            sieve.take(part);
        }
        sink.write(std::mem::take(&mut sieve.passed));
    }
    let (rest, reported) = sieve.finish();
    sink.write(rest);
    sink.finish().await;
    reported
}

/// Holds back the beginning of a line as long as it may be the keeper's.
#[derive(Debug, Default)]
struct Sieve {
    held: Vec<u8>,
    passed: Vec<u8>,
    is_passing: bool,
    reported: Option<String>,
}

impl Sieve {
    /// Takes a line or a piece of one.
    fn take(&mut self, part: &[u8]) {
        if self.is_passing {
            self.is_passing = !part.ends_with(b"\n");
            return self.passed.extend_from_slice(part);
        }
        self.held.extend_from_slice(part);
        // The keeper begins with a line break of its own: an empty line before its report is not the child's.
        let line = self.held.strip_prefix(b"\n").unwrap_or(&self.held);
        if let Some(whole) = line.strip_suffix(b"\n")
            && let Some(words) = report::decode(whole)
        {
            self.reported = Some(escaped(&words));
            self.held.clear();
        } else if line.ends_with(b"\n") || !report::may_begin(line) {
            self.is_passing = !line.ends_with(b"\n");
            self.passed.append(&mut self.held);
        }
    }

    fn finish(mut self) -> (Vec<u8>, Option<String>) {
        self.passed.append(&mut self.held);
        (self.passed, self.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sieved(input: &[u8], length: usize) -> (String, Option<String>) {
        let mut sieve = Sieve::default();
        for piece in input.chunks(length) {
            for part in piece.split_inclusive(|byte| *byte == b'\n') {
                sieve.take(part);
            }
        }
        let (rest, reported) = sieve.finish();
        (String::from_utf8(rest).unwrap(), reported)
    }

    #[test]
    fn all_but_the_keepers_report_passes_whatever_pieces_it_comes_in() {
        let child = "one\n\n\ntwo \u{1b}[31m\n\u{1e}mcp-other\n\u{1e}\nprompt> ";
        for length in 1..child.len() {
            assert_eq!(sieved(child.as_bytes(), length), (child.to_owned(), None), "{length}");
            let whole = format!("{child}{}", report::encode("exited with 1"));
            let expected = (format!("{child}\n"), Some("exited with 1".to_owned()));
            assert_eq!(sieved(whole.as_bytes(), length), expected, "{length}");
            let whole = format!("a\n{}", report::encode("exited with 1"));
            assert_eq!(sieved(whole.as_bytes(), length), ("a\n".to_owned(), Some("exited with 1".to_owned())));
        }
    }

    #[tokio::test]
    async fn child_11_what_is_not_taken_does_not_stop_the_child() {
        /// A disk that hangs until it is let go.
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _gone = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (hold, held) = std::sync::mpsc::channel();
        let sink = Sink::new("files", Stuck(held)).unwrap();
        let input = [&vec![b'x'; 4 * QUEUE * PIECE][..], report::encode("exited with 0").as_bytes()].concat();
        assert_eq!(copy(&input[..], sink).await.as_deref(), Some("exited with 0"));
        drop(hold);
    }
}
