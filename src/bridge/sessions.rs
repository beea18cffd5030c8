//! All sessions: found by id, bound to their caller, bounded in number and age.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{ClientId, UserId};
use crate::base::limit::Limit;
use crate::base::random;
use crate::bridge::session::{Introduced, Session};
use crate::bridge::streams::Streams;
use crate::bridge::tenant::Tenant;
use crate::config::section::Session as Settings;
use crate::model::principal::Principal;
use crate::protocol::mcp::header;
use crate::protocol::mcp::log_level::LogLevel;

/// After this time a client has to initialize anew, at the next moment when no request of its is under way.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("life of a session, however busy", LONGEST, "404 after its last call; the client initializes anew")];

/// Every session there is.
#[derive(Debug)]
pub struct Sessions {
    settings: ArcSwap<Settings>,
    clock: Clock,
    turns: AtomicU64,
    all: RwLock<All>,
}

#[derive(Debug, Default)]
struct All {
    by_id: HashMap<String, Arc<Session>>,
    by_caller: HashMap<Caller, Vec<Arc<Session>>>,
}

type Caller = (Option<UserId>, Option<ClientId>);

/// How often idle sessions are looked for.
#[must_use]
pub fn sweep_interval(settings: &Settings) -> Duration {
    (settings.timeout / 4).clamp(Duration::from_secs(1), Duration::from_secs(60))
}

fn caller(principal: &Principal) -> Caller {
    (principal.user.clone(), principal.client_id.clone())
}

impl All {
    fn insert(&mut self, session: &Arc<Session>) {
        self.by_id.insert(session.id.clone(), Arc::clone(session));
        self.by_caller.entry(caller(&session.principal)).or_default().push(Arc::clone(session));
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Session>> {
        let session = self.by_id.remove(id)?;
        let key = caller(&session.principal);
        if let Some(own) = self.by_caller.get_mut(&key) {
            own.retain(|other| other.id != id);
            if own.is_empty() {
                self.by_caller.remove(&key);
            }
        }
        Some(session)
    }
}

impl Sessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self { settings: ArcSwap::from_pointee(settings), clock, turns: AtomicU64::new(0), all: RwLock::default() }
    }

    /// Other bounds, for the sessions there are too. Those that are too many now stay until they end.
    pub fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Makes a session. Gives also those that made room for it, which are to be closed.
    ///
    /// `None` when every session that could make room is in use.
    #[must_use]
    pub fn create(
        &self,
        principal: &Arc<Principal>,
        introduced: Introduced,
    ) -> Option<(Arc<Session>, Vec<Arc<Session>>)> {
        // MCP 2025-11-25, Session Management: globally unique and cryptographically secure; 192 random bits.
        let id = URL_SAFE_NO_PAD.encode(random::bytes::<24>());
        let settings = **self.settings.load();
        let streams = Streams::new(settings.replay_events, self.clock.clone());
        let session = Arc::new(Session::new(id, Arc::clone(principal), introduced, streams));
        self.touch(&session);
        let mut all = self.write();
        let mut closed = Vec::new();
        let own = all.by_caller.get(&caller(principal)).map_or(&[][..], Vec::as_slice);
        if settings.max_per_principal > 0 && own.len() >= settings.max_per_principal {
            // One's own sessions make room even when in use: an unused one first.
            let oldest =
                own.iter().min_by_key(|session| (session.is_active(), session.turn())).map(|old| old.id.clone());
            closed.extend(oldest.and_then(|id| all.remove(&id)));
        }
        if settings.max_sessions > 0 && all.by_id.len() >= settings.max_sessions {
            // A stranger's session makes room only when it is not in use.
            let idle = all.by_id.values().filter(|session| !session.is_active());
            let oldest = idle.min_by_key(|session| session.turn()).map(|old| old.id.clone());
            closed.push(oldest.and_then(|id| all.remove(&id))?);
        }
        all.insert(&session);
        Some((session, closed))
    }

    /// The caller's session of this id, marked as used now.
    ///
    /// `None` also when it is another caller's: whether it exists is not told.
    #[must_use]
    pub fn find(&self, id: &str, principal: &Principal) -> Option<Arc<Session>> {
        if !header::is_session_id(id) {
            return None;
        }
        let session = self.read().by_id.get(id).map(Arc::clone)?;
        // MCP 2025-11-25, Session Hijacking: the session is bound to who made it.
        if !session.principal.is_same_caller(principal) || self.is_over(&session, self.clock.now()) {
            return None;
        }
        self.touch(&session);
        Some(session)
    }

    /// Ends the caller's session of this id.
    #[must_use]
    pub fn remove(&self, id: &str, principal: &Principal) -> Option<Arc<Session>> {
        self.find(id, principal)?;
        self.write().remove(id)
    }

    /// Takes out the sessions that were idle for too long.
    #[must_use]
    pub fn take_idle(&self) -> Vec<Arc<Session>> {
        let now = self.clock.now();
        let mut over = Vec::new();
        for session in self.read().by_id.values() {
            if self.is_over(session, now) {
                over.push(session.id.clone());
            } else if session.is_active() {
                // What nobody attends to (a call whose client is away) does not say when it ends.
                session.keep();
            }
        }
        if over.is_empty() {
            return Vec::new();
        }
        let mut all = self.write();
        over.iter().filter_map(|id| all.remove(id)).collect()
    }

    /// Takes out all sessions.
    #[must_use]
    pub fn take_all(&self) -> Vec<Arc<Session>> {
        let mut all = self.write();
        all.by_caller.clear();
        all.by_id.drain().map(|(_, session)| session).collect()
    }

    /// All sessions.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Session>> {
        self.read().by_id.values().map(Arc::clone).collect()
    }

    /// Whether there is a session of this id, whoever's it is.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.read().by_id.contains_key(id)
    }

    /// The only session of a tenant; `None` when there are several, or none.
    #[must_use]
    pub fn only_one_of(&self, tenant: &Tenant) -> Option<Arc<Session>> {
        // Sessions of everybody are of several people even while there is but one.
        if *tenant == Tenant::Everybody {
            return None;
        }
        let all = self.read();
        let mut own = all.by_id.values().filter(|session| tenant.has_session(session));
        own.next().filter(|_| own.next().is_none()).map(Arc::clone)
    }

    /// The least severe log message that any session of a tenant asked for; `None` when none did.
    #[must_use]
    pub fn lowest_level(&self, tenant: &Tenant) -> Option<LogLevel> {
        let all = self.read();
        all.by_id.values().filter(|session| tenant.has_session(session)).filter_map(|session| session.level()).min()
    }

    fn touch(&self, session: &Session) {
        session.touch(self.clock.now(), self.turns.fetch_add(1, Ordering::Relaxed));
    }

    fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        let (idle, age) = (now.since(session.used()), now.since(session.born()));
        // An open stream alone does not make a session everlasting; a call under way is not cut short.
        idle >= self.settings.load().timeout && !session.is_active() || age >= LONGEST && !session.is_busy()
    }

    fn read(&self) -> RwLockReadGuard<'_, All> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, All> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::protocol::mcp::version::ProtocolVersion;

    fn sessions(max_sessions: usize, max_per_principal: usize) -> (Sessions, Clock) {
        let clock = Clock::fixed(Timestamp::from_unix(1_000));
        let settings = Settings {
            timeout: Duration::from_secs(60),
            max_sessions,
            max_per_principal,
            max_streams_per_user: 0,
            replay_events: 10,
        };
        (Sessions::new(settings, clock.clone()), clock)
    }

    fn person(name: &str) -> Arc<Principal> {
        Arc::new(Principal { user: Some(UserId::new(name)), ..Principal::anonymous() })
    }

    fn create(sessions: &Sessions, principal: &Arc<Principal>) -> Option<(Arc<Session>, Vec<Arc<Session>>)> {
        sessions.create(principal, Introduced::read(ProtocolVersion::LATEST, None, None))
    }

    #[test]
    fn mcp_11_ids_are_long_visible_and_never_come_twice() {
        let (sessions, _) = sessions(0, 0);
        let ids: HashSet<String> = (0..10_000).map(|_| create(&sessions, &person("a")).unwrap().0.id.clone()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 32 && header::is_session_id(id)));
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let (sessions, _) = sessions(0, 2);
        let (a, other) = (person("a"), person("b"));
        let (first, _) = create(&sessions, &a).unwrap();
        let (second, _) = create(&sessions, &a).unwrap();
        create(&sessions, &other).unwrap();
        assert!(sessions.find(&first.id, &a).is_some(), "used again");
        let (_, closed) = create(&sessions, &a).unwrap();
        assert_eq!(closed.iter().map(|session| &session.id).collect::<Vec<_>>(), [&second.id]);
        assert!(sessions.find(&second.id, &a).is_none());
        assert_eq!(sessions.list().len(), 3);
    }

    #[test]
    fn a_session_in_use_makes_no_room_for_a_stranger() {
        let (sessions, _) = sessions(1, 0);
        let (first, _) = create(&sessions, &person("a")).unwrap();
        let reader = first.mailbox.reader();
        assert!(create(&sessions, &person("b")).is_none());
        drop(reader);
        assert_eq!(create(&sessions, &person("b")).unwrap().1.len(), 1);
    }

    #[test]
    fn an_idle_session_ends_but_not_one_with_a_stream() {
        let (sessions, clock) = sessions(0, 0);
        let a = person("a");
        let (idle, _) = create(&sessions, &a).unwrap();
        let (open, _) = create(&sessions, &a).unwrap();
        let _reader = open.mailbox.reader().unwrap();
        clock.advance(Duration::from_secs(60));
        assert!(sessions.find(&idle.id, &a).is_none(), "even before the sweep");
        assert_eq!(sessions.take_idle().len(), 1);
        assert!(sessions.find(&open.id, &a).is_some());
    }

    #[test]
    fn a_session_is_idle_from_the_end_of_its_last_call_or_stream_on() {
        let (sessions, clock) = sessions(0, 0);
        let (session, _) = create(&sessions, &person("a")).unwrap();
        let (long, a_second) = (Duration::from_secs(600), Duration::from_secs(1));
        let call = session.begin();
        clock.advance(long);
        drop(call);
        assert!(sessions.take_idle().is_empty(), "the call has just ended");
        let (stream, reader) = (session.attach(), session.mailbox.reader());
        clock.advance(long);
        drop((reader, stream));
        assert!(sessions.take_idle().is_empty(), "the stream has just ended");
        let unattended = session.mailbox.reader();
        clock.advance(long);
        assert!(sessions.take_idle().is_empty());
        drop(unattended);
        clock.advance(Duration::from_secs(59));
        assert!(sessions.take_idle().is_empty(), "it was seen to go on");
        clock.advance(a_second);
        assert_eq!(sessions.take_idle().len(), 1);
    }

    #[test]
    fn a_session_with_a_stream_ends_after_a_day_but_not_in_the_middle_of_a_call() {
        let (sessions, clock) = sessions(0, 0);
        let a = person("a");
        let (session, _) = create(&sessions, &a).unwrap();
        let _reader = session.mailbox.reader().unwrap();
        let call = session.begin();
        clock.advance(LONGEST - Duration::from_secs(1));
        assert!(sessions.find(&session.id, &a).is_some());
        clock.advance(Duration::from_secs(1));
        assert!(sessions.find(&session.id, &a).is_some(), "a call is under way");
        drop(call);
        assert!(sessions.find(&session.id, &a).is_none());
        assert_eq!(sessions.take_idle().len(), 1);
    }

    #[test]
    fn mcp_12_another_callers_session_does_not_exist() {
        let (sessions, _) = sessions(0, 0);
        let a = person("a");
        let (session, _) = create(&sessions, &a).unwrap();
        let other_client = Principal { client_id: Some(ClientId::new("other")), ..(*a).clone() };
        for stranger in [&*person("b"), &other_client, &Principal::anonymous()] {
            assert!(sessions.find(&session.id, stranger).is_none());
            assert!(sessions.remove(&session.id, stranger).is_none());
        }
        assert!(sessions.find(&session.id, &a).is_some());
    }
}
