//! From nothing to an initialised connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::sse;
use crate::bridge::upstream::stateless::probe::{self, Expected};
use crate::bridge::upstream::stdio::{self, Process};
use crate::bridge::upstream::streamable_http::HttpWire;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::{HttpProtocol, UpstreamEra, UpstreamKind};
use crate::protocol::mcp::reply;

/// A connection that is ready, and what must be kept for it to stay.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub link: Arc<Link>,
    /// The child behind it, if it is one.
    pub process: Option<Process>,
}

/// How long nothing else is sent for fear of overtaking `notifications/initialized`.
const OVERTAKEN: Duration = Duration::from_secs(5);

/// Why there is no connection.
enum Failure {
    /// It was gone before it said anything of use.
    Gone(String),
    /// In words.
    Other(String),
}

impl Upstream {
    /// Opens a connection and introduces the bridge.
    ///
    /// # Errors
    /// In words, why it did not come about. Nothing of it is left then.
    pub(super) async fn connect(&self, stop: &mut watch::Receiver<bool>) -> Result<Connected, String> {
        let expected = self.expected();
        let connected = match self.attempt(expected, stop).await {
            Err(Failure::Gone(reason))
                if expected == Expected::Anything && matches!(self.settings.kind, UpstreamKind::Stdio(_)) =>
            {
                // Some servers of the session era end when they are asked anything before `initialize`. That is no crash.
                tracing::info!(upstream = self.name(), reason, "the upstream is started again, for sessions");
                self.hub.found.note(self.name(), Speaks::Sessions);
                self.attempt(Expected::Only(Speaks::Sessions), stop).await
            }
            Err(Failure::Other(reason))
                if self.settings.era.is_none() && expected != Expected::Anything && !*stop.borrow() =>
            {
                // It was of sessions when it was last seen, and may be another server by now.
                tracing::info!(upstream = self.name(), reason, "the upstream is asked anew which era it speaks");
                self.hub.found.forget(self.name());
                self.attempt(Expected::Anything, stop).await
            }
            connected => connected,
        };
        match connected {
            Ok(connected) => {
                self.hub.found.note(self.name(), connected.link.speaks());
                Ok(connected)
            }
            // What dies tells nothing of its era.
            Err(Failure::Gone(reason)) => Err(reason),
            Err(Failure::Other(reason)) => {
                self.hub.found.forget(self.name());
                Err(reason)
            }
        }
    }

    /// MCP 2026-07-28, Backward Compatibility: what was found is remembered. A server of the stateless era is asked each
    /// time, for its answer introduces it; one of the session era is not.
    fn expected(&self) -> Expected {
        match (self.settings.era, self.hub.found.of(self.name())) {
            (Some(UpstreamEra::Session), _) | (None, Some(Speaks::Sessions)) => Expected::Only(Speaks::Sessions),
            (Some(UpstreamEra::Stateless), _) => Expected::Only(Speaks::Stateless),
            (None, Some(Speaks::Stateless) | None) => Expected::Anything,
        }
    }

    async fn attempt(&self, expected: Expected, stop: &mut watch::Receiver<bool>) -> Result<Connected, Failure> {
        let (link, process) = self.open(stop).await.map_err(Failure::Other)?;
        match self.begin((Arc::clone(&link), process), expected, stop).await {
            Err(Failure::Other(reason)) if self.may_be_older(&link, expected) => {
                // MCP 2025-11-25, Backwards Compatibility: then a GET that opens a stream with an `endpoint` event.
                let older = self.open_stream(stop).await;
                let older = older.map_err(|other| Failure::Other(format!("{reason}; nor HTTP+SSE: {other}")))?;
                self.begin((older, None), expected, stop).await
            }
            begun => begun,
        }
    }

    async fn begin(
        &self,
        (link, mut process): (Arc<Link>, Option<Process>),
        expected: Expected,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Connected, Failure> {
        // Set once: a connection is opened once.
        let _second = link.tenant.set(self.tenant.clone());
        let limit = match &self.settings.kind {
            UpstreamKind::Stdio(command) => command.startup_timeout,
            UpstreamKind::Http(_) | UpstreamKind::Builtin(_) => self.settings.timeout,
        };
        let introduced = tokio::select! {
            introduced = introduce(&link, expected, limit) => introduced.map_err(Failure::Other),
            reason = ended(&link, &mut process) => Err(Failure::Gone(reason)),
            _ = stop.wait_for(|stop| *stop) => Err(Failure::Other("the bridge stops".to_owned())),
        };
        let introduced = match introduced {
            // It was the connection that failed, and it knows why.
            Err(Failure::Other(_)) if link.is_lost() => Err(Failure::Gone(ended(&link, &mut process).await)),
            introduced => introduced,
        };
        match introduced {
            Ok(()) => Ok(Connected { link, process }),
            Err(failure) => {
                let (Failure::Gone(reason) | Failure::Other(reason)) = &failure;
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

    fn may_be_older(&self, link: &Link, expected: Expected) -> bool {
        match (&self.settings.kind, link.wire()) {
            (UpstreamKind::Http(settings), Wire::Http(wire)) if expected != Expected::Only(Speaks::Stateless) => {
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

async fn introduce(link: &Arc<Link>, expected: Expected, limit: Duration) -> Result<(), String> {
    let hello = probe::introduce(link, expected, limit).await?;
    let speaks = hello.speaks();
    match link.wire() {
        Wire::Http(wire) => wire.negotiated(hello.version),
        Wire::Sse(wire) => wire.negotiated(hello.version),
        Wire::Builtin | Wire::Stdio(_) => {}
    }
    // Set once: a connection is introduced once.
    let _second = link.hello.set(hello);
    if speaks == Speaks::Stateless {
        return Ok(());
    }
    // MCP 2025-11-25, Lifecycle: after `initialize`, the client MUST send `notifications/initialized`.
    let initialized = reply::notification("notifications/initialized", None);
    // Two requests may overtake each other, and there are servers that refuse what comes before it.
    match link.wire() {
        Wire::Sse(wire) => {
            let accepted = Arc::clone(wire).tell(Arc::clone(link), initialized);
            tokio::time::timeout(limit, accepted).await.map_err(|_| "it does not accept messages".to_owned())
        }
        Wire::Http(wire) => {
            let accepted = link.hub.runtime.spawn(Arc::clone(wire).tell(Arc::clone(link), initialized));
            // One that is slow to say so has it all the same.
            let _late = tokio::time::timeout(limit.min(OVERTAKEN), accepted).await;
            Ok(())
        }
        Wire::Builtin | Wire::Stdio(_) => link.tell(initialized).await.map_err(|fault| fault.to_string()),
    }
}
