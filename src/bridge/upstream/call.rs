//! One request on its way to an upstream, and what comes back for it.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::base::limit::Limit;
use crate::bridge::load::{Place, Waiting as Unread};
use crate::bridge::mailbox::{Item, Mailbox};
use crate::bridge::session::Session;
use crate::bridge::stateless::direct::Direct;
use crate::bridge::stateless::exchange::Exchange;
use crate::bridge::upstream::stateless::onward::Onward;
use crate::model::principal::Principal;
use crate::protocol::mcp::message::Message;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{Edit, Span};

/// No call lasts longer than this, however often its progress is reported.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("one call, however often progress is reported", LONGEST, "it is cancelled; a JSON-RPC error")];

/// A request under way.
#[derive(Debug)]
pub struct Call {
    /// The id the caller gave it, as written; where there is an exchange it is there, as is its progress token.
    pub id: Bytes,
    /// The progress token the caller gave it, as written.
    pub progress_token: Option<Bytes>,
    /// Whose it is.
    pub owner: Owner,
    /// Who is behind it; `None` for the bridge itself.
    pub principal: Option<Arc<Principal>>,
    /// Where its answer goes.
    pub mailbox: Arc<Mailbox>,
    /// Whether its caller can take more than the answer.
    pub accepts_stream: bool,
    /// Whether its caller can take the answer in pieces.
    pub takes_pieces: bool,
    /// How long it may go without an answer or progress.
    pub limit: Duration,
    /// Its place among those under way; `None` for one of the bridge itself.
    pub place: Option<Place>,
    /// What only an upstream without sessions needs.
    pub onward: Onward,
    clock: CallClock,
    carrier: Mutex<Carrier>,
}

/// What has to be done for a call: it is sent, and what comes for it is brought back.
pub struct Work {
    call: Arc<Call>,
    rest: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Who does the work of a call.
#[derive(Debug, Default)]
enum Carrier {
    /// Nobody has to be told when the call ends early: its upstream has one way for all, or its caller does it.
    #[default]
    Unbound,
    /// A task.
    Task(AbortHandle),
    /// Nobody any more.
    Ended,
}

/// Milliseconds of the connection's life.
#[derive(Debug, Default)]
struct CallClock {
    deadline: AtomicU64,
    end: AtomicU64,
    is_suspended: AtomicBool,
}

/// Whose call it is.
#[derive(Clone, Debug)]
pub enum Owner {
    /// The bridge's own.
    Bridge,
    /// A caller without a session.
    Nobody,
    /// A session's.
    Session(Arc<Session>),
    /// A caller's of the stateless era, at a server of the session era: the exchange knows where things go, in place of the call's own
    /// members.
    Stateless(Arc<Exchange>),
    /// A caller's of the stateless era, at a server of the same era.
    Direct(Direct),
}

impl Owner {
    /// Whether the caller is one of the stateless era.
    #[must_use]
    pub const fn is_stateless(&self) -> bool {
        matches!(self, Self::Stateless(_) | Self::Direct(_))
    }

    /// The session, if it is one's.
    #[must_use]
    pub const fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Session(session) => Some(session),
            Self::Bridge | Self::Nobody | Self::Stateless(_) | Self::Direct(_) => None,
        }
    }
}

impl Call {
    /// A call of the bridge itself.
    #[must_use]
    pub fn of_bridge(mailbox: Arc<Mailbox>, limit: Duration) -> Self {
        Self::new(Bytes::from_static(b"0"), Owner::Bridge, mailbox, limit)
    }

    /// A call that can take nothing but its answer.
    #[must_use]
    pub fn new(id: Bytes, owner: Owner, mailbox: Arc<Mailbox>, limit: Duration) -> Self {
        Self {
            id,
            progress_token: None,
            owner,
            principal: None,
            mailbox,
            accepts_stream: false,
            takes_pieces: false,
            limit,
            place: None,
            onward: Onward::default(),
            clock: CallClock::default(),
            carrier: Mutex::default(),
        }
    }

    /// Whether nobody is behind it but the bridge.
    #[must_use]
    pub const fn is_bridges_own(&self) -> bool {
        matches!(self.owner, Owner::Bridge)
    }

    /// Starts the clock.
    pub fn start(&self, now: u64) {
        self.clock.end.store(now.saturating_add(millis(LONGEST.max(self.limit))), Ordering::Relaxed);
        self.progressed(now);
    }

    /// Starts the time limit anew.
    pub fn progressed(&self, now: u64) {
        self.wait_at_most(now, self.limit);
    }

    /// Starts the time limit anew, with another length this once.
    pub fn wait_at_most(&self, now: u64, limit: Duration) {
        let deadline = now.saturating_add(millis(limit)).min(self.clock.end.load(Ordering::Relaxed));
        self.clock.deadline.store(deadline, Ordering::Relaxed);
    }

    /// Whether its time is up.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        let is_suspended = self.clock.is_suspended.load(Ordering::Relaxed);
        let limit = if is_suspended { &self.clock.end } else { &self.clock.deadline };
        now >= limit.load(Ordering::Relaxed)
    }

    /// Stops the clock: it is the caller that is waited for.
    pub fn suspend(&self) {
        self.clock.is_suspended.store(true, Ordering::Relaxed);
    }

    /// Starts it anew.
    pub fn resume(&self, now: u64) {
        self.progressed(now);
        self.clock.is_suspended.store(false, Ordering::Relaxed);
    }

    /// Has its work done: by a task, on the runtime of whoever asks, where its connection is, too, so that no other thread is woken.
    /// A call of the stateless era ends with whoever waits for it, so its work is left to that one, and most calls need no task.
    ///
    /// `None` when nothing is left to the caller: a task has it, or the call is over.
    #[must_use = "nobody else does this work"]
    pub fn carry<W: Future<Output = ()> + Send + 'static>(self: &Arc<Self>, work: impl FnOnce() -> W) -> Option<Work> {
        let mut carrier = self.carrier();
        if matches!(*carrier, Carrier::Ended) {
            return None;
        }
        if self.owner.is_stateless() {
            return Some(Work { call: Arc::clone(self), rest: Box::pin(work()) });
        }
        *carrier = Carrier::Task(tokio::spawn(work()).abort_handle());
        None
    }

    /// Ends its work.
    pub fn abort(&self) {
        // Dropped once nothing is locked: the work may be the last that has the call.
        let before = std::mem::replace(&mut *self.carrier(), Carrier::Ended);
        if let Carrier::Task(task) = &before {
            task.abort();
        }
    }

    /// Hands over the answer that came for it; `id` is where its id stands.
    pub fn answer(&self, message: &Message, id: Span) {
        match &self.owner {
            Owner::Stateless(exchange) => exchange.answered(message),
            Owner::Direct(direct) => direct.answer(self, message),
            _ => self.mailbox.finish(message.rewritten(&mut [Edit { at: id, with: &self.id }])),
        }
    }

    /// Notes that its answer, which comes next, is counted among those that wait to be read.
    pub fn count(&self, unread: Unread) {
        match &self.owner {
            // What is kept for a client that is to come back has a bound of its own.
            Owner::Stateless(exchange) => {
                if let Some(mailbox) = exchange.mailbox() {
                    mailbox.count(unread);
                }
            }
            _ => self.mailbox.count(unread),
        }
    }

    /// Answers it with an error of our own.
    pub fn fail(&self, code: i32, text: &str) {
        if let Some(inquiry) = self.onward.take() {
            inquiry.withdraw();
        }
        match &self.owner {
            Owner::Stateless(exchange) => exchange.failed(text),
            // MCP 2026-07-28, Error Codes: -32000 to -32019 should not be used any more.
            Owner::Direct(_) => self.mailbox.finish(reply::error(&self.id, reply::INTERNAL_ERROR, text)),
            _ => self.mailbox.finish(reply::error(&self.id, code, text)),
        }
    }

    /// The token under which its caller wants progress.
    #[must_use]
    pub fn progress_token(&self) -> Option<Bytes> {
        match &self.owner {
            Owner::Stateless(exchange) => exchange.progress_token(),
            _ => self.progress_token.clone(),
        }
    }

    /// Whether its caller can take more than the answer.
    #[must_use]
    pub fn accepts_stream(&self) -> bool {
        match &self.owner {
            Owner::Stateless(exchange) => exchange.accepts_stream(),
            _ => self.accepts_stream,
        }
    }

    /// Waits until its caller can take something without losing anything.
    pub async fn wait_for_room(&self) {
        match &self.owner {
            Owner::Stateless(exchange) => {
                if let Some(mailbox) = exchange.mailbox().filter(|_| exchange.accepts_stream()) {
                    mailbox.wait_for_room().await;
                }
            }
            _ if self.accepts_stream => self.mailbox.wait_for_room().await,
            _ => {}
        }
    }

    /// Sends its caller something that bears its mark: on its own stream alone, if its caller takes one.
    ///
    /// # Errors
    /// Gives it back when that cannot take it.
    pub fn deliver_marked(&self, item: Item) -> Result<(), Item> {
        match &self.owner {
            // MCP 2025-11-25, Listening for Messages: what comes on the stream of a GET SHOULD be unrelated to any request.
            Owner::Session(_) if self.accepts_stream => self.mailbox.push(item),
            _ => self.deliver(item),
        }
    }

    /// Sends its caller something that belongs to it: on its own stream if that can take it, else on the session's.
    ///
    /// # Errors
    /// Gives it back when neither can.
    pub fn deliver(&self, item: Item) -> Result<(), Item> {
        if let Owner::Stateless(exchange) = &self.owner {
            return exchange.deliver(item);
        }
        // A question is put where somebody hears it: a stream that broke may be taken up late, or never.
        let is_heard = !matches!(item, Item::Request(_))
            || self.mailbox.has_reader()
            || !self.owner.session().is_some_and(|session| session.mailbox.has_reader());
        let item = match self.accepts_stream && is_heard {
            true => match self.mailbox.push(item) {
                Ok(()) => return Ok(()),
                Err(item) => item,
            },
            false => item,
        };
        match self.owner.session() {
            Some(session) => session.mailbox.push(item),
            None => Err(item),
        }
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Does what can be done now; true when that was all.
    pub fn poll(&mut self, context: &mut Context<'_>) -> bool {
        self.rest.as_mut().poll(context).is_ready()
    }

    /// Has the rest of it done by a task, unless the call has ended.
    pub fn leave(self) {
        let mut carrier = self.call.carrier();
        if !matches!(*carrier, Carrier::Ended) {
            *carrier = Carrier::Task(tokio::spawn(self.rest).abort_handle());
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::bridge::stateless::exchange::Round;
    use crate::protocol::mcp::completion::Identity;
    use crate::protocol::mcp::envelope::Envelope;

    #[test]
    fn d_37_progress_of_a_call_whose_client_left_early_comes_on_no_other_stream() {
        let session = Session::of_nobody();
        let (mailbox, reader) = Mailbox::of_call();
        drop(reader);
        let mut call = Call::new(Bytes::new(), Owner::Session(Arc::clone(&session)), mailbox, LONGEST);
        call.accepts_stream = true;
        let mut listening = session.mailbox.open().unwrap();
        let mut heard = || futures_util::future::poll_fn(|context| listening.poll_next(context)).now_or_never();
        call.deliver_marked(Item::Notification(Bytes::from_static(b"progress"))).unwrap_err();
        assert_eq!(heard(), None);
        call.deliver(Item::Request(Bytes::from_static(b"question"))).unwrap();
        assert!(heard().unwrap().unwrap().ends_with(b"data: question\n\n"), "somebody waits for its answer");
    }

    /// A call of the stateless era, for which nobody waits.
    fn attended() -> Arc<Call> {
        let request = Message::parse(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#)).unwrap();
        let (mailbox, _reader) = Mailbox::of_call();
        let round = Round {
            id: Bytes::from_static(b"1"),
            progress_token: None,
            mailbox: Arc::clone(&mailbox),
            accepts_stream: true,
            envelope: Envelope::default(),
        };
        let (principal, identity) = (Arc::new(Principal::anonymous()), Identity::new("{}"));
        let (exchange, _attendance) = Exchange::begin(&principal, (identity, Weak::new()), &request, round);
        Arc::new(Call::new(Bytes::new(), Owner::Stateless(exchange), mailbox, LONGEST))
    }

    #[tokio::test]
    async fn the_work_of_a_call_that_ends_with_its_caller_is_left_to_the_caller() {
        let (call, (begun, mut ended)) = (attended(), tokio::sync::mpsc::channel::<()>(1));
        let mut work = call.carry(|| async move { begun.closed().await }).unwrap();
        tokio::task::yield_now().await;
        assert!(!std::future::poll_fn(|context| std::task::Poll::Ready(work.poll(context))).await);
        // From here a task does it.
        work.leave();
        assert!(ended.recv().now_or_never().is_none());
        call.abort();
        assert_eq!(ended.recv().await, None, "the task is over");
    }

    #[tokio::test]
    async fn what_is_left_to_do_for_a_call_that_was_ended_is_not_done() {
        let (call, (begun, mut ended)) = (attended(), tokio::sync::mpsc::channel::<()>(1));
        let work = call.carry(|| async move { begun.closed().await }).unwrap();
        call.abort();
        assert!(call.carry(|| async { panic!("it is over") }).is_none());
        work.leave();
        assert_eq!(ended.recv().now_or_never(), Some(None), "dropped at once");
    }

    #[test]
    fn a_question_for_a_stream_that_broke_is_put_where_its_client_listens() {
        let session = Session::of_nobody();
        let (mailbox, reader) = Mailbox::of_call();
        drop(session.streams.follow(reader, None, Bytes::new()).unwrap());
        let mut call = Call::new(Bytes::new(), Owner::Session(Arc::clone(&session)), mailbox, LONGEST);
        call.accepts_stream = true;
        let (question, note) = (Bytes::from_static(b"question"), Bytes::from_static(b"note"));
        call.deliver(Item::Request(question.clone())).unwrap();
        let mut listening = session.mailbox.open().unwrap();
        let mut heard = || futures_util::future::poll_fn(|context| listening.poll_next(context)).now_or_never();
        assert_eq!(heard(), None, "nobody listened: it waits with its call");
        call.deliver(Item::Request(question.clone())).unwrap();
        call.deliver(Item::Notification(note)).unwrap();
        assert!(heard().unwrap().unwrap().ends_with(b"data: question\n\n"));
        assert_eq!(heard(), None, "the rest waits with its call");
    }
}
