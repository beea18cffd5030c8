//! A child's standard input. Whoever has a line for it writes it there and then, as long as the child takes what comes; what it does
//! not take at once waits in the order in which it was written.
//!
//! Rejected: a task that writes all of it. To wake one on another thread costs more than the writing, with every call.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::base::limit::Limit;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::wire::SendFault;

/// How many messages may wait to be written to a child.
const QUEUE: usize = 256;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::count("messages waiting for a child to read", QUEUE, "503, Retry-After, after the wait below")];
/// How many bytes are written at once, if so many wait.
const GATHERED: usize = 64 * 1024;

/// The pipe while nothing waits for it. Otherwise it is with what waits: in the queue before the first of it, then with the [`Writer`].
type Free = Arc<Mutex<Option<pipe::Sender>>>;

/// Where lines for a child go.
#[derive(Debug)]
pub struct Stdin {
    free: Free,
    queue: mpsc::Sender<Waiting>,
}

/// Writes what waits.
#[derive(Debug)]
pub struct Writer {
    free: Free,
    waiting: mpsc::Receiver<Waiting>,
}

/// A line, or the rest of one.
#[derive(Debug)]
struct Waiting {
    rest: Bytes,
    pipe: Option<pipe::Sender>,
}

/// Room for one line.
#[derive(Debug)]
pub struct Room<'a> {
    free: &'a Free,
    place: mpsc::Permit<'a, Waiting>,
}

impl Stdin {
    /// Nothing was written yet.
    #[must_use]
    pub fn new(pipe: pipe::Sender) -> (Self, Writer) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let free = Arc::new(Mutex::new(Some(pipe)));
        (Self { free: Arc::clone(&free), queue }, Writer { free, waiting })
    }

    /// Room, if there is some now.
    ///
    /// # Errors
    /// None, or nobody there.
    pub fn room_now(&self) -> Result<Room<'_>, SendFault> {
        let place = self.queue.try_reserve().map_err(|fault| match fault {
            mpsc::error::TrySendError::Full(()) => SendFault::Busy,
            mpsc::error::TrySendError::Closed(()) => SendFault::Lost,
        })?;
        Ok(Room { free: &self.free, place })
    }

    /// Waits so long for room.
    ///
    /// # Errors
    /// None, or nobody there.
    pub async fn room(&self, patience: Duration) -> Result<Room<'_>, SendFault> {
        let place = tokio::time::timeout(patience, self.queue.reserve()).await.map_err(|_| SendFault::Busy)?;
        Ok(Room { free: &self.free, place: place.map_err(|_| SendFault::Lost)? })
    }
}

impl Room<'_> {
    /// Writes a line, or puts it behind those that wait.
    pub fn write(self, message: &[u8]) {
        let line = Bytes::from([message, b"\n"].concat());
        // As long as this is held nobody else writes, and nobody comes between what waits.
        let mut free = lock(self.free);
        // An error comes again to the one who writes the rest.
        let written = free.as_ref().map_or(0, |pipe| pipe.try_write(&line).unwrap_or(0));
        if written < line.len() {
            self.place.send(Waiting { rest: line.slice(written..), pipe: free.take() });
        }
    }
}

impl Writer {
    /// Writes what waits, until the connection is lost.
    pub async fn run(mut self, link: Arc<Link>) {
        tokio::select! {
            written = self.write() => {
                if let Err(error) = written {
                    link.lose(&format!("writing to it failed: {error}"));
                }
            }
            _ = link.lost() => {}
        }
        // Dropping standard input tells the child that it is over. Where something waited, it is dropped by now.
        // MCP 2025-11-25, Shutdown: first close the input stream to the child process.
        drop(lock(&self.free).take());
    }

    async fn write(&mut self) -> io::Result<()> {
        let mut gathered = BytesMut::new();
        // Whoever is the first to wait brings the pipe.
        while let Some(Waiting { rest, pipe: Some(pipe) }) = self.waiting.recv().await {
            let mut next = Some((pipe, rest));
            while let Some((mut pipe, rest)) = next {
                self.gather(&rest, &mut gathered);
                pipe.write_all(&gathered).await?;
                if gathered.capacity() > 4 * GATHERED {
                    // Nothing may wait again for as long as the child lives.
                    gathered = BytesMut::new();
                }
                next = self.next_or_free(pipe);
            }
        }
        Ok(())
    }

    fn gather(&mut self, rest: &[u8], gathered: &mut BytesMut) {
        gathered.clear();
        gathered.extend_from_slice(rest);
        while gathered.len() < GATHERED
            && let Ok(next) = self.waiting.try_recv()
        {
            gathered.extend_from_slice(&next.rest);
        }
    }

    /// The next that waits, with the pipe. Where nothing does, the pipe is free again.
    fn next_or_free(&mut self, pipe: pipe::Sender) -> Option<(pipe::Sender, Bytes)> {
        // As long as this is held nothing more begins to wait.
        let mut free = lock(&self.free);
        match self.waiting.try_recv() {
            Ok(next) => Some((pipe, next.rest)),
            Err(_) => {
                *free = Some(pipe);
                None
            }
        }
    }
}

fn lock(free: &Mutex<Option<pipe::Sender>>) -> MutexGuard<'_, Option<pipe::Sender>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn lines_keep_their_order_whether_they_wait_or_not() {
        let (sender, mut receiver) = pipe::pipe().unwrap();
        let (stdin, mut writer) = Stdin::new(sender);
        let lines: Vec<String> = (0..1000).map(|number| number.to_string().repeat(1 + number % 300)).collect();
        let write = async {
            for line in &lines {
                stdin.room(Duration::from_secs(10)).await.unwrap().write(line.as_bytes());
            }
        };
        let expected: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut read = vec![0; expected.len()];
        tokio::select! {
            _ = writer.write() => unreachable!(),
            (_, length) = async { tokio::join!(write, receiver.read_exact(&mut read)) } => length.unwrap(),
        };
        assert_eq!(String::from_utf8(read).unwrap(), expected);
        assert!(lock(&stdin.free).is_some(), "nothing waits any more");
    }

    #[tokio::test]
    async fn child_13_what_a_child_does_not_read_has_its_bound() {
        let (sender, _receiver) = pipe::pipe().unwrap();
        let (stdin, _writer) = Stdin::new(sender);
        let mut written = 0;
        while let Ok(room) = stdin.room_now() {
            room.write(&[b'x'; 4095]);
            written += 1;
        }
        assert!((QUEUE..QUEUE + 1024).contains(&written), "{written}");
        assert_eq!(stdin.room(Duration::from_millis(1)).await.unwrap_err(), SendFault::Busy);
    }
}
