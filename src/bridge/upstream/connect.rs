//! From nothing to an initialised connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::{Hello, INITIALIZE};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::sse;
use crate::bridge::upstream::stdio::{self, Process};
use crate::bridge::upstream::streamable_http::HttpWire;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::{HttpProtocol, UpstreamKind};
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
        let (link, process) = self.open(stop).await?;
        let wire_of = Arc::clone(&link);
        match self.begin(link, process, stop).await {
            Err(reason) if self.may_be_older(&wire_of) => {
                // MCP 2025-11-25, Backwards Compatibility: then a GET that opens a stream with an `endpoint` event.
                let older = self.open_stream(stop).await.map_err(|other| format!("{reason}; nor HTTP+SSE: {other}"))?;
                self.begin(older, None, stop).await
            }
            begun => begun,
        }
    }

    async fn begin(
        &self,
        link: Arc<Link>,
        mut process: Option<Process>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Connected, String> {
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

    async fn open(&self, stop: &mut watch::Receiver<bool>) -> Result<(Arc<Link>, Option<Process>), String> {
        match &self.settings.kind {
            UpstreamKind::Builtin(_) => {
                Ok((Link::new(self.name(), self.index, Arc::clone(&self.hub), Wire::Builtin), None))
            }
            UpstreamKind::Stdio(command) => {
                let (link, process) = stdio::open(self.name(), self.index, &self.hub, command, &self.keeper)?;
                Ok((link, Some(process)))
            }
            UpstreamKind::Http(settings) if settings.protocol == HttpProtocol::Sse => {
                Ok((self.open_stream(stop).await?, None))
            }
            UpstreamKind::Http(settings) => {
                let wire = Wire::Http(Arc::new(HttpWire::new(settings)?));
                Ok((Link::new(self.name(), self.index, Arc::clone(&self.hub), wire), None))
            }
        }
    }

    async fn open_stream(&self, stop: &mut watch::Receiver<bool>) -> Result<Arc<Link>, String> {
        let UpstreamKind::Http(settings) = &self.settings.kind else { return Err("it has no URL".to_owned()) };
        tokio::select! {
            opened = sse::open(self.name(), self.index, &self.hub, settings) => opened,
            _ = stop.wait_for(|stop| *stop) => Err("the bridge stops".to_owned()),
        }
    }

    fn may_be_older(&self, link: &Link) -> bool {
        match (&self.settings.kind, link.wire()) {
            (UpstreamKind::Http(settings), Wire::Http(wire)) => {
                settings.protocol == HttpProtocol::Auto && wire.may_be_older()
            }
            _ => false,
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
    match link.wire() {
        Wire::Http(wire) => wire.negotiated(hello.version),
        Wire::Sse(wire) => wire.negotiated(hello.version),
        Wire::Builtin | Wire::Stdio(_) => {}
    }
    // Set once: a connection is introduced once.
    let _second = link.hello.set(hello);
    // MCP 2025-11-25, Lifecycle: after `initialize`, the client MUST send `notifications/initialized`.
    let initialized = reply::notification("notifications/initialized", None);
    if let Wire::Sse(wire) = link.wire() {
        // Servers of that time refuse what comes before it, and two requests may overtake each other.
        let accepted = Arc::clone(wire).tell(Arc::clone(link), initialized);
        return tokio::time::timeout(limit, accepted).await.map_err(|_| "it does not accept messages".to_owned());
    }
    link.tell(initialized).await.map_err(|fault| fault.to_string())
}
