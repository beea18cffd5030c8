//! From nothing to an initialised connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::sse::{self, SseWire};
use crate::bridge::upstream::stateless::probe::{self, Expected};
use crate::bridge::upstream::stdio::{self, Process};
use crate::bridge::upstream::streamable_http::HttpWire;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::{Transport, UpstreamEra, UpstreamKind};
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
    /// It was gone before it said anything of use.
    Gone(String),
    /// It seems to know nothing of Streamable HTTP.
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
        let (expected, transport) = (self.expected(), self.transport());
        let connected = match self.attempt(expected, transport, stop).await {
            Err(Failure::Gone(reason))
                if expected == Expected::Anything && matches!(self.settings.kind, UpstreamKind::Stdio(_)) =>
            {
                // Some servers of the session era end when they are asked anything before `initialize`. That is no crash.
                tracing::info!(upstream = self.name(), reason, "the upstream is started again, for sessions");
                self.hub.found.note(self.name(), Speaks::Sessions);
                self.attempt(Expected::Only(Speaks::Sessions), transport, stop).await
            }
            // MCP 2025-11-25, Backwards Compatibility: then GET may open a stream of HTTP+SSE.
            Err(Failure::Older(reason)) if transport == Transport::Auto => {
                tracing::info!(upstream = self.name(), reason, "the upstream is tried as one of HTTP+SSE");
                let older = self.attempt(expected, Transport::Sse, stop).await;
                older.map_err(|failure| Failure::Other(format!("{reason}; as HTTP+SSE: {}", failure.words())))
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
            Err(Failure::Older(reason) | Failure::Other(reason)) => {
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

    fn transport(&self) -> Transport {
        match &self.settings.kind {
            UpstreamKind::Http(settings) => settings.transport,
            UpstreamKind::Stdio(_) | UpstreamKind::Builtin(_) => Transport::Auto,
        }
    }

    async fn attempt(
        &self,
        expected: Expected,
        transport: Transport,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Connected, Failure> {
        let stops = || Failure::Other("the bridge stops".to_owned());
        let opened = tokio::select! {
            opened = self.open(transport) => opened.map_err(Failure::Other),
            _ = stop.wait_for(|stop| *stop) => Err(stops()),
        };
        let (link, mut process) = opened?;
        let expected = match link.wire() {
            // The transport is older than the stateless era.
            Wire::Sse(_) => Expected::Only(Speaks::Sessions),
            _ => expected,
        };
        let introduced = tokio::select! {
            introduced = introduce(&link, expected, self.limit()) => {
                introduced.map_err(|reason| Failure::of(&link, reason))
            }
            reason = ended(&link, &mut process) => Err(Failure::Gone(reason)),
            _ = stop.wait_for(|stop| *stop) => Err(stops()),
        };
        let Err(failure) = introduced else { return Ok(Connected { link, process }) };
        let failure = match failure {
            // It was the connection that failed, and it knows why.
            Failure::Older(_) | Failure::Other(_) if link.is_lost() => Failure::Gone(ended(&link, &mut process).await),
            failure => failure,
        };
        link.lose(failure.words());
        if *stop.borrow()
            && let Some(process) = &mut process
        {
            process.stopped().await;
        }
        Err(failure)
    }

    /// How long an introduction may take.
    fn limit(&self) -> Duration {
        match &self.settings.kind {
            UpstreamKind::Stdio(command) => command.startup_timeout,
            UpstreamKind::Http(_) | UpstreamKind::Builtin(_) => self.settings.timeout,
        }
    }

    async fn open(&self, transport: Transport) -> Result<(Arc<Link>, Option<Process>), String> {
        // Set once: a connection is opened once.
        let own = |link: &Link| drop(link.tenant.set(self.tenant.clone()));
        let link = |wire| {
            let link = Link::new(self.name(), self.index, Arc::clone(&self.hub), wire);
            own(&link);
            link
        };
        match &self.settings.kind {
            UpstreamKind::Builtin(_) => Ok((link(Wire::Builtin), None)),
            UpstreamKind::Stdio(command) => {
                let (link, process) = stdio::open(self.name(), self.index, &self.hub, command, &self.keeper)?;
                own(&link);
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

    fn words(&self) -> &str {
        let (Self::Gone(reason) | Self::Older(reason) | Self::Other(reason)) = self;
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

async fn introduce(link: &Arc<Link>, expected: Expected, limit: Duration) -> Result<(), String> {
    let hello = probe::introduce(link, expected, limit).await?;
    let speaks = hello.speaks();
    link.wire().negotiated(hello.version);
    // Set once: a connection is introduced once.
    let _second = link.hello.set(hello);
    match speaks {
        Speaks::Stateless => Ok(()),
        Speaks::Sessions => {
            // MCP 2025-11-25, Lifecycle: after `initialize`, the client MUST send `notifications/initialized`.
            let initialized = reply::notification("notifications/initialized", None);
            link.wire().tell_first(link, initialized).await.map_err(|fault| fault.to_string())
        }
    }
}
