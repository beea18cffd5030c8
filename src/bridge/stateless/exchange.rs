//! One request of the stateless era, as the upstream side sees it: where its answer goes now.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;

use crate::bridge::mailbox::{Item, Mailbox};
use crate::bridge::stateless::finish::{self, Form};
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::link::Link;
use crate::model::principal::Principal;
use crate::protocol::mcp::envelope::Envelope;
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::message::{Kind, Message};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::reply;

/// A request that an upstream has, and the client's HTTP requests for it: one, or several one after another.
#[derive(Debug)]
pub struct Exchange {
    /// Whose it is.
    pub principal: Arc<Principal>,
    identity: Arc<str>,
    is_cacheable: bool,
    may_ask: bool,
    sent: OnceLock<Sent>,
    state: Mutex<State>,
}

/// The call that carries it.
#[derive(Debug)]
struct Sent {
    link: Weak<Link>,
    call: Weak<Call>,
    id: u64,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    rounds: u64,
    code: Option<i32>,
}

/// Who waits.
#[derive(Debug)]
enum Stage {
    /// A client.
    Attached(Round),
    /// Nobody any more.
    Over,
}

/// One HTTP request of the client.
#[derive(Debug)]
pub struct Round {
    /// Its JSON-RPC id, as written.
    pub id: Bytes,
    /// The token under which it wants progress, as written.
    pub progress_token: Option<Bytes>,
    /// Where its answer goes.
    pub mailbox: Arc<Mailbox>,
    /// Whether it takes more than the answer.
    pub accepts_stream: bool,
    /// What it says of its client.
    pub envelope: Envelope,
}

impl Exchange {
    /// An exchange in its first round, and what must be kept while the client waits.
    #[must_use]
    pub fn begin(
        principal: &Arc<Principal>,
        identity: Arc<str>,
        request: &Message,
        round: Round,
    ) -> (Arc<Self>, Attendance) {
        let method = match request.kind() {
            Kind::Request { method, .. } => method,
            _ => &Method::Ping,
        };
        let exchange = Arc::new(Self {
            principal: Arc::clone(principal),
            identity,
            is_cacheable: finish::is_cacheable(method),
            may_ask: finish::may_ask(method),
            sent: OnceLock::new(),
            state: Mutex::new(State { stage: Stage::Attached(round), rounds: 1, code: None }),
        });
        let attendance = Attendance { exchange: Arc::clone(&exchange), round: 1 };
        (exchange, attendance)
    }

    /// Notes the call that carries it; before anything can come back for it.
    pub fn sent(&self, link: &Arc<Link>, id: u64, call: &Arc<Call>) {
        // Set once: it is sent once.
        let _second = self.sent.set(Sent { link: Arc::downgrade(link), call: Arc::downgrade(call), id });
    }

    /// The token under which the client wants progress now.
    #[must_use]
    pub fn progress_token(&self) -> Option<Bytes> {
        self.attached(|round| round.progress_token.clone()).flatten()
    }

    /// Whether a client waits that takes more than the answer.
    #[must_use]
    pub fn accepts_stream(&self) -> bool {
        self.attached(|round| round.accepts_stream).unwrap_or_default()
    }

    /// Where the client's messages wait.
    #[must_use]
    pub fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.attached(|round| Arc::clone(&round.mailbox))
    }

    /// Whether the client wants log messages of this level.
    #[must_use]
    pub fn wants_log(&self, level: Option<LogLevel>) -> bool {
        // MCP 2026-07-28, Per-request log level: none for a request that asks for none.
        let wanted = self.attached(|round| round.envelope.log_level).flatten();
        wanted.is_some_and(|wanted| level.is_none_or(|level| level >= wanted))
    }

    /// Sends the client something that belongs to the request.
    ///
    /// # Errors
    /// Gives it back when the client does not take it.
    pub fn deliver(&self, item: Item) -> Result<(), Item> {
        // MCP 2026-07-28, Receiving Messages: never a request.
        match (self.mailbox().filter(|_| self.accepts_stream()), &item) {
            (Some(mailbox), Item::Notification(_)) => mailbox.push(item),
            _ => Err(item),
        }
    }

    /// Takes the upstream's answer.
    pub fn answered(&self, message: &Message) {
        self.conclude(|form| finish::finish(message, form));
    }

    /// Ends it with an error of the bridge's own.
    pub fn failed(&self, text: &str) {
        // MCP 2026-07-28, Error Codes: -32000 to -32019 should not be used any more.
        self.conclude(|form| (reply::error(form.id, reply::INTERNAL_ERROR, text), Some(reply::INTERNAL_ERROR)));
    }

    fn conclude(&self, finish: impl FnOnce(&Form<'_>) -> (Bytes, Option<i32>)) {
        let mut state = self.lock();
        let Stage::Attached(round) = std::mem::replace(&mut state.stage, Stage::Over) else { return };
        let form = Form {
            id: &round.id,
            identity: &self.identity,
            is_cacheable: self.is_cacheable,
            takes_url: self.may_ask && round.envelope.features.elicitation_url,
            missing: None,
        };
        let (body, code) = finish(&form);
        state.code = code;
        drop(state);
        round.mailbox.finish(body);
    }

    /// The client of a round has left.
    fn leave(&self, round: u64) {
        {
            let mut state = self.lock();
            if state.rounds != round || !matches!(state.stage, Stage::Attached(_)) {
                return;
            }
            state.stage = Stage::Over;
        }
        // MCP 2026-07-28, Cancellation: closing the response cancels the request.
        if let Some(sent) = self.sent.get()
            && let Some(link) = sent.link.upgrade()
        {
            link.abandon(sent.id, "The client went away");
        }
    }

    fn attached<T>(&self, read: impl FnOnce(&Round) -> T) -> Option<T> {
        match &self.lock().stage {
            Stage::Attached(round) => Some(read(round)),
            Stage::Over => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client waits for the answer of an exchange; when this is dropped before it came, the client has left.
#[derive(Debug)]
pub struct Attendance {
    exchange: Arc<Exchange>,
    round: u64,
}

impl Attendance {
    /// The error code of the answer, once it came and if it is an error.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.exchange.lock().code
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.exchange.leave(self.round);
    }
}
