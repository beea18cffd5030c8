//! The upstreams: those that everybody shares, and those of which each person or each session has one of their own.
//!
//! An [`Upstream`] is one connection with one life. This module owns how many there are and for how long: it makes one when
//! its tenant first needs it, and ends it with the tenant. It never gives anybody the connection of another tenant.

mod begin;
mod own;
mod status;
mod tenancy;

pub use begin::Whom;
pub use own::{Lack, LeftOut, Own};

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::id::UserId;
use crate::base::limit::Limit;
use crate::bridge::hub::Hub;
use crate::bridge::pool::tenancy::Tenancy;
use crate::bridge::session::Session;
use crate::bridge::tenant::Tenant;
use crate::bridge::upstream::Upstream;
use crate::config::section;

/// How many connections there may be that are not shared, and how long one is kept whose tenant is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Child processes, in all.
    pub children: usize,
    /// Child processes of the sessions of one person.
    pub children_per_person: usize,
    /// Connections to URLs, in all.
    pub connections: usize,
    /// How long one is kept without a session, a call or a listener of its tenant.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { children: 64, children_per_person: 16, connections: 1000, idle: Duration::from_secs(600) }
    }
}

impl Limits {
    /// As the operator is shown them.
    #[must_use]
    pub fn shown(self) -> Vec<Limit> {
        vec![
            Limit::count(
                "children that are not shared, in all",
                self.children,
                "one that is idle makes room, else 503",
            ),
            Limit::count(
                "children of the sessions of one person",
                self.children_per_person,
                "one that is idle makes room, else 503",
            ),
            Limit::count(
                "connections to URLs that are not shared",
                self.connections,
                "one that is idle makes room, else 503",
            ),
            Limit::time("child or connection whose tenant is away", self.idle, "it is ended"),
        ]
    }
}

/// Finds people's e-mail addresses, for the environment of their child processes.
#[derive(Clone)]
pub struct EmailAddresses(Arc<dyn Fn(UserId) -> BoxFuture<'static, Option<String>> + Send + Sync>);

impl EmailAddresses {
    /// Finds them so.
    pub fn new(find: impl Fn(UserId) -> BoxFuture<'static, Option<String>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// Knows none.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| Box::pin(std::future::ready(None)))
    }

    /// The address of somebody who may still log in.
    pub async fn find(&self, person: &UserId) -> Option<String> {
        (self.0)(person.clone()).await
    }
}

impl fmt::Debug for EmailAddresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EmailAddresses")
    }
}

/// What new upstreams are made with.
#[derive(Debug)]
pub struct Making {
    /// What everything shares.
    pub hub: Arc<Hub>,
    /// The program that supervises children.
    pub keeper: PathBuf,
    /// Where e-mail addresses are found.
    pub addresses: EmailAddresses,
    /// How many there may be.
    pub limits: Limits,
}

/// All upstreams.
#[derive(Debug)]
pub struct Pool {
    places: Vec<Place>,
    /// What everybody has, if nothing is isolated.
    shared: Option<Own>,
    making: Making,
    state: Mutex<Tenancies>,
}

/// One of the configuration's upstreams.
#[derive(Debug)]
enum Place {
    Shared(Arc<Upstream>),
    Isolated(Box<section::Upstream>),
}

#[derive(Debug, Default)]
struct Tenancies {
    is_closed: bool,
    next: usize,
    shared: Vec<(watch::Sender<bool>, JoinHandle<()>)>,
    /// By tenant and place in the configuration.
    isolated: HashMap<(Tenant, usize), Tenancy>,
    /// Those whose processes may still be there.
    ending: Vec<Tenancy>,
}

impl Pool {
    /// Brings up what is shared.
    #[must_use]
    pub fn start(all: &[section::Upstream], making: Making) -> Self {
        let several = all.len() > 1;
        let mut tenancies = Tenancies { next: all.len(), ..Tenancies::default() };
        let place = |(index, settings): (usize, &section::Upstream)| match settings.isolation {
            section::Isolation::Shared => {
                let naming = Upstream::naming_of(settings, several);
                let upstream =
                    Upstream::new((index, Tenant::Everybody), settings, naming, (&making.hub, making.keeper.as_path()));
                let (upstream, stop) = (Arc::new(upstream), watch::Sender::new(false));
                let task = making.hub.runtime.spawn(Arc::clone(&upstream).run(stop.subscribe()));
                tenancies.shared.push((stop, task));
                Place::Shared(upstream)
            }
            section::Isolation::PerUser | section::Isolation::PerSession => Place::Isolated(Box::new(settings.clone())),
        };
        let places: Vec<Place> = all.iter().enumerate().map(place).collect();
        let shared: Option<Vec<_>> = places.iter().map(|place| place.shared().map(Arc::clone)).collect();
        let shared = shared.map(|upstreams| Own::new(upstreams, Vec::new()));
        Self { places, shared, making, state: Mutex::new(tenancies) }
    }

    /// Those that everybody shares.
    pub fn shared(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.places.iter().filter_map(Place::shared)
    }

    /// The upstream with this number, if there still is one.
    #[must_use]
    pub fn find(&self, index: usize) -> Option<Arc<Upstream>> {
        let isolated = || {
            let state = self.lock();
            let found = state.isolated.values().find(|tenancy| tenancy.upstream.index == index);
            found.map(|tenancy| Arc::clone(&tenancy.upstream))
        };
        self.shared().find(|upstream| upstream.index == index).map(Arc::clone).or_else(isolated)
    }

    /// Those that serve this session now.
    #[must_use]
    pub fn serving(&self, session: &Session) -> Vec<Arc<Upstream>> {
        let mut all: Vec<_> = self.shared().map(Arc::clone).collect();
        let state = self.lock();
        let own = state.isolated.values().filter(|tenancy| tenancy.upstream.tenant.has_session(session));
        all.extend(own.map(|tenancy| Arc::clone(&tenancy.upstream)));
        all
    }

    /// Ends what a session had for itself; the session is not among the others any more.
    pub fn end_session(&self, session: &Session) {
        let tenant = Tenant::of_session(session);
        self.lock().end(|tenancy| tenancy.upstream.tenant == tenant);
    }

    /// Ends what has no tenant any more.
    pub fn sweep(&self) {
        let (hub, idle) = (&self.making.hub, self.making.limits.idle);
        // Before the sessions are looked at: one that is begun meanwhile would be missing among them.
        let mut state = self.lock();
        if state.isolated.is_empty() && state.ending.is_empty() {
            return;
        }
        let (now, sessions) = (hub.clock.now(), hub.sessions.list());
        let ids: HashSet<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
        let people: HashSet<&UserId> = sessions.iter().filter_map(|session| session.principal.user.as_ref()).collect();
        state.end(|tenancy| match &tenancy.upstream.tenant {
            Tenant::Session { id, .. } => !ids.contains(id.as_str()),
            _ => false,
        });
        for tenancy in state.isolated.values_mut() {
            let has_session = tenancy.upstream.tenant.person().is_some_and(|person| people.contains(person));
            if has_session || tenancy.is_in_use(&hub.listeners) {
                tenancy.used = now;
            }
        }
        state.end(|tenancy| matches!(tenancy.upstream.tenant, Tenant::Person(_)) && now.since(tenancy.used) >= idle);
        state.ending.retain(|tenancy| !tenancy.task.is_finished());
    }

    /// Ends all, and waits until their processes are gone.
    pub async fn stop(&self) {
        let tasks: Vec<JoinHandle<()>> = {
            let mut state = self.lock();
            state.is_closed = true;
            state.end(|_| true);
            let shared = std::mem::take(&mut state.shared);
            for (stop, _) in &shared {
                stop.send_replace(true);
            }
            let ending = std::mem::take(&mut state.ending);
            shared.into_iter().map(|(_, task)| task).chain(ending.into_iter().map(|tenancy| tenancy.task)).collect()
        };
        // A task that panicked is as over as any other.
        let _ended = futures_util::future::join_all(tasks).await;
    }

    fn lock(&self) -> MutexGuard<'_, Tenancies> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    const fn shared(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Shared(upstream) => Some(upstream),
            Self::Isolated(_) => None,
        }
    }
}

impl Tenancies {
    fn end(&mut self, which: impl Fn(&Tenancy) -> bool) {
        let ended: Vec<Tenancy> =
            self.isolated.extract_if(|_, tenancy| which(tenancy)).map(|(_, tenancy)| tenancy).collect();
        ended.iter().for_each(Tenancy::end);
        self.ending.extend(ended);
    }
}
