//! Connections that wait for their next request.
//!
//! Each is used on the runtime on which it was opened and nowhere else: a request and its connection then wake each other
//! without leaving their thread, where passing from one to another would cost a tenth of a call. A runtime that ends takes
//! its connections with it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::{Handle, Id};
use tokio::task::AbortHandle;

/// How long an idle connection is kept. Node closes those of its servers after 5 s, and a request that meets the close is
/// lost: it may have been read, so it is not sent again. Its own client keeps them for 4 s too.
const IDLE: Duration = Duration::from_secs(4);

/// A request that is not all sent so long after its answer was over never will be.
const SETTLED: Duration = Duration::from_millis(200);

/// An open connection.
#[derive(Debug)]
pub(super) struct Opened {
    /// To whom: the URL up to its port.
    pub origin: Box<str>,
    /// Takes one request after another.
    pub sender: SendRequest<Full<Bytes>>,
    /// Ends it, whatever is still to be sent: hyper goes on with that although nobody has the connection any more.
    pub carrier: AbortHandle,
}

/// The connections of one client that are not in use.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Id, Vec<Idle>>>);

#[derive(Debug)]
struct Idle {
    opened: Opened,
    since: Instant,
}

impl Idle {
    fn is_good(&self, now: Instant) -> bool {
        now.duration_since(self.since) < IDLE && !self.opened.sender.is_closed()
    }
}

impl Kept {
    /// The one that was used last, so that those there are too many of grow old.
    pub(super) fn take(&self, origin: &str) -> Option<Opened> {
        let mut all = self.lock();
        let (idle, now) = (all.get_mut(&Handle::current().id())?, Instant::now());
        let fits = |idle: &Idle| *idle.opened.origin == *origin && idle.is_good(now);
        let found = idle.iter().rposition(fits)?;
        Some(idle.remove(found).opened)
    }

    /// Keeps a connection whose answer is over until it is wanted again. One whose server answered early (413), and does not
    /// take what was to be sent before, is closed instead.
    pub(super) fn keep(self: &Arc<Self>, mut opened: Opened) {
        if opened.sender.is_ready() {
            return self.put(opened);
        }
        let kept = Arc::clone(self);
        tokio::spawn(async move {
            match tokio::time::timeout(SETTLED, opened.sender.ready()).await {
                Ok(Ok(())) => kept.put(opened),
                _ => opened.carrier.abort(),
            }
        });
    }

    fn put(self: &Arc<Self>, opened: Opened) {
        let (idle, runtime) = (Idle { opened, since: Instant::now() }, Handle::current());
        match self.lock().entry(runtime.id()) {
            Entry::Occupied(mut all) => all.get_mut().push(idle),
            Entry::Vacant(none) => {
                none.insert(vec![idle]);
                runtime.spawn(tidy(Arc::downgrade(self), runtime.id()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Vec<Idle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle too long, as long as there is something on this runtime.
async fn tidy(kept: Weak<Kept>, runtime: Id) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut all = kept.lock();
        let Some(idle) = all.get_mut(&runtime) else { return };
        let now = Instant::now();
        idle.retain(|idle| idle.is_good(now));
        if idle.is_empty() {
            all.remove(&runtime);
            return;
        }
    }
}
