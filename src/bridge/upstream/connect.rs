//! From nothing to an initialised connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::{Hello, INITIALIZE};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stdio::{self, Process};
use crate::bridge::upstream::streamable_http::HttpWire;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::UpstreamKind;
use crate::protocol::mcp::message::Kind;
use crate::protocol::mcp::reply;

/// A connection that is ready, and what must be kept for it to stay.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub link: Arc<Link>,
    /// The child behind it, if it is one.
    pub process: Option<Process>,
}

impl Upstream {
    /// Opens a connection and introduces the bridge.
    ///
    /// # Errors
    /// In words, why it did not come about. Nothing of it is left then.
    pub(super) async fn connect(&self, stop: &mut watch::Receiver<bool>) -> Result<Connected, String> {
        let (link, mut process) = self.open()?;
        // Set once: a connection is opened once.
        let _second = link.tenant.set(self.tenant.clone());
        let limit = match &self.settings.kind {
            UpstreamKind::Stdio(command) => command.startup_timeout,
            UpstreamKind::Http(_) | UpstreamKind::Builtin(_) => self.settings.timeout,
        };
        let introduced = tokio::select! {
            introduced = introduce(&link, limit) => introduced,
            reason = ended(&link, &mut process) => Err(reason),
            _ = stop.wait_for(|stop| *stop) => Err("the bridge stops".to_owned()),
        };
        match introduced {
            Ok(()) => Ok(Connected { link, process }),
            Err(reason) => {
                link.lose(&reason);
                if *stop.borrow()
                    && let Some(process) = &mut process
                {
                    process.stopped().await;
                }
                Err(reason)
            }
        }
    }

    fn open(&self) -> Result<(Arc<Link>, Option<Process>), String> {
        match &self.settings.kind {
            UpstreamKind::Builtin(_) => {
                Ok((Link::new(self.name(), self.index, Arc::clone(&self.hub), Wire::Builtin), None))
            }
            UpstreamKind::Stdio(command) => {
                let (link, process) = stdio::open(self.name(), self.index, &self.hub, command, &self.keeper)?;
                Ok((link, Some(process)))
            }
            UpstreamKind::Http(settings) => {
                let wire = Wire::Http(Arc::new(HttpWire::new(settings)?));
                Ok((Link::new(self.name(), self.index, Arc::clone(&self.hub), wire), None))
            }
        }
    }
}

/// Waits until the connection or the child behind it is gone.
pub async fn ended(link: &Link, process: &mut Option<Process>) -> String {
    match process {
        Some(process) => process.ended(link).await,
        None => link.lost().await,
    }
}

async fn introduce(link: &Arc<Link>, limit: Duration) -> Result<(), String> {
    let answer = link.ask("initialize", INITIALIZE, limit).await.map_err(|fault| fault.to_string())?;
    let Kind::Answer { result: Some(result), .. } = answer.kind() else { return Err("no result".to_owned()) };
    let hello = Hello::read(answer.json(*result))?;
    if let Wire::Http(wire) = link.wire() {
        wire.negotiated(hello.version);
    }
    // Set once: a connection is introduced once.
    let _second = link.hello.set(hello);
    // MCP 2025-11-25, Lifecycle: after `initialize`, the client MUST send `notifications/initialized`.
    link.tell(reply::notification("notifications/initialized", None)).await.map_err(|fault| fault.to_string())
}
