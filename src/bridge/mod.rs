//! Talks to MCP servers on behalf of the clients that were let in.
//!
//! It owns the sessions, the connections to the upstreams, and who may hear what. It knows nothing of HTTP towards the
//! client, of tokens or of pages: it gets a `Principal` and a message, and gives an [`Answer`].
//!
//! All sessions share one connection per upstream, unless `isolation` gives each person or session its own (`pool`). What keeps
//! sessions on one connection apart: ids and progress tokens of our own on every
//! connection (`upstream::link`), and one rule for whom a message belongs to (`upstream::inbound`).

pub mod answer;
pub mod access;
pub mod event_id;
pub mod mailbox;
pub mod streams;
pub mod session;
pub mod sessions;
pub mod hub;
pub mod load;
pub mod naming;
pub mod uri_template;
pub mod catalog;
pub mod route;
pub mod tenant;
pub mod pool;
pub mod merge;
pub mod upstream;
pub mod stateless;
pub mod tool_search;
mod post;
mod initialize;
mod request;
mod subscribe;
mod subscribers;
mod notify;
pub mod limits;
mod reload;

pub use answer::{Answer, BrokenOff, EventStream, Pieces, Refusal};

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::clock::Clock;
use crate::bridge::answer::Held;
use crate::bridge::event_id::EventId;
use crate::bridge::hub::Hub;
use crate::bridge::load::Load;
use crate::bridge::pool::{EmailAddresses, Limits, Making, Pool};
use crate::bridge::session::Session;
use crate::bridge::sessions::Sessions;
use crate::bridge::stateless::era;
use crate::bridge::subscribers::Subscriber;
use crate::bridge::tool_search::ToolSearch;
use crate::bridge::upstream::{State, Upstream};
use crate::config::section;
use crate::model::principal::Principal;
use crate::protocol::mcp::completion::Identity;
use crate::protocol::mcp::mirror::{Field, Mirror};
use crate::protocol::mcp::reply;

/// The bridge as one configuration has it. Sessions, connections and what is under way belong to all that come one after
/// the other.
#[derive(Debug)]
pub struct Bridge {
    pool: Pool,
    hub: Arc<Hub>,
    load: Arc<Load>,
    own_identity: Identity,
    session: section::Session,
    max_streams: usize,
    request_timeout: Duration,
    tool_search: Option<Arc<ToolSearch>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the bridge is told beside its upstreams.
#[derive(Clone, Debug)]
pub struct Options {
    /// `server.session`.
    pub session: section::Session,
    /// How many streams all clients together may keep open; 0: no bound.
    pub max_streams: usize,
    /// `server.request_timeout`: for one request, whatever an upstream's own setting.
    pub request_timeout: Duration,
    /// `server.tool_search`: how many tools a search gives. `None`: tools are listed.
    pub tool_search: Option<usize>,
    /// How many connections there may be that are not shared.
    pub limits: Limits,
    /// Where the e-mail addresses of people are found, for upstreams whose environment names them.
    pub addresses: EmailAddresses,
    /// The program that supervises children: our own binary.
    pub keeper: PathBuf,
    /// The time.
    pub clock: Clock,
}

impl Options {
    fn making(&self, hub: &Arc<Hub>) -> Making {
        let (keeper, addresses) = (self.keeper.clone(), self.addresses.clone());
        Making { hub: Arc::clone(hub), keeper, addresses, limits: self.limits }
    }
}

/// A required upstream is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream {name:?} is required, but does not come up: {reason}")]
pub struct StartError {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What of a request matters to the bridge where it is a POST, beside its content.
#[derive(Clone, Debug, Default)]
pub struct PostRequest<'a> {
    /// `Mcp-Session-Id`.
    pub session_id: Option<&'a str>,
    /// `MCP-Protocol-Version`.
    pub protocol_version: Field<'a>,
    /// What else the header says of the body; looked at where the version is one that has it so.
    pub mirror: Mirror<'a>,
    /// The client takes `application/json`.
    pub accepts_json: bool,
    /// The client takes `text/event-stream`.
    pub accepts_event_stream: bool,
}

/// What of a GET request matters to the bridge.
#[derive(Clone, Copy, Debug)]
pub struct GetRequest<'a> {
    /// `Mcp-Session-Id`.
    pub session_id: Option<&'a str>,
    /// `MCP-Protocol-Version`.
    pub protocol_version: Field<'a>,
    /// `Last-Event-ID`.
    pub last_event_id: Option<&'a str>,
}

/// How an upstream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub is_up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Whether the bridge is of no use without it.
    pub is_required: bool,
    /// Whether a request to it is under way.
    pub is_busy: bool,
    /// How often it was brought up again.
    pub restarts: u64,
    /// How many of its messages belonged to nobody.
    pub dropped: u64,
    /// How many people or sessions have one of their own now. `None`: it is shared.
    pub tenants: Option<usize>,
}

impl Bridge {
    /// Brings the upstreams up. Background work stays on the runtime this is called on.
    ///
    /// # Errors
    /// A required upstream does not come up at the first try; everything is stopped again then.
    pub async fn start(upstreams: &[section::Upstream], options: Options) -> Result<Arc<Self>, StartError> {
        let load = Load::new(options.session.max_streams_per_user, options.max_streams);
        let sessions = Sessions::new(options.session, options.clock.clone());
        let hub = Arc::new(Hub::new(sessions, Handle::current(), options.clock.clone()));
        let pool = Pool::start(upstreams, options.making(&hub));
        let tool_search = options.tool_search.map(|results| Arc::new(ToolSearch::new(results, hub.runtime.clone())));
        let bridge = Self::over(pool, hub, Arc::new(load), tool_search, &options);
        match missing(bridge.pool.shared()).await {
            None => Ok(bridge),
            Some(error) => {
                bridge.shutdown().await;
                Err(error)
            }
        }
    }

    fn over(
        pool: Pool,
        hub: Arc<Hub>,
        load: Arc<Load>,
        tool_search: Option<Arc<ToolSearch>>,
        options: &Options,
    ) -> Arc<Self> {
        let (stop, interval) = (watch::Sender::new(false), sessions::sweep_interval(&options.session));
        Arc::new_cyclic(|this| {
            let sweeping = sweep(Weak::clone(this), interval, stop.subscribe());
            let tasks = Mutex::new(vec![hub.runtime.spawn(sweeping)]);
            let own_identity = Identity::new(&merge::own_identity().to_string());
            let (session, max_streams) = (options.session, options.max_streams);
            let request_timeout = options.request_timeout;
            Self { pool, hub, load, own_identity, session, max_streams, request_timeout, tool_search, stop, tasks }
        })
    }

    /// Takes a message, or a batch of them.
    pub fn post(
        &self,
        principal: &Arc<Principal>,
        request: &PostRequest<'_>,
        body: Bytes,
    ) -> impl Future<Output = Answer> {
        self.take(principal, request, body)
    }

    /// Opens a stream of the session's own, or takes up the one after whose event the client asks (GET).
    #[must_use]
    pub fn listen(&self, principal: &Arc<Principal>, request: GetRequest<'_>) -> Answer {
        let open = || {
            era::check_verb(request.session_id, request.protocol_version)?;
            let session = self.session(principal, request.session_id)?.ok_or(Refusal::SessionRequired)?;
            era::check_version(request.protocol_version, Some(&session), reply::NO_ID)?;
            let lifetime = principal.expires_at.map(|end| end.since(self.hub.clock.now()));
            let place = self.load.stream(principal)?;
            let events = listen_to(&session, request.last_event_id)?.within(lifetime).holding(Some(Held::Place(place)));
            Ok(Answer::Stream { events, session_id: None })
        };
        open().unwrap_or_else(Answer::refused)
    }

    /// Ends a session (DELETE).
    #[must_use]
    pub fn end(&self, principal: &Arc<Principal>, session_id: Option<&str>, protocol_version: Field<'_>) -> Answer {
        if let Err(refusal) = era::check_verb(session_id, protocol_version) {
            return Answer::refused(refusal);
        }
        let Some(id) = session_id else { return Answer::refused(Refusal::SessionRequired) };
        match self.hub.sessions.remove(id, principal) {
            Some(session) => {
                self.close(&session);
                Answer::Ended
            }
            None => Answer::refused(Refusal::SessionUnknown),
        }
    }

    /// How the upstreams stand.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        self.pool.status()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.hub.sessions.list().len()
    }

    /// Ends the streams that would otherwise stay open for ever. Calls under way may still finish.
    pub fn end_streams(&self) {
        self.hub.listeners.finish();
        for session in self.hub.sessions.list() {
            session.mailbox.end();
        }
    }

    /// Ends all streams, closes all connections, and waits for the children to be gone.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        for session in self.hub.sessions.take_all() {
            self.close(&session);
        }
        self.pool.stop().await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // A task that panicked is as over as any other.
        let _ended = futures_util::future::join_all(tasks).await;
    }

    /// The caller's session; `None` when no id was given.
    fn session(&self, principal: &Principal, id: Option<&str>) -> Result<Option<Arc<Session>>, Refusal> {
        id.map(|id| self.hub.sessions.find(id, principal).ok_or(Refusal::SessionUnknown)).transpose()
    }

    /// Undoes what a session set up: its streams, its calls, its subscriptions, what it was asked.
    fn close(&self, session: &Arc<Session>) {
        session.mailbox.end();
        session.streams.clear();
        for link in self.pool.serving(session).iter().filter_map(|upstream| upstream.link()) {
            link.cancel_all(session);
        }
        for asked in session.take_all_asked() {
            asked.refuse("The client's session ended");
        }
        self.pool.end_session(session);
        for (index, uri) in self.hub.forget(&Subscriber::Session(Arc::clone(session))) {
            if let Some(upstream) = self.pool.find(index) {
                subscribe::unsubscribe_later(&self.hub, &upstream, uri);
            }
        }
    }
}

/// The first of these that is required and does not come up.
async fn missing(all: impl Iterator<Item = &Arc<Upstream>>) -> Option<StartError> {
    for upstream in all.filter(|upstream| upstream.settings.required) {
        if let State::Down(reason) = upstream.settled().await {
            return Some(StartError { name: upstream.name().to_owned(), reason });
        }
    }
    None
}

async fn sweep(bridge: Weak<Bridge>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let Some(bridge) = bridge.upgrade() else { return };
        bridge.hub.parked.sweep(bridge.hub.clock.now());
        for session in bridge.hub.sessions.take_idle() {
            bridge.close(&session);
        }
        for session in bridge.hub.sessions.list() {
            session.streams.tidy();
        }
        bridge.pool.sweep();
    }
}

fn listen_to(session: &Arc<Session>, last_event_id: Option<&str>) -> Result<EventStream, Refusal> {
    if let Some(id) = last_event_id {
        // MCP 2025-11-25, Resumability: only this stream goes on. An id that is not ours is refused and no new stream is
        // opened in its place, for the client would take what comes on it for the rest of the old one.
        let follower = EventId::parse(id).and_then(|id| session.resume(id)).ok_or(Refusal::EventUnknown)?;
        return Ok(EventStream::resumable(session, follower));
    }
    match session.mailbox.open() {
        Some(follower) => Ok(EventStream::resumable(session, follower)),
        None => session
            .mailbox
            .reader()
            .map(|reader| EventStream::of_session(session, reader))
            .ok_or(Refusal::SessionUnknown),
    }
}
