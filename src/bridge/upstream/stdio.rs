//! An upstream that is a child process: one line a message, both ways. [MCP 2025-11-25, stdio](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio)

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::process::ChildStdout;

use crate::bridge::hub::Hub;
use crate::bridge::upstream::child::{Child, Exit};
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::lines::{Lines, MAX_LINE};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stdin::Stdin;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::Command;

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
    let stdin = child.stdin.into_owned_fd().and_then(pipe::Sender::from_owned_fd).map_err(|error| error.to_string())?;
    let (stdin, writer) = Stdin::new(stdin);
    let link = Link::new(name, index, Arc::clone(hub), Wire::Stdio(stdin));
    hub.runtime.spawn(writer.run(Arc::clone(&link)));
    hub.runtime.spawn(read(Arc::clone(&link), child.stdout));
    Ok((link, Process { exit, grace: command.graceful_shutdown_timeout }))
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

async fn read(link: Arc<Link>, stdout: ChildStdout) {
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
