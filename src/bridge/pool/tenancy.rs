//! One tenant's own upstream.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::clock::Timestamp;
use crate::bridge::hub::Hub;
use crate::bridge::stateless::listener::Listeners;
use crate::bridge::upstream::Upstream;
use crate::config::section::UpstreamKind;

/// An upstream, and what ends it.
#[derive(Debug)]
pub(super) struct Tenancy {
    pub upstream: Arc<Upstream>,
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
    /// When its tenant was last there.
    pub used: Timestamp,
}

impl Tenancy {
    /// Begins an upstream's life.
    pub fn begin(upstream: &Arc<Upstream>, hub: &Hub) -> Self {
        let stop = watch::Sender::new(false);
        let task = hub.runtime.spawn(Arc::clone(upstream).run(stop.subscribe()));
        Self { upstream: Arc::clone(upstream), stop, task, used: hub.clock.now() }
    }

    /// Whether a call of its tenant is under way, or its tenant listens.
    pub fn is_in_use(&self, listeners: &Listeners) -> bool {
        listeners.has(&self.upstream.tenant) || self.upstream.link().is_some_and(|link| !link.calls.is_idle())
    }

    /// Whether there is a process behind it.
    pub fn is_child(&self) -> bool {
        matches!(self.upstream.settings.kind, UpstreamKind::Stdio(_))
    }

    /// Ends it: no more restarts, and the process gets its time to go.
    pub fn end(&self) {
        self.stop.send_replace(true);
    }
}
