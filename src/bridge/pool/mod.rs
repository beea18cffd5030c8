//! The upstreams: those that everybody shares, and those of which each person or each session has one of their own.
//!
//! An [`Upstream`] is one connection with one life. This module owns how many there are and for how long: it makes one when
//! its tenant first needs it, and ends it with the tenant. It never gives anybody the connection of another tenant.

mod begin;
mod own;
mod reload;
mod status;
mod tenancy;

pub use begin::Whom;
pub use own::{Lack, LeftOut, Own};
pub use reload::{Difference, Leaving};

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
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
            Limit::count("children that are not shared, in all", self.children, "503, Retry-After"),
            Limit::count("children of the sessions of one person", self.children_per_person, "503, Retry-After"),
            Limit::count("connections to URLs that are not shared", self.connections, "503, Retry-After"),
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

/// The upstreams of one configuration. What is connected is known to all that came one after the other.
#[derive(Debug)]
pub struct Pool {
    places: Vec<Place>,
    /// What everybody has, if nothing is isolated.
    shared: Option<Own>,
    making: Making,
    state: Arc<Mutex<Tenancies>>,
}

/// One of the configuration's upstreams.
#[derive(Clone, Debug)]
enum Place {
    Shared(Arc<Upstream>),
    /// With a number that no other upstream of any configuration has.
    Isolated(usize, Arc<section::Upstream>),
}

#[derive(Debug, Default)]
struct Tenancies {
    is_closed: bool,
    next: usize,
    /// By tenant, everybody among them, and the number of the place.
    all: HashMap<(Tenant, usize), Tenancy>,
    /// Those whose processes may still be there.
    ending: Vec<Tenancy>,
}

impl Pool {
    /// Brings up what is shared.
    #[must_use]
    pub fn start(all: &[section::Upstream], making: Making) -> Self {
        Self::make(all, &[], making, Arc::default())
    }

    /// The upstreams of a configuration: of those that are there already the very same, the others are begun.
    fn make(all: &[section::Upstream], there: &[Place], making: Making, state: Arc<Mutex<Tenancies>>) -> Self {
        let several = all.len() > 1;
        let place = |settings: &section::Upstream| match there.iter().find(|place| place.settings() == settings) {
            Some(place) => place.clone(),
            None => lock(&state).place(settings, several, &making),
        };
        let places: Vec<Place> = all.iter().map(place).collect();
        let shared: Option<Vec<_>> = places.iter().map(|place| place.shared().map(Arc::clone)).collect();
        let shared = shared.map(|upstreams| Own::new(upstreams, Vec::new()));
        Self { places, shared, making, state }
    }

    /// Those that everybody shares.
    pub fn shared(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.places.iter().filter_map(Place::shared)
    }

    /// The upstream with this number, if there still is one.
    #[must_use]
    pub fn find(&self, index: usize) -> Option<Arc<Upstream>> {
        let state = self.lock();
        let found = state.all.values().find(|tenancy| tenancy.upstream.index == index);
        found.map(|tenancy| Arc::clone(&tenancy.upstream))
    }

    /// Those that serve this session now.
    #[must_use]
    pub fn serving(&self, session: &Session) -> Vec<Arc<Upstream>> {
        let state = self.lock();
        let all = state.all.values().chain(&state.ending);
        let serving = all.filter(|tenancy| tenancy.upstream.tenant.has_session(session));
        serving.map(|tenancy| Arc::clone(&tenancy.upstream)).collect()
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
        state.ending.retain(|tenancy| !tenancy.task.is_finished());
        if state.all.keys().all(|(tenant, _)| *tenant == Tenant::Everybody) {
            return;
        }
        let (now, sessions) = (hub.clock.now(), hub.sessions.list());
        let ids: HashSet<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
        let people: HashSet<&UserId> = sessions.iter().filter_map(|session| session.principal.user.as_ref()).collect();
        state.end(|tenancy| match &tenancy.upstream.tenant {
            Tenant::Session { id, .. } => !ids.contains(id.as_str()),
            _ => false,
        });
        for tenancy in state.all.values_mut() {
            let has_session = tenancy.upstream.tenant.person().is_some_and(|person| people.contains(person));
            if has_session || tenancy.is_in_use(&hub.listeners) {
                tenancy.used = now;
            }
        }
        state.end(|tenancy| matches!(tenancy.upstream.tenant, Tenant::Person(_)) && now.since(tenancy.used) >= idle);
    }

    /// Ends all, and waits until their processes are gone.
    pub async fn stop(&self) {
        let tasks: Vec<JoinHandle<()>> = {
            let mut state = self.lock();
            state.is_closed = true;
            state.end(|_| true);
            // Among them those that a reload lets finish first.
            state.ending.iter().for_each(Tenancy::end);
            std::mem::take(&mut state.ending).into_iter().map(|tenancy| tenancy.task).collect()
        };
        // A task that panicked is as over as any other.
        let _ended = futures_util::future::join_all(tasks).await;
    }

    fn lock(&self) -> MutexGuard<'_, Tenancies> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<Tenancies>) -> MutexGuard<'_, Tenancies> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    const fn shared(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Shared(upstream) => Some(upstream),
            Self::Isolated(..) => None,
        }
    }

    fn settings(&self) -> &section::Upstream {
        match self {
            Self::Shared(upstream) => &upstream.settings,
            Self::Isolated(_, settings) => settings,
        }
    }

    /// Its number.
    fn number(&self) -> usize {
        match self {
            Self::Shared(upstream) => upstream.index,
            Self::Isolated(number, _) => *number,
        }
    }
}

impl Tenancies {
    /// A new place of the configuration. What everybody shares is begun at once.
    fn place(&mut self, settings: &section::Upstream, several: bool, making: &Making) -> Place {
        let number = self.number();
        // What it spoke with other settings says nothing.
        making.hub.found.forget(&settings.name);
        if settings.isolation != section::Isolation::Shared {
            return Place::Isolated(number, Arc::new(settings.clone()));
        }
        let (naming, making) = (Upstream::naming_of(settings, several), (&making.hub, making.keeper.as_path()));
        let upstream = Arc::new(Upstream::new((number, Tenant::Everybody), settings, naming, making));
        if !self.is_closed {
            self.all.insert((Tenant::Everybody, number), Tenancy::begin(&upstream, making.0));
        }
        Place::Shared(upstream)
    }

    /// A number that nothing had before.
    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn end(&mut self, which: impl Fn(&Tenancy) -> bool) {
        let ended = self.take(|_, tenancy| which(tenancy));
        ended.iter().for_each(Tenancy::end);
        self.ending.extend(ended);
    }

    fn take(&mut self, which: impl Fn(usize, &Tenancy) -> bool) -> Vec<Tenancy> {
        let taken = self.all.extract_if(|(_, place), tenancy| which(*place, tenancy));
        taken.map(|(_, tenancy)| tenancy).collect()
    }
}
