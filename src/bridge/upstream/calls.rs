//! The calls under way on one connection, and which of them something without a mark belongs to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::base::limit::Limit;
use crate::bridge::session::Session;
use crate::bridge::stateless::exchange::Exchange;
use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::wire::SendFault;
use crate::model::principal::Principal;

/// How many calls may wait for one upstream.
const MAX_PENDING: usize = 4096;
/// How many calls that were left are told apart, at one upstream.
const MAX_LEFT: usize = 4096;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::count("calls under way, at one upstream", MAX_PENDING, "503, Retry-After"),
    Limit::count(
        "cancelled calls an upstream may still work on, told apart",
        MAX_LEFT,
        "none of its questions can be attributed for the time of a call",
    ),
];

/// The calls of a connection, by the ids that they have on it.
#[derive(Debug, Default)]
pub struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    pending: HashMap<u64, Arc<Call>>,
    left: HashMap<u64, Left>,
    /// Until when what comes could be of calls that were left and are not known any more.
    unknown_until: u64,
}

/// A call that nobody waits for any more, while its server may still work on it: a server need not heed that a call is cancelled, and
/// what it asks or tells for it then is not to be taken for another's.
#[derive(Debug)]
struct Left {
    session: Option<Weak<Session>>,
    principal: Option<Arc<Principal>>,
    /// For how long it may give no sign of life, as when it was waited for; and when that ends.
    limit: Duration,
    until: u64,
}

impl Calls {
    /// Has a call wait under this id.
    ///
    /// # Errors
    /// The connection is lost, or too many wait.
    pub fn open(&self, id: u64, call: &Arc<Call>) -> Result<(), SendFault> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(SendFault::Lost);
        }
        if state.pending.len() >= MAX_PENDING {
            return Err(SendFault::Busy);
        }
        state.pending.insert(id, Arc::clone(call));
        Ok(())
    }

    /// Takes all that wait; no more may.
    #[must_use]
    pub fn close(&self) -> Vec<Arc<Call>> {
        let mut state = self.lock();
        state.is_closed = true;
        std::mem::take(&mut state.pending).into_values().collect()
    }

    /// The call with this id.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Call>> {
        self.lock().pending.get(&id).map(Arc::clone)
    }

    /// Takes the call that an answer belongs to.
    #[must_use]
    pub fn take(&self, id: u64) -> Option<Arc<Call>> {
        self.lock().pending.remove(&id)
    }

    /// The same, if it is one of those that are meant.
    #[must_use]
    pub fn take_if(&self, id: u64, is_meant: impl Fn(&Call) -> bool) -> Option<Arc<Call>> {
        match self.lock().pending.entry(id) {
            Entry::Occupied(call) if is_meant(call.get()) => Some(call.remove()),
            _ => None,
        }
    }

    /// Takes a call that nobody waits for any more. `now`, if its server may still work on it and what it says then is not told
    /// from what it says of others.
    #[must_use]
    pub fn leave(&self, id: u64, now: Option<u64>) -> Option<Arc<Call>> {
        let mut state = self.lock();
        let call = state.pending.remove(&id)?;
        state.note_left(id, &call, now);
        Some(call)
    }

    /// The same, with all those that are meant.
    #[must_use]
    pub fn leave_all(&self, now: Option<u64>, is_meant: impl Fn(&Call) -> bool) -> Vec<(u64, Arc<Call>)> {
        let mut state = self.lock();
        let all: Vec<_> = state.pending.extract_if(|_, call| is_meant(call)).collect();
        all.iter().for_each(|(id, call)| state.note_left(*id, call, now));
        all
    }

    /// Notes that the server is done with a call that was left.
    pub fn left_is_done(&self, id: u64) {
        self.lock().left.remove(&id);
    }

    /// Notes that the server still works on a call that was left.
    pub fn left_progressed(&self, id: u64, now: u64) {
        if let Some(left) = self.lock().left.get_mut(&id) {
            left.until = after(now, left.limit);
        }
    }

    /// Notes that this session has answered a question: its server goes on with what it asked for, and that may be any call that
    /// the session has left.
    pub fn left_was_answered(&self, session: &Session, now: u64) {
        for left in self.lock().left.values_mut().filter(|left| left.is_sessions(session)) {
            left.until = after(now, left.limit);
        }
    }

    /// Forgets the calls that were left and of which nothing came for as long as a call may take; but for those of these sessions,
    /// which still have something to answer. Gives the sessions whose answer can be for nothing but what they have left.
    #[must_use]
    pub fn forget_left(&self, now: u64, asked: &[Arc<Session>]) -> Vec<Arc<Session>> {
        let mut state = self.lock();
        let State { pending, left, .. } = &mut *state;
        let mut done_with = Vec::new();
        left.retain(|_, left| {
            if now < left.until {
                return true;
            }
            let Some(session) = asked.iter().find(|session| left.is_sessions(session)) else { return false };
            let is_own = |call: &Arc<Call>| call.owner.session().is_some_and(|owner| Arc::ptr_eq(owner, session));
            if !pending.values().any(is_own) {
                done_with.push(Arc::clone(session));
            }
            left.until = after(now, left.limit);
            true
        });
        done_with
    }

    /// Gives a call another id. `None` when it is over.
    #[must_use]
    pub fn renumber(&self, id: u64, other: u64) -> Option<Arc<Call>> {
        let mut state = self.lock();
        let call = state.pending.remove(&id)?;
        state.pending.insert(other, Arc::clone(&call));
        Some(call)
    }

    /// Whether no call waits, but for the bridge's own.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lock().pending.values().all(|call| call.is_bridges_own())
    }

    /// Whether one call of a caller, and no other, is under way.
    #[must_use]
    pub fn has_one(&self) -> bool {
        self.lock().callers().take(2).count() == 1
    }

    /// The call that something without a mark must belong to: the newest one, if all calls under way have one owner.
    #[must_use]
    pub fn of_sole_owner(&self, now: u64) -> Option<Arc<Call>> {
        let state = self.lock();
        let mut newest: Option<(&u64, &Arc<Call>)> = None;
        for (id, call) in state.pending.iter().filter(|(_, call)| !call.is_bridges_own()) {
            if newest.is_some_and(|(_, other)| !same_owner(call, other)) {
                return None;
            }
            let prefers = |(other_id, other): (&u64, &Arc<Call>)| {
                (call.accepts_stream(), id) > (other.accepts_stream(), other_id)
            };
            if newest.is_none_or(prefers) {
                newest = Some((id, call));
            }
        }
        newest.map(|(_, call)| call).filter(|call| state.has_left_none_but_of(call, now)).map(Arc::clone)
    }

    /// The call that a question without a mark must belong to, where calls are of the stateless era: the only one. Those that
    /// wait for the same person are not counted: a server that asks for more meanwhile asks nobody else, and its question is
    /// answered under its own id. Rejected: to count them, for then whoever leaves one question open is asked no other; and
    /// for the same reason those that the same person has left. Where nobody is known (`auth: none`) they count: the same
    /// caller may be another person.
    #[must_use]
    pub fn that_asks(&self, now: u64) -> Option<Arc<Call>> {
        let state = self.lock();
        let (parked, waiting): (Vec<_>, Vec<_>) = state.callers().partition(|call| is_parked(call));
        match (waiting.as_slice(), parked.as_slice()) {
            ([only], parked) if parked.iter().all(|other| is_known(only) && same_owner(only, other)) => Some(only),
            ([], [only]) => Some(only),
            _ => None,
        }
        .filter(|call| state.has_left_none_but_of(call, now))
        .map(|call| Arc::clone(call))
    }

    /// The calls that wait for what their clients were asked and keep a question from the one caller who waits for the
    /// upstream: it could be theirs.
    #[must_use]
    pub fn in_the_way(&self, now: u64) -> Vec<Arc<Exchange>> {
        let state = self.lock();
        let (parked, waiting): (Vec<_>, Vec<_>) = state.callers().partition(|call| is_parked(call));
        let is_one_callers = match waiting.as_slice() {
            [] => false,
            [only] => !matches!(only.owner, Owner::Nobody) && state.has_left_none_but_of(only, now),
            [first, rest @ ..] => {
                first.owner.session().is_some()
                    && rest.iter().all(|call| same_owner(first, call))
                    && state.has_left_none_but_of(first, now)
            }
        };
        let is_own = |call: &Call| waiting.iter().all(|other| is_known(other) && same_owner(other, call));
        let foreign = parked.into_iter().filter(|call| is_one_callers && !is_own(call));
        foreign
            .filter_map(
                |call| if let Owner::Stateless(exchange) = &call.owner { Some(Arc::clone(exchange)) } else { None },
            )
            .collect()
    }

    /// Whether what belongs to no call under way can be this session's, if it is the only one there is.
    #[must_use]
    pub fn leaves_to(&self, session: &Arc<Session>, now: u64) -> bool {
        let state = self.lock();
        let is_own = |left: &Left| left.is_of(Some(session), Some(&session.principal));
        state.callers().next().is_none() && state.knows(now) && state.left.values().all(is_own)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// All but the bridge's own.
    fn callers(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.pending.values().filter(|call| !call.is_bridges_own())
    }

    fn note_left(&mut self, id: u64, call: &Call, now: Option<u64>) {
        let Some(now) = now.filter(|_| !call.is_bridges_own()) else { return };
        if self.left.len() >= MAX_LEFT {
            let latest = self.left.drain().map(|(_, left)| left.until).max();
            self.unknown_until = self.unknown_until.max(latest.unwrap_or_default());
        }
        self.left.insert(id, Left::of(call, now));
    }

    /// Whether all calls are known that the server may work on.
    const fn knows(&self, now: u64) -> bool {
        now >= self.unknown_until
    }

    /// Whether all calls that were left are of the caller of this one.
    fn has_left_none_but_of(&self, call: &Call, now: u64) -> bool {
        let is_own = |left: &Left| left.is_of(call.owner.session(), call.principal.as_ref());
        self.knows(now) && self.left.values().all(is_own)
    }
}

impl Left {
    fn of(call: &Call, now: u64) -> Self {
        Self {
            session: call.owner.session().map(Arc::downgrade),
            principal: call.principal.clone(),
            limit: call.limit,
            until: after(now, call.limit),
        }
    }

    fn is_sessions(&self, session: &Session) -> bool {
        self.session.as_ref().is_some_and(|own| std::ptr::eq(own.as_ptr(), session))
    }

    /// Whether it was the same session's, or is known to have been the same caller's.
    fn is_of(&self, session: Option<&Arc<Session>>, principal: Option<&Arc<Principal>>) -> bool {
        let both = self.principal.as_ref().zip(principal);
        session.is_some_and(|session| self.is_sessions(session))
            || both.is_some_and(|(one, other)| is_somebody(one) && one.is_same_caller(other))
    }
}

fn after(now: u64, limit: Duration) -> u64 {
    now.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

fn same_owner(one: &Call, other: &Call) -> bool {
    match (&one.owner, &other.owner) {
        (Owner::Session(one), Owner::Session(other)) => Arc::ptr_eq(one, other),
        (Owner::Stateless(one), Owner::Stateless(other)) => one.principal.is_same_caller(&other.principal),
        (Owner::Direct(_), Owner::Direct(_)) => {
            one.principal.as_ref().zip(other.principal.as_ref()).is_some_and(|(one, other)| one.is_same_caller(other))
        }
        // Two callers without a session may be two people.
        _ => false,
    }
}

fn is_parked(call: &Call) -> bool {
    matches!(&call.owner, Owner::Stateless(exchange) if exchange.is_parked())
}

/// Whether it is known who is behind a call.
fn is_known(call: &Call) -> bool {
    call.principal.as_deref().is_some_and(is_somebody)
}

fn is_somebody(principal: &Principal) -> bool {
    principal.user.is_some() || principal.client_id.is_some()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bridge::mailbox::Mailbox;

    fn call_of(session: &Arc<Session>) -> Arc<Call> {
        let (mailbox, _reader) = Mailbox::of_call();
        Arc::new(Call::new(Bytes::new(), Owner::Session(Arc::clone(session)), mailbox, Duration::from_millis(300)))
    }

    /// One session has left call 1 at 0 ms, another has call 2.
    fn left() -> (Calls, Arc<Session>) {
        let (calls, one, other) = (Calls::default(), Session::of_nobody(), Session::of_nobody());
        calls.open(1, &call_of(&one)).unwrap();
        calls.open(2, &call_of(&other)).unwrap();
        assert!(calls.of_sole_owner(0).is_none());
        assert!(calls.leave(1, Some(0)).is_some());
        (calls, other)
    }

    #[test]
    fn a_call_that_was_left_counts_until_its_server_is_done_or_silent_for_the_time_of_a_call() {
        let (calls, _other) = left();
        assert!(calls.of_sole_owner(0).is_none());
        calls.left_is_done(1);
        assert!(calls.of_sole_owner(0).is_some());

        let (calls, other) = left();
        assert!(calls.forget_left(299, &[]).is_empty());
        calls.left_progressed(1, 200);
        assert!(calls.forget_left(499, &[]).is_empty());
        assert!(calls.of_sole_owner(499).is_none());
        drop(calls.take(2));
        assert!(!calls.leaves_to(&other, 499));
        assert!(calls.forget_left(500, &[]).is_empty());
        assert!(calls.leaves_to(&other, 500));
    }

    #[test]
    fn a_call_that_was_left_counts_while_its_session_has_something_to_answer_and_once_it_has() {
        let (calls, one, other) = (Calls::default(), Session::of_nobody(), Session::of_nobody());
        for id in [1, 2] {
            calls.open(id, &call_of(&one)).unwrap();
        }
        calls.open(3, &call_of(&other)).unwrap();
        assert!(calls.leave(1, Some(0)).is_some());
        let asked = [Arc::clone(&one)];
        assert!(calls.forget_left(300, &asked).is_empty(), "the question may be of its other call");
        drop(calls.take(2));
        assert!(calls.forget_left(599, &asked).is_empty());
        let ours = calls.forget_left(600, &asked);
        assert!(ours.len() == 1 && Arc::ptr_eq(&ours[0], &one), "nobody else can want the answer");
        assert!(calls.of_sole_owner(600).is_none());
        calls.left_was_answered(&one, 800);
        assert!(calls.forget_left(1099, &[]).is_empty());
        assert!(calls.of_sole_owner(1099).is_none());
        assert!(calls.forget_left(1100, &[]).is_empty());
        assert!(calls.of_sole_owner(1100).is_some());
    }

    #[test]
    fn a_call_that_its_own_session_left_counts_for_others_only() {
        let (calls, one, other) = (Calls::default(), Session::of_nobody(), Session::of_nobody());
        calls.open(1, &call_of(&one)).unwrap();
        assert_eq!(calls.leave_all(Some(0), |_| true).len(), 1);
        calls.open(2, &call_of(&one)).unwrap();
        assert!(calls.of_sole_owner(0).is_some());
        drop(calls.take(2));
        assert!(calls.leaves_to(&one, 0) && !calls.leaves_to(&other, 0));
        calls.open(3, &call_of(&other)).unwrap();
        assert!(calls.of_sole_owner(0).is_none());
    }

    #[test]
    fn more_calls_left_than_are_told_apart_are_in_everybodys_way() {
        let (calls, other) = left();
        for id in 0..=MAX_LEFT as u64 {
            calls.open(10 + id, &call_of(&other)).unwrap();
            assert!(calls.leave(10 + id, Some(100)).is_some());
        }
        // The first one, which is the one that matters, is not known any more.
        assert!(calls.forget_left(399, &[]).is_empty());
        assert!(calls.of_sole_owner(399).is_none());
        assert!(calls.of_sole_owner(400).is_some());
    }
}
