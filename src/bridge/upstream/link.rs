//! One connection to an upstream: our ids on it, how calls on it begin and end, and whether it still stands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::bridge::hub::Hub;
use crate::bridge::mailbox::{Event, Item, Mailbox};
use crate::bridge::session::Session;
use crate::bridge::stateless::exchange::Exchange;
use crate::bridge::tenant::Tenant;
use crate::bridge::upstream::call::{Call, Owner, Work};
use crate::bridge::upstream::calls::Calls;
use crate::bridge::upstream::elicited::Elicited;
use crate::bridge::upstream::hello::{Hello, Speaks};
use crate::bridge::upstream::pass;
use crate::bridge::upstream::stateless::dress;
use crate::bridge::upstream::stateless::listening::Listening;
use crate::bridge::upstream::wire::{SendFault, Slot, Wire};
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::message::{Kind, Message, Param};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{Edit, Span};

const UNANSWERED: &str = "It was not answered in time";
const TOO_MUCH_UNREAD: &str = "Too many large answers wait to be read: read those, then send the request again";

/// A connection. All sessions of its tenant share it; a new one is made when it is lost.
#[derive(Debug)]
pub struct Link {
    /// The upstream's name, for the log.
    pub name: Arc<str>,
    /// The upstream's place in the list.
    pub index: usize,
    /// Whom the connection serves; set before it is used.
    pub tenant: OnceLock<Tenant>,
    /// What everything shares.
    pub hub: Arc<Hub>,
    /// How the upstream introduced itself; set before the connection is used.
    pub hello: OnceLock<Hello>,
    /// Which lists the upstream said have changed.
    pub changes: Changes,
    /// Who was sent to a web page for the upstream.
    pub elicited: Elicited,
    /// What an upstream without sessions tells by itself.
    pub listening: Listening,
    /// The rank of the level that the upstream's log messages were last set to.
    pub log_level: AtomicU8,
    /// The calls under way.
    pub calls: Calls,
    wire: Wire,
    asking: Mutex<HashMap<Bytes, Whom>>,
    next: AtomicU64,
    dropped: AtomicU64,
    garbage: AtomicU64,
    nobodys: AtomicU64,
    lost: watch::Sender<Option<String>>,
    born: Instant,
}

/// Who is asked on behalf of an upstream.
#[derive(Clone, Debug)]
pub enum Whom {
    /// A session's client, under an id of ours.
    Session(Weak<Session>, u64),
    /// The client of a request of the stateless era.
    Exchange(Weak<Exchange>),
}

/// Lists that changed and were not read again yet.
#[derive(Debug, Default)]
pub struct Changes {
    lists: AtomicU8,
    notify: Notify,
}

impl Changes {
    /// Bit of `tools`.
    pub const TOOLS: u8 = 1;
    /// Bit of `prompts`.
    pub const PROMPTS: u8 = 2;
    /// Bit of `resources`, their templates included.
    pub const RESOURCES: u8 = 4;

    /// Notes a change.
    pub fn add(&self, lists: u8) {
        self.lists.fetch_or(lists, Ordering::AcqRel);
        self.notify.notify_one();
    }

    /// Waits for changes and takes them.
    pub async fn take(&self) -> u8 {
        loop {
            let lists = self.lists.swap(0, Ordering::AcqRel);
            if lists != 0 {
                return lists;
            }
            self.notify.notified().await;
        }
    }
}

/// Why a question of our own was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskFault {
    /// It could not be sent.
    #[error("{0}")]
    Send(#[from] SendFault),
    /// It took too long.
    #[error("it did not answer {0} in time")]
    TimedOut(&'static str),
    /// The connection was lost, or the answer is none.
    #[error("it went away before it answered {0}")]
    Lost(&'static str),
    /// It answered with this error, as JSON-RPC has it.
    #[error("it answered {0} with the error {reason:?}", reason = reason(.1))]
    Refused(&'static str, Bytes),
}

impl Link {
    /// A new connection over `wire`.
    #[must_use]
    pub fn new(name: &str, index: usize, hub: Arc<Hub>, wire: Wire) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            index,
            tenant: OnceLock::new(),
            hub,
            hello: OnceLock::new(),
            changes: Changes::default(),
            elicited: Elicited::default(),
            listening: Listening::default(),
            log_level: AtomicU8::new(LogLevel::UNSET),
            calls: Calls::default(),
            wire,
            asking: Mutex::default(),
            next: AtomicU64::new(1),
            dropped: AtomicU64::new(0),
            garbage: AtomicU64::new(0),
            nobodys: AtomicU64::new(0),
            lost: watch::Sender::new(None),
            born: Instant::now(),
        })
    }

    /// Which era is spoken on it: sessions, until it is known.
    #[must_use]
    pub fn speaks(&self) -> Speaks {
        self.hello.get().map_or(Speaks::Sessions, Hello::speaks)
    }

    /// Sends a request under an id of ours, which it gives. Its answer goes to the call's mailbox.
    ///
    /// # Errors
    /// The upstream takes nothing at the moment, or is gone; then nothing was sent.
    pub async fn request(
        self: &Arc<Self>,
        call: Call,
        message: &Message,
        edits: &[Edit<'_>],
    ) -> Result<u64, SendFault> {
        let slot = self.wire.slot().await?;
        let (id, work) = self.send(slot, call, message, edits)?;
        work.into_iter().for_each(Work::leave);
        Ok(id)
    }

    /// The same where there is room: nothing waits, so a caller that goes away leaves either all of it or nothing. Gives also the
    /// work that is left to the caller.
    ///
    /// # Errors
    /// As for [`Self::request`].
    pub fn send(
        self: &Arc<Self>,
        slot: Slot<'_>,
        mut call: Call,
        message: &Message,
        edits: &[Edit<'_>],
    ) -> Result<(u64, Option<Work>), SendFault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let number = id.to_string();
        let mut edits = with_room(edits);
        if let Kind::Request { id, params, .. } = message.kind() {
            edits.push(Edit { at: *id, with: number.as_bytes() });
            // The same number is the progress token: as unique on this connection as the id.
            edits.extend(params.wanted_progress().map(|at| Edit { at, with: number.as_bytes() }));
        }
        let text = match self.speaks() {
            Speaks::Sessions => message.rewritten(&mut edits),
            Speaks::Stateless => dress::dress(&mut call, message, edits, matches!(self.wire, Wire::Http(_))),
        };
        if let Owner::Stateless(exchange) = &call.owner {
            exchange.sent(id);
        }
        let call = Arc::new(call);
        call.start(self.now());
        self.calls.open(id, &call)?;
        Ok((id, slot.request(self, id, &call, text)))
    }

    /// Sends the text of a call that is under way once more, under the id that it has now.
    ///
    /// # Errors
    /// The upstream takes nothing at the moment, or is gone.
    pub async fn send_again(self: &Arc<Self>, id: u64, call: &Arc<Call>, text: Bytes) -> Result<(), SendFault> {
        let slot = self.wire.slot().await?;
        // It may have been cancelled while there was no room.
        if self.calls.find(id).is_some() {
            call.progressed(self.now());
            slot.request(self, id, call, text).into_iter().for_each(Work::leave);
        }
        Ok(())
    }

    /// Gives a call another id, under which nothing was sent yet. `None` when it is over.
    #[must_use]
    pub fn renumber(&self, id: u64) -> Option<(u64, Arc<Call>)> {
        let other = self.next.fetch_add(1, Ordering::Relaxed);
        self.calls.renumber(id, other).map(|call| (other, call))
    }

    /// Asks the upstream something on the bridge's own behalf. Gives the answer, which has a result.
    ///
    /// # Errors
    /// Not sent, not answered, or answered with an error.
    pub async fn ask(
        self: &Arc<Self>,
        method: &'static str,
        params: &str,
        limit: Duration,
    ) -> Result<Message, AskFault> {
        let text = Bytes::from(reply::request(0, method, params));
        let question = Message::parse(text).map_err(|_| AskFault::Lost(method))?;
        let (mailbox, mut reader) = Mailbox::of_call();
        let id = self.request(Call::of_bridge(mailbox, limit), &question, &[]).await?;
        let _forgotten = Forgotten { link: self, id };
        let last = tokio::time::timeout(limit, reader.next()).await.map_err(|_| AskFault::TimedOut(method))?;
        let Some(Event::Last(answer)) = last else { return Err(AskFault::Lost(method)) };
        let answer = Message::parse(answer).map_err(|_| AskFault::Lost(method))?;
        match answer.kind() {
            Kind::Answer { result: Some(_), .. } => Ok(answer),
            _ => Err(AskFault::Refused(method, answer.rewritten(&mut []))),
        }
    }

    /// Sends a notification or an answer, waiting a little for room.
    ///
    /// # Errors
    /// The upstream takes nothing at the moment, or is gone.
    pub async fn tell(self: &Arc<Self>, text: Bytes) -> Result<(), SendFault> {
        self.wire.slot().await?.tell(self, text);
        Ok(())
    }

    /// Sends a notification or an answer if there is room; else it is lost, and counted.
    pub fn tell_now(self: &Arc<Self>, text: Bytes) {
        match self.wire.slot_now() {
            Ok(slot) => slot.tell(self, text),
            Err(_) => self.count_dropped(),
        }
    }

    /// Cancels the session's calls under this id of its client. `message` is its `notifications/cancelled`.
    pub fn cancel(self: &Arc<Self>, session: &Session, client_id: &[u8], message: &Message) {
        for (id, call) in self.leave_all(|call| is_of(call, session) && call.id == client_id) {
            let is_told = self.is_told_of_cancelling(&call);
            call.abort();
            call.fail(reply::CANCELLED, "The request was cancelled");
            let number = id.to_string();
            let at = match message.kind() {
                Kind::Notification { params, .. } => params.get(Param::RequestId),
                _ => None,
            };
            if let Some(at) = at.filter(|_| is_told) {
                self.tell_now(message.rewritten(&mut [Edit { at, with: number.as_bytes() }]));
            }
        }
    }

    /// Cancels all calls of a session that ended.
    pub fn cancel_all(self: &Arc<Self>, session: &Session) {
        // What it was asked is refused with it, which its server may go on with, too.
        self.calls.left_was_answered(session, self.now());
        for (id, call) in self.leave_all(|call| is_of(call, session)) {
            self.give_up(id, &call, reply::CANCELLED, "The session ended");
        }
    }

    /// Takes a call that has failed on the way: its server may still work on it.
    #[must_use]
    pub fn leave(&self, id: u64) -> Option<Arc<Call>> {
        self.calls.leave(id, self.if_left_goes_on())
    }

    /// Cancels one call that nobody waits for any more.
    pub fn abandon(self: &Arc<Self>, id: u64, reason: &str) {
        if let Some(call) = self.leave(id) {
            self.give_up(id, &call, reply::CANCELLED, reason);
        }
    }

    /// Ends the calls whose time is up.
    pub fn sweep(self: &Arc<Self>) {
        let now = self.now();
        for session in self.calls.forget_left(now, &self.asked_sessions()) {
            self.withdraw(&session);
        }
        for (id, call) in self.leave_all(|call| call.is_over(now)) {
            let text = match call.onward.is_asking() {
                true => "The client did not answer the MCP server's questions in time",
                false => "The MCP server did not answer in time",
            };
            tracing::warn!(upstream = %self.name, reason = text, "a call was not answered in time");
            self.give_up(id, &call, reply::TIMED_OUT, text);
        }
    }

    /// The session that something outside of any call belongs to: its tenant's, if there is one alone and no call under way.
    #[must_use]
    pub fn sole_session(&self) -> Option<Arc<Session>> {
        let only = self.tenant.get().and_then(|tenant| self.hub.sessions.only_one_of(tenant));
        only.filter(|session| self.calls.leaves_to(session, self.now()))
    }

    /// Notes who is asked on behalf of the upstream's request `id`.
    ///
    /// False when such a request is under way already.
    #[must_use]
    pub fn begin_asking(&self, id: Bytes, whom: Whom) -> bool {
        let mut asking = self.asking();
        if asking.contains_key(&id) {
            return false;
        }
        asking.insert(id, whom);
        true
    }

    /// The sessions that have yet to answer the upstream.
    fn asked_sessions(&self) -> Vec<Arc<Session>> {
        let session = |whom: &Whom| if let Whom::Session(session, _) = whom { session.upgrade() } else { None };
        self.asking().values().filter_map(session).collect()
    }

    /// Takes back what a session was asked.
    fn withdraw(self: &Arc<Self>, session: &Arc<Session>) {
        let is_own =
            |whom: &Whom| matches!(whom, Whom::Session(own, _) if std::ptr::eq(own.as_ptr(), Arc::as_ptr(session)));
        let withdrawn: Vec<_> = self.asking().extract_if(|_, whom| is_own(whom)).collect();
        for (id, whom) in withdrawn {
            let Whom::Session(_, ours) = whom else { continue };
            drop(session.take_asked(ours));
            let params = format!(r#"{{"requestId":{ours},"reason":{UNANSWERED:?}}}"#);
            let text = reply::notification("notifications/cancelled", Some(&params));
            // A client that cannot be told will find its answer unwanted.
            let _full = session.mailbox.push(Item::Notification(text));
            self.tell_now(reply::error(&id, reply::UNAVAILABLE, UNANSWERED));
        }
    }

    /// Takes whom the upstream's request `id` was put to.
    #[must_use]
    pub fn end_asking(&self, id: &[u8]) -> Option<Whom> {
        self.asking().remove(id)
    }

    /// Counts a message that belongs to nobody.
    pub fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and logs something that is no message.
    pub fn count_garbage(&self, begin: &[u8], fault: &str) {
        self.count_dropped();
        let count = self.garbage.fetch_add(1, Ordering::Relaxed) + 1;
        // The first, then each time there are twice as many: a chatty server does not fill the log.
        if count.is_power_of_two() {
            let begin = String::from_utf8_lossy(begin.get(..80).unwrap_or(begin));
            tracing::warn!(upstream = %self.name, count, fault, begin = ?begin, "an upstream sends what is no message");
        }
    }

    /// Counts and logs a question of the upstream's of which it is not known whose it is.
    pub fn count_nobodys(&self, method: &Method) {
        let count = self.nobodys.fetch_add(1, Ordering::Relaxed) + 1;
        // As above.
        if count.is_power_of_two() {
            let method = method.as_str();
            tracing::warn!(upstream = %self.name, count, method, "a request of an upstream could belong to several sessions, or to none");
        }
    }

    /// How many messages belonged to nobody.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Milliseconds since the connection was made.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends the connection: no more calls, an error for those that wait. The first reason stands.
    pub fn lose(&self, reason: &str) {
        let pending = self.calls.close();
        self.lost.send_if_modified(|lost| match lost {
            Some(_) => false,
            None => {
                *lost = Some(reason.to_owned());
                true
            }
        });
        for call in pending {
            call.abort();
            call.fail(reply::UNAVAILABLE, "The MCP server went away before it answered");
        }
        for (_, whom) in self.asking().drain() {
            // Nobody waits for the client's answer any more. An exchange has failed with its call.
            if let Whom::Session(session, ours) = whom {
                drop(session.upgrade().and_then(|session| session.take_asked(ours)));
            }
        }
    }

    /// Waits until the connection is lost; gives the reason.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        let reason = lost.wait_for(Option::is_some).await.map(|reason| reason.clone());
        reason.ok().flatten().unwrap_or_default()
    }

    /// Hands over the answer that came for a call; `id` is where its id stands.
    pub fn answer(&self, call: &Call, message: &Message, id: Span) {
        if self.has_room(call, message) {
            call.answer(message, id);
        }
    }

    /// Whether the answer that came for a call can wait to be read, as far as that is to be counted; else the call has failed.
    #[must_use]
    pub fn has_room(&self, call: &Call, message: &Message) -> bool {
        let size = message.whole().len();
        let Some(principal) = call.principal.as_ref().filter(|_| size > pass::HELD) else { return true };
        let unread = self.hub.unread.add(principal, size);
        let has_room = unread.is_some();
        match unread {
            Some(unread) => call.count(unread),
            None => {
                tracing::warn!(upstream = %self.name, size, "an answer was dropped: too much waits to be read");
                call.fail(reply::UNAVAILABLE, TOO_MUCH_UNREAD);
            }
        }
        has_room
    }

    /// Whether the connection is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// The way to the upstream.
    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    fn give_up(self: &Arc<Self>, id: u64, call: &Call, code: i32, text: &str) {
        let is_told = self.is_told_of_cancelling(call);
        call.abort();
        call.fail(code, text);
        if !is_told {
            return;
        }
        let reason = serde_json::Value::from(text);
        let params = format!(r#"{{"requestId":{id},"reason":{reason}}}"#);
        self.tell_now(reply::notification("notifications/cancelled", Some(&params)));
    }

    /// Whether the upstream is told by a message that a call is cancelled.
    fn is_told_of_cancelling(&self, call: &Call) -> bool {
        match (self.speaks(), &self.wire) {
            (Speaks::Sessions, _) => true,
            // MCP 2026-07-28, Streamable HTTP, Cancellation: that the connection is closed says it.
            (Speaks::Stateless, Wire::Http(_)) => false,
            // While its client is asked, the upstream has nothing of it.
            (Speaks::Stateless, _) => !call.onward.is_asking(),
        }
    }

    fn leave_all(&self, is_meant: impl Fn(&Call) -> bool) -> Vec<(u64, Arc<Call>)> {
        self.calls.leave_all(self.if_left_goes_on(), is_meant)
    }

    /// The time, if something may still come for a call that is cancelled.
    fn if_left_goes_on(&self) -> Option<u64> {
        // MCP 2026-07-28, Cancellation: the server sends nothing further for it. Earlier versions leave it more freedom.
        (self.speaks() == Speaks::Sessions).then(|| self.now())
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Bytes, Whom>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The edits, with room for those that every request gets.
fn with_room<'a>(edits: &[Edit<'a>]) -> Vec<Edit<'a>> {
    let mut all = Vec::with_capacity(edits.len() + 2);
    all.extend_from_slice(edits);
    all
}

fn reason(answer: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let message = answer.get("error").and_then(|error| error.get("message"));
    message.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn is_of(call: &Call, session: &Session) -> bool {
    call.owner.session().is_some_and(|owner| owner.id == session.id)
}

/// A question of the bridge: once it is dropped nobody waits for its answer, and what comes is nobody's.
pub struct Forgotten<'a> {
    /// Where it was asked.
    pub link: &'a Arc<Link>,
    /// The id it was asked under.
    pub id: u64,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.link.calls.take(self.id) {
            call.abort();
        }
    }
}
