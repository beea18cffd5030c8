//! From nothing to an initialised connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::{Hello, INITIALIZE};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::sse::{self, SseWire};
use crate::bridge::upstream::stdio::{self, Process};
use crate::bridge::upstream::streamable_http::HttpWire;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::{Transport, UpstreamKind};
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

/// Why there is no connection.
enum Failure {
    /// The server seems to know nothing of Streamable HTTP.
    Older(String),
    /// In words.
    Other(String),
}

impl Upstream {
    /// Opens a connection and introduces the bridge.
    ///
    /// # Errors
    /// In words, why it did not come about. Nothing of it is left then.
    pub(super) async fn connect(&self, stop: &mut watch::Receiver<bool>) -> Result<Connected, String> {
        let transport = match &self.settings.kind {
            UpstreamKind::Http(settings) => settings.transport,
            UpstreamKind::Stdio(_) | UpstreamKind::Builtin(_) => Transport::Auto,
        };
        match self.attempt(transport, stop).await {
            // MCP 2025-11-25, Backwards Compatibility: then GET may open a stream of HTTP+SSE.
            Err(Failure::Older(reason)) if transport == Transport::Auto => {
                let older = self.attempt(Transport::Sse, stop).await;
                older.map_err(|failure| format!("{reason}; as HTTP+SSE: {}", failure.reason()))
            }
            connected => connected.map_err(Failure::reason),
        }
    }

    async fn attempt(&self, transport: Transport, stop: &mut watch::Receiver<bool>) -> Result<Connected, Failure> {
        let stops = || Failure::Other("the bridge stops".to_owned());
        let opened = tokio::select! {
            opened = self.open(transport) => opened.map_err(Failure::Other),
            _ = stop.wait_for(|stop| *stop) => Err(stops()),
        };
        let (link, mut process) = opened?;
        let limit = match &self.settings.kind {
            UpstreamKind::Stdio(command) => command.startup_timeout,
            UpstreamKind::Http(_) | UpstreamKind::Builtin(_) => self.settings.timeout,
        };
        let introduced = tokio::select! {
            introduced = introduce(&link, limit) => introduced.map_err(|reason| Failure::of(&link, reason)),
            reason = ended(&link, &mut process) => Err(Failure::Other(reason)),
            _ = stop.wait_for(|stop| *stop) => Err(stops()),
        };
        match introduced {
            Ok(()) => Ok(Connected { link, process }),
            Err(failure) => {
                let (Failure::Older(reason) | Failure::Other(reason)) = &failure;
                link.lose(reason);
                if *stop.borrow()
                    && let Some(process) = &mut process
                {
                    process.stopped().await;
                }
                Err(failure)
            }
        }
    }

    async fn open(&self, transport: Transport) -> Result<(Arc<Link>, Option<Process>), String> {
        let link = |wire| Link::new(self.name(), self.index, Arc::clone(&self.hub), wire);
        match &self.settings.kind {
            UpstreamKind::Builtin(_) => Ok((link(Wire::Builtin), None)),
            UpstreamKind::Stdio(command) => {
                let (link, process) = stdio::open(self.name(), self.index, &self.hub, command, &self.keeper)?;
                Ok((link, Some(process)))
            }
            UpstreamKind::Http(settings) if transport == Transport::Sse => {
                let (wire, incoming) = SseWire::open(settings, self.settings.timeout).await?;
                let link = link(Wire::Sse(Arc::new(wire)));
                self.hub.runtime.spawn(sse::read(Arc::clone(&link), incoming));
                Ok((link, None))
            }
            UpstreamKind::Http(settings) => Ok((link(Wire::Http(Arc::new(HttpWire::new(settings)?))), None)),
        }
    }
}

impl Failure {
    fn of(link: &Link, reason: String) -> Self {
        match link.wire() {
            Wire::Http(wire) if wire.is_unknown() => Self::Older(reason),
            _ => Self::Other(reason),
        }
    }

    fn reason(self) -> String {
        let (Self::Older(reason) | Self::Other(reason)) = self;
        reason
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
    link.wire().negotiated(hello.version);
    // Set once: a connection is introduced once.
    let _second = link.hello.set(hello);
    // MCP 2025-11-25, Lifecycle: after `initialize`, the client MUST send `notifications/initialized`.
    let initialized = reply::notification("notifications/initialized", None);
    link.wire().tell_first(link, initialized).await.map_err(|fault| fault.to_string())
}
