//! From one configuration to the next, without letting go of anybody.
//!
//! A new [`Bridge`] is made over what the one before has: its sessions, its connections, what it counts. Whoever came to the
//! old one is served by it to the end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::limit::Limit;
use crate::bridge::pool::Leaving;
use crate::bridge::tenant::Tenant;
use crate::bridge::tool_search::ToolSearch;
use crate::bridge::upstream::link::Changes;
use crate::bridge::upstream::lists;
use crate::bridge::{Bridge, Options, StartError, missing};
use crate::config::section;

/// How long an upstream that a reload took away is kept for calls that are under way.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is asked whether they have ended.
const INTERVAL: Duration = Duration::from_millis(50);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("calls under way at an upstream that a reload took away", PATIENCE, "an error, as when it is down")];

impl Bridge {
    /// The bridge of another configuration, over the sessions and connections of this one. Nothing that is there changes
    /// before [`Bridge::succeed`]; new upstreams are begun.
    ///
    /// # Errors
    /// One that is new, or has other settings, is required and does not come up at the first try. What was begun is ended
    /// again then.
    pub async fn reloaded(&self, upstreams: &[section::Upstream], options: &Options) -> Result<Arc<Self>, StartError> {
        let pool = self.pool.reloaded(upstreams, options.making(&self.hub));
        let search = options.tool_search.map(|results| match &self.tool_search {
            Some(search) if search.results() == results => Arc::clone(search),
            _ => Arc::new(ToolSearch::new(results, self.hub.runtime.clone())),
        });
        let bridge = Self::over(pool, Arc::clone(&self.hub), Arc::clone(&self.load), search, options);
        let begun = bridge.pool.since(&self.pool).begun;
        let Some(error) = missing(bridge.pool.shared_of(&begun)).await else { return Ok(bridge) };
        bridge.pool.leaving(begun).end();
        Err(error)
    }

    /// Comes into force in place of another, which gets no further requests: clients hear of what changed for them, and what
    /// has no place any more is ended when nobody waits for it.
    pub fn succeed(&self, before: &Arc<Self>) {
        self.hub.sessions.set(self.session);
        self.load.bound_streams(self.session.max_streams_per_user, self.max_streams);
        let difference = self.pool.since(&before.pool);
        let mut changed = self.pool.lists_of(&difference.begun) | self.pool.lists_of(&difference.gone);
        if self.pool.rename() {
            changed |= self.pool.all_lists();
        }
        if self.tool_search.is_some() != before.tool_search.is_some() {
            changed |= Changes::TOOLS;
        }
        for (old, new) in &difference.replaced {
            self.move_subscriptions(*old, *new);
        }
        lists::announce_to(&self.hub.audience(&Tenant::Everybody), changed);
        before.stop.send_replace(true);
        let leaving = self.pool.leaving(difference.gone);
        self.hub.runtime.spawn(let_go(leaving, Arc::downgrade(before)));
    }

    /// Does not come into force after all: what was begun for it is ended again.
    pub fn give_up(&self, before: &Self) {
        self.pool.leaving(self.pool.since(&before.pool).begun).end();
    }

    fn move_subscriptions(&self, old: usize, new: usize) {
        if !self.hub.move_subscriptions(old, new) {
            return;
        }
        // One that comes up later asks for them itself.
        let Some((upstream, link)) =
            self.pool.find(new).and_then(|upstream| Some((Arc::clone(&upstream), upstream.link()?)))
        else {
            return;
        };
        self.hub.runtime.spawn(async move {
            link.listening.wishes_changed();
            upstream.restore(&link).await;
        });
    }
}

/// Ends what has no place any more, when those who came before the reload have been served.
async fn let_go(leaving: Leaving, before: Weak<Bridge>) {
    let end = Instant::now() + PATIENCE;
    while (before.strong_count() > 0 || !leaving.is_idle()) && Instant::now() < end {
        tokio::time::sleep(INTERVAL).await;
    }
    leaving.end();
}
