//! From nothing to an initialised connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stateless::probe::{self, Expected};
use crate::bridge::upstream::stdio::{self, Process};
use crate::bridge::upstream::streamable_http::HttpWire;
use crate::bridge::upstream::wire::Wire;
use crate::config::section::{UpstreamEra, UpstreamKind};
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
        let (link, mut process) = self.open().map_err(Failure::Other)?;
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

async fn introduce(link: &Arc<Link>, expected: Expected, limit: Duration) -> Result<(), String> {
    let hello = probe::introduce(link, expected, limit).await?;
    let speaks = hello.speaks();
    if let Wire::Http(wire) = link.wire() {
        wire.negotiated(hello.version);
    }
    // Set once: a connection is introduced once.
    let _second = link.hello.set(hello);
    match speaks {
        Speaks::Stateless => Ok(()),
        Speaks::Sessions => {
            // MCP 2025-11-25, Lifecycle: after `initialize`, the client MUST send `notifications/initialized`.
            let initialized = reply::notification("notifications/initialized", None);
            link.tell(initialized).await.map_err(|fault| fault.to_string())
        }
    }
}
