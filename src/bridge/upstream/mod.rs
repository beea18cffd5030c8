//! One MCP server behind the bridge: brought up, kept up, and known by what it lists.
//!
//! connect → `server/discover`, or `initialize` → `notifications/initialized` → ready → lost → wait → connect. A call that was under way when
//! the connection was lost gets an error at once and is never sent again (it may have been carried out).

pub mod backoff;
pub mod builtin;
pub mod call;
pub mod calls;
pub mod child;
pub mod elicited;
pub mod hello;
pub mod inbound;
pub mod lines;
pub mod link;
pub mod pass;
pub mod remote;
pub mod sse;
pub mod stateless;
pub mod stdin;
pub mod stdio;
pub mod streamable_http;
pub mod wire;
mod connect;
pub mod lists;
mod run;

pub use lists::LIMITS as LIST_LIMITS;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use tokio::sync::watch;

use crate::base::limit::Limit;
use crate::bridge::catalog::{Catalogue, ListKind, View};
use crate::bridge::hub::Hub;
use crate::bridge::naming::Naming;
use crate::bridge::tenant::Tenant;
use crate::bridge::upstream::hello::Hello;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::lists::Reading;
use crate::config::section::{self, UpstreamKind};

/// How long a client waits for upstreams that were never up, so that it is told what they can do.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("wait of a client for upstreams that were never up", PATIENCE, "it is answered without them")];

/// An upstream, up or down.
#[derive(Debug)]
pub struct Upstream {
    /// Its number, which no other ever has.
    pub index: usize,
    /// Whom it serves.
    pub tenant: Tenant,
    /// Its section of the configuration.
    pub settings: section::Upstream,
    /// The program that supervises children.
    pub keeper: PathBuf,
    hub: Arc<Hub>,
    link: ArcSwapOption<Link>,
    state: watch::Sender<State>,
    known: ArcSwapOption<Hello>,
    view: ArcSwap<View>,
    catalogue: ArcSwap<Catalogue>,
    /// Held while view and catalogue change, so that they fit each other.
    showing: std::sync::Mutex<()>,
    reading: Reading,
    /// How much of each list was said in the log to be hidden by another upstream.
    hidden: std::sync::Mutex<HashMap<ListKind, usize>>,
    restarts: AtomicU64,
    dropped: AtomicU64,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The first try is under way.
    Starting,
    /// It answers.
    Up,
    /// It does not, for this reason.
    Down(String),
}

impl Upstream {
    /// An upstream that was not tried yet.
    #[must_use]
    pub fn new(
        (index, tenant): (usize, Tenant),
        settings: &section::Upstream,
        naming: Naming,
        (hub, keeper): (&Arc<Hub>, &Path),
    ) -> Self {
        let view = View {
            naming,
            include_tools: settings.include_tools.clone(),
            exclude_tools: settings.exclude_tools.clone(),
        };
        Self {
            index,
            tenant,
            settings: settings.clone(),
            keeper: keeper.to_owned(),
            hub: Arc::clone(hub),
            link: ArcSwapOption::empty(),
            state: watch::Sender::new(State::Starting),
            known: ArcSwapOption::empty(),
            view: ArcSwap::from_pointee(view),
            catalogue: ArcSwap::default(),
            showing: std::sync::Mutex::default(),
            reading: Reading::default(),
            hidden: std::sync::Mutex::default(),
            restarts: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// How its names are shown, where it is one of several or the only one.
    #[must_use]
    pub fn naming_of(settings: &section::Upstream, several: bool) -> Naming {
        Naming::new(settings.prefix.as_deref(), &settings.name, &settings.separator, several)
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The connection; `None` while it is down.
    #[must_use]
    pub fn link(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// How it introduced itself the last time; `None` when it was never up.
    #[must_use]
    pub fn hello(&self) -> Option<Arc<Hello>> {
        self.known.load_full()
    }

    /// What of it is shown, and how.
    #[must_use]
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// What it listed the last time.
    #[must_use]
    pub fn catalogue(&self) -> Guard<Arc<Catalogue>> {
        self.catalogue.load()
    }

    /// Waits until the first try is over.
    pub async fn settled(&self) -> State {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| *state != State::Starting).await;
        settled.map_or(State::Starting, |state| state.clone())
    }

    /// How long somebody who wants to use it waits for its first try.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match (&self.tenant, &self.settings.kind) {
            // It was begun for those who wait.
            (Tenant::Person(_) | Tenant::Session { .. }, UpstreamKind::Stdio(command)) => command.startup_timeout,
            _ => PATIENCE,
        }
    }

    /// How often it was brought up again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// How many of its messages belonged to nobody.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.link().map_or(0, |link| link.dropped())
    }
}
