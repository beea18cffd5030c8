//! An upstream that is a child process: one line a message, both ways. [MCP 2025-11-25, stdio](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio)

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::base::limit::Limit;
use crate::bridge::hub::Hub;
use crate::bridge::upstream::child::{Child, Exit};
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::lines::{Lines, MAX_LINE};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::Command;

/// How many messages may wait to be written to a child.
const QUEUE: usize = 256;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::count("messages waiting for a child to read", QUEUE, "503, Retry-After, after the wait below")];
/// How many bytes are written at once, if so many wait.
const GATHERED: usize = 64 * 1024;
/// How long the rest of a dead child's output is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The process behind a connection.
#[derive(Debug)]
pub struct Process {
    exit: Exit,
    grace: Duration,
}

/// Starts the child and a connection to it.
///
/// # Errors
/// In words, why it cannot be started.
pub fn open(
    name: &str,
    index: usize,
    hub: &Arc<Hub>,
    command: &Command,
    keeper: &Path,
) -> Result<(Arc<Link>, Process), String> {
    let (child, exit) = Child::spawn(name, command, keeper).map_err(|error| error.to_string())?;
    let link = connect(name, index, hub, child.stdin, child.stdout);
    Ok((link, Process { exit, grace: command.graceful_shutdown_timeout }))
}

/// A connection over a pair of pipes.
pub fn connect<W, R>(name: &str, index: usize, hub: &Arc<Hub>, stdin: W, stdout: R) -> Arc<Link>
where
    W: AsyncWrite + Unpin + Send + 'static,
    R: AsyncRead + Unpin + Send + 'static,
{
    let (queue, waiting) = mpsc::channel(QUEUE);
    let link = Link::new(name, index, Arc::clone(hub), Wire::Stdio(queue));
    hub.runtime.spawn(write(Arc::clone(&link), waiting, stdin));
    hub.runtime.spawn(read(Arc::clone(&link), stdout));
    link
}

impl Process {
    /// Waits until the child ends or the connection is lost; gives the reason.
    pub async fn ended(&mut self, link: &Link) -> String {
        let words = tokio::select! {
            words = self.exit.wait() => {
                // What it wrote before it ended still counts.
                let _drained = tokio::time::timeout(LAST_WORDS, link.lost()).await;
                words
            }
            reason = link.lost() => {
                tokio::time::timeout(LAST_WORDS, self.exit.wait()).await.unwrap_or(reason)
            }
        };
        link.lose(&words);
        words
    }

    /// Waits for the end of a child whose connection was closed, as long as its settings allow.
    pub async fn stopped(&mut self) {
        // The supervision has two periods of grace, to SIGTERM and to SIGKILL; a second more to notice.
        let longest = self.grace * 2 + Duration::from_secs(1);
        let _over = tokio::time::timeout(longest, self.exit.wait()).await;
    }
}

async fn write<W: AsyncWrite + Unpin>(link: Arc<Link>, mut waiting: mpsc::Receiver<Bytes>, mut stdin: W) {
    let mut gathered = BytesMut::new();
    let mut lost = pin!(link.lost());
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            _ = &mut lost => None,
        };
        let Some(first) = first else { break };
        gathered.clear();
        append(&mut gathered, &first);
        while gathered.len() < GATHERED
            && let Ok(next) = waiting.try_recv()
        {
            append(&mut gathered, &next);
        }
        let written = tokio::select! {
            written = write_all(&mut stdin, &gathered) => written,
            _ = &mut lost => break,
        };
        if let Err(error) = written {
            link.lose(&format!("writing to it failed: {error}"));
            break;
        }
        if gathered.capacity() > 4 * GATHERED {
            gathered = BytesMut::new();
        }
    }
    // Dropping standard input tells the child that it is over.
    // MCP 2025-11-25, Shutdown: first close the input stream to the child process.
}

async fn write_all<W: AsyncWrite + Unpin>(stdin: &mut W, gathered: &[u8]) -> std::io::Result<()> {
    stdin.write_all(gathered).await?;
    stdin.flush().await
}

fn append(gathered: &mut BytesMut, message: &[u8]) {
    gathered.extend_from_slice(message);
    gathered.extend_from_slice(b"\n");
}

async fn read<R: AsyncRead + Unpin>(link: Arc<Link>, stdout: R) {
    let mut lines = Lines::new(stdout, MAX_LINE);
    let mut lost = pin!(link.lost());
    let reason = loop {
        let line = tokio::select! {
            line = lines.next() => line,
            reason = &mut lost => break reason,
        };
        match line {
            Ok(Some(line)) => inbound::receive(&link, line, None),
            Ok(None) => break "it closed its standard output".to_owned(),
            Err(fault) => break fault.to_string(),
        }
    };
    link.lose(&reason);
}
