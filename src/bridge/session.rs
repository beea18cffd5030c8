//! One session of one client. [MCP 2025-11-25, Session Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management)

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::base::clock::Timestamp;
use crate::bridge::mailbox::Mailbox;
use crate::bridge::upstream::link::Link;
use crate::model::principal::Principal;
use crate::protocol::mcp::client_features::ClientFeatures;
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::version::ProtocolVersion;

/// How many requests of upstreams may wait for the client of one session.
const MAX_ASKED: usize = 100;

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
    /// What waits for its GET stream.
    pub mailbox: Arc<Mailbox>,
    used: AtomicI64,
    turn: AtomicU64,
    under_way: AtomicUsize,
    asked: Mutex<HashMap<u64, Asked>>,
    level: AtomicU8,
}

/// A request of an upstream that waits for this session's client.
#[derive(Debug)]
pub struct Asked {
    /// Where the answer goes.
    pub link: Weak<Link>,
    /// The upstream's id of it, as written.
    pub id: Bytes,
    /// The token under which the upstream wants progress, as written.
    pub progress_token: Option<Bytes>,
}

impl Session {
    /// A new session.
    #[must_use]
    pub fn new(id: String, principal: Arc<Principal>, version: ProtocolVersion, features: ClientFeatures) -> Self {
        Self {
            id,
            principal,
            version,
            features,
            mailbox: Mailbox::of_session(),
            used: AtomicI64::new(0),
            turn: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            asked: Mutex::default(),
            level: AtomicU8::new(LogLevel::UNSET),
        }
    }

    /// Notes that it is used now; `turn` orders uses within one second.
    pub fn touch(&self, now: Timestamp, turn: u64) {
        self.used.store(now.unix(), Ordering::Relaxed);
        self.turn.store(turn, Ordering::Relaxed);
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

    /// Whether a stream is open or a request under way.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0 || self.mailbox.has_reader()
    }

    /// Marks a request as under way until the value is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
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

    /// Where progress under this token goes: the upstream that gave the token to this session.
    #[must_use]
    pub fn asked_with_token(&self, token: &[u8]) -> Option<Weak<Link>> {
        let all = self.lock();
        all.values().find(|asked| asked.progress_token.as_deref() == Some(token)).map(|asked| Weak::clone(&asked.link))
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
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
