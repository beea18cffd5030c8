//! One session of one client. [MCP 2025-11-25, Session Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management)

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Timestamp;
use crate::base::limit::Limit;
use crate::bridge::event_id::{EventId, StreamId};
use crate::bridge::mailbox::{Follower, Mailbox};
use crate::bridge::streams::Streams;
use crate::bridge::upstream::hello;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stateless::dress;
use crate::bridge::upstream::stateless::inquiry::Inquiry;
use crate::model::principal::Principal;
use crate::protocol::mcp::client_features::ClientFeatures;
use crate::protocol::mcp::event_stream;
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

/// After this time a client comes back to a stream whose connection ended. Some try only twice, so that it is not short.
const RETRY: Duration = Duration::from_secs(3);
/// How many requests of upstreams may wait for the client of one session.
const MAX_ASKED: usize = 100;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count(
    "questions of upstreams to one session, unanswered",
    MAX_ASKED,
    "the upstream is told that nobody can be asked",
)];

/// A session: it belongs to one caller, and what upstreams ask for it is answered by it alone.
#[derive(Debug)]
pub struct Session {
    /// Its id, as the client sends it.
    pub id: String,
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// What was negotiated.
    pub version: ProtocolVersion,
    /// What its client can do.
    pub features: ClientFeatures,
    /// What its client said of itself, as an upstream without sessions wants it: members of `_meta`.
    pub envelope: Box<str>,
    /// What waits for its GET stream.
    pub mailbox: Arc<Mailbox>,
    /// The streams of its calls that can be taken up again.
    pub streams: Streams,
    born: Timestamp,
    used: AtomicI64,
    turn: AtomicU64,
    under_way: AtomicUsize,
    asked: Mutex<HashMap<u64, Asked>>,
    level: AtomicU8,
    is_introduced: AtomicBool,
}

/// What a session's client was asked, and who waits for the answer.
#[derive(Debug)]
pub enum Asked {
    /// A request of an upstream.
    Request {
        /// Where the answer goes.
        link: Weak<Link>,
        /// The upstream's id of it, as written.
        id: Bytes,
        /// The token under which the upstream wants progress, as written.
        progress_token: Option<Bytes>,
    },
    /// A question of an upstream without sessions, which is told when all is answered.
    Inquiry(Arc<Inquiry>),
}

impl Asked {
    /// Tells whoever asked that there will be no answer.
    pub fn refuse(&self, text: &str) {
        // A call that asked ends with the session; there is nobody to be told.
        let Self::Request { link, id, .. } = self else { return };
        if let Some(link) = link.upgrade() {
            drop(link.end_asking(id));
            link.tell_now(reply::error(id, reply::UNAVAILABLE, text));
        }
    }
}

/// How a client introduced itself.
#[derive(Clone, Debug)]
pub struct Introduced {
    /// What was negotiated.
    pub version: ProtocolVersion,
    /// What it can do.
    pub features: ClientFeatures,
    /// The same and what it is, as members of `_meta`.
    pub envelope: Box<str>,
}

/// What a client says of itself is kept up to this many bytes; of more, only what it can do.
const MAX_ENVELOPE: usize = 4 * 1024;
/// Shown by `config show --limits`.
pub const KEPT_LIMITS: [Limit; 1] =
    [Limit::bytes("what a client says of itself", MAX_ENVELOPE, "what it can do is kept alone")];

impl Introduced {
    /// Reads `capabilities` and `clientInfo`, JSON, as far as they are there.
    #[must_use]
    pub fn read(version: ProtocolVersion, capabilities: Option<&str>, client_info: Option<&str>) -> Self {
        let features = capabilities.map(ClientFeatures::read).unwrap_or_default();
        let is_object = |json: &&str| json.starts_with('{');
        let client_info = client_info.filter(|info| hello::is_implementation(info));
        let mut envelope = dress::envelope(capabilities.filter(is_object).unwrap_or("{}"), client_info);
        if envelope.len() > MAX_ENVELOPE {
            envelope = dress::envelope(&features.json().to_string(), None);
        }
        Self { version, features, envelope: envelope.into() }
    }
}

impl Session {
    /// A session of nobody who is known, for tests.
    #[cfg(test)]
    #[must_use]
    pub fn of_nobody() -> Arc<Self> {
        let streams = Streams::new(10, crate::base::clock::Clock::fixed(Timestamp::from_unix(0)));
        let introduced = Introduced::read(ProtocolVersion::LATEST, None, None);
        Arc::new(Self::new("s".to_owned(), Arc::new(Principal::anonymous()), introduced, streams))
    }

    /// A new session.
    #[must_use]
    pub fn new(id: String, principal: Arc<Principal>, introduced: Introduced, streams: Streams) -> Self {
        let Introduced { version, features, envelope } = introduced;
        Self {
            id,
            principal,
            version,
            features,
            envelope,
            mailbox: Mailbox::of_session(streams.keep()),
            born: streams.now(),
            streams,
            used: AtomicI64::new(0),
            turn: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            asked: Mutex::default(),
            level: AtomicU8::new(LogLevel::UNSET),
            is_introduced: AtomicBool::new(false),
        }
    }

    /// Notes that it is used now; `turn` orders uses within one second.
    pub fn touch(&self, now: Timestamp, turn: u64) {
        self.used.store(now.unix(), Ordering::Relaxed);
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// Notes that something of it goes on, or has just ended: it is idle from now on at the earliest.
    pub fn keep(&self) {
        self.used.store(self.streams.now().unix(), Ordering::Relaxed);
    }

    /// When it was last used.
    #[must_use]
    pub fn used(&self) -> Timestamp {
        Timestamp::from_unix(self.used.load(Ordering::Relaxed))
    }

    /// The turn of its last use.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// When it began.
    #[must_use]
    pub const fn born(&self) -> Timestamp {
        self.born
    }

    /// Whether a stream is open or a request under way.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_busy() || self.mailbox.has_reader()
    }

    /// Whether a request is under way, also one whose client is away.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0 || self.streams.is_in_use()
    }

    /// Takes up the stream on which this event was sent; `None` when that cannot be.
    #[must_use]
    pub fn resume(&self, id: EventId) -> Option<Follower> {
        match id.stream {
            StreamId::Call(_) => self.streams.resume(id),
            StreamId::Listening(_) => self.mailbox.resume(id),
        }
    }

    /// Marks a stream as having a connection until the value is dropped.
    #[must_use]
    pub fn attach(self: &Arc<Self>) -> Attached {
        Attached(Arc::clone(self))
    }

    /// The event with which a connection begins: where the stream is, and when to come back to it. `None` for clients
    /// of before, which would take it for a broken message.
    #[must_use]
    pub fn priming(&self, follower: &Follower) -> Option<Bytes> {
        self.version.has_priming().then(|| event_stream::priming(&follower.position().to_string(), RETRY))
    }

    /// Marks a request as under way until the value is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Whether its client was told what there is.
    #[must_use]
    pub fn is_introduced(&self) -> bool {
        self.is_introduced.load(Ordering::Acquire)
    }

    /// Notes that its client is told now.
    pub fn introduce(&self) {
        self.is_introduced.store(true, Ordering::Release);
    }

    /// The least severe log message it wants; `None` when it never said.
    #[must_use]
    pub fn level(&self) -> Option<LogLevel> {
        LogLevel::from_rank(self.level.load(Ordering::Relaxed))
    }

    /// Sets the least severe log message it wants.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level.rank(), Ordering::Relaxed);
    }

    /// Notes that its client is asked under `id`.
    ///
    /// # Errors
    /// Gives it back when too many requests wait already.
    pub fn ask(&self, id: u64, asked: Asked) -> Result<(), Asked> {
        let mut all = self.lock();
        if all.len() >= MAX_ASKED {
            return Err(asked);
        }
        all.insert(id, asked);
        Ok(())
    }

    /// Takes the request that an answer belongs to; `None` when this session was not asked.
    #[must_use]
    pub fn take_asked(&self, id: u64) -> Option<Asked> {
        self.lock().remove(&id)
    }

    /// Takes all requests that wait.
    #[must_use]
    pub fn take_all_asked(&self) -> Vec<Asked> {
        self.lock().drain().map(|(_, asked)| asked).collect()
    }

    /// Where progress of what was asked under `id` goes: the upstream that asked, and the token that it gave, as written.
    #[must_use]
    pub fn wanted_progress(&self, id: u64) -> Option<(Weak<Link>, Bytes)> {
        match self.lock().get(&id)? {
            Asked::Request { link, progress_token, .. } => Some((Weak::clone(link), progress_token.clone()?)),
            Asked::Inquiry(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way keeps its session from being thought idle.
#[derive(Debug)]
pub struct UnderWay(Arc<Session>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.keep();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream with a connection. When that ends, what is kept for its return is brought within bounds.
#[derive(Debug)]
pub struct Attached(Arc<Session>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.keep();
        self.0.streams.tidy();
    }
}
