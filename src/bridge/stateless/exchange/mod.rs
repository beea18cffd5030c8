//! One request of the stateless era to a server of the session era, as the upstream side sees it: where its answer goes now.
//!
//! Attached → the upstream asks something → parked → the client comes back with the answer → attached → … → over.

mod asking;
mod leaving;

pub use asking::{Noted, Resumed};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::bridge::mailbox::{Item, MAX_BYTES, Mailbox};
use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::finish::{self, Form};
use crate::bridge::stateless::question::Question;
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stateless::dress;
use crate::model::principal::Principal;
use crate::protocol::mcp::client_features::{ClientFeatures, Need};
use crate::protocol::mcp::completion::Identity;
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
    /// The request as it first came, if it may be answered by asking for more: as text, for it is seldom looked at again.
    request: Option<Bytes>,
    identity: Identity,
    is_cacheable: bool,
    link: Weak<Link>,
    /// Of the call that carries it, on that connection; 0 until there is one.
    id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    rounds: u64,
    features: ClientFeatures,
    questions: Vec<Question>,
    is_gathering: bool,
    is_passing: bool,
    // Boxed: it is seldom there.
    missing: Option<Box<Value>>,
}

/// Who waits.
#[derive(Debug)]
enum Stage {
    /// A client.
    Attached(Round),
    /// The upstream, for what the client was asked.
    Parked,
    /// An outcome, for the client to come back.
    Settled(Outcome),
    /// Nobody any more.
    Over,
}

/// What became of a call.
#[derive(Debug)]
enum Outcome {
    Answer(Box<Message>),
    Failure(String),
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

/// An answer that comes in pieces.
#[derive(Debug)]
pub struct Passing {
    /// The id it gets, as written.
    pub id: Bytes,
    /// Where it goes.
    pub mailbox: Arc<Mailbox>,
    /// What the server is, and whether the result is one that says how long it may be kept.
    pub completed: (Identity, bool),
}

impl Exchange {
    /// An exchange in its first round, over this connection, and what must be kept while the client waits. The identity is the
    /// bridge's.
    #[must_use]
    pub fn begin(
        principal: &Arc<Principal>,
        (identity, link): (Identity, Weak<Link>),
        request: &Message,
        round: Round,
    ) -> (Arc<Self>, Attendance) {
        let method = match request.kind() {
            Kind::Request { method, .. } => method,
            _ => &Method::Ping,
        };
        let state = State {
            rounds: 1,
            features: round.envelope.features,
            questions: Vec::new(),
            is_gathering: false,
            is_passing: false,
            missing: None,
            stage: Stage::Attached(round),
        };
        let exchange = Arc::new(Self {
            principal: Arc::clone(principal),
            request: dress::may_ask(method).then(|| request.whole().clone()),
            identity,
            is_cacheable: finish::is_cacheable(method),
            link,
            id: AtomicU64::new(0),
            state: Mutex::new(state),
        });
        let attendance = Attendance::of_exchange(Arc::clone(&exchange), 1);
        (exchange, attendance)
    }

    /// Whether it may be answered by asking for more.
    #[must_use]
    pub const fn may_ask(&self) -> bool {
        self.request.is_some()
    }

    /// The request as it first came, if it may be answered by asking for more.
    #[must_use]
    pub fn request(&self) -> Option<Message> {
        self.request.as_ref().and_then(|text| Message::parse(text.clone()).ok())
    }

    /// Notes the id of the call that carries it; before anything can come back for it.
    pub fn sent(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
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

    /// Whether its client was asked something, and has not come back.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.lock().stage, Stage::Parked)
    }

    /// Where the client's messages wait.
    #[must_use]
    pub fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.attached(|round| Arc::clone(&round.mailbox))
    }

    /// Whether the client wants log messages of this level.
    #[must_use]
    pub fn wants_log(&self, level: Option<LogLevel>) -> bool {
        let wanted = self.attached(|round| round.envelope.log_level).flatten();
        LogLevel::is_wanted(level, wanted)
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
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Attached(round) => {
                let (body, code) = finish::finish(message, &self.form(&round, state.missing.as_deref()));
                self.conclude(state, &round, body, code);
            }
            Stage::Parked => {
                let outcome = match message.whole().len() <= MAX_BYTES {
                    true => Outcome::Answer(Box::new(message.clone())),
                    false => Outcome::Failure("The answer was too large to be kept until it was fetched".to_owned()),
                };
                self.settle(state, outcome);
            }
            other => state.stage = other,
        }
    }

    /// Where an answer goes that comes in pieces, and what is added to it. `None` when it has to be held: nobody waits, or
    /// something else may be said in its place.
    #[must_use]
    pub fn passing(&self) -> Option<Passing> {
        let state = self.lock();
        match &state.stage {
            Stage::Attached(round) if state.missing.is_none() && state.questions.is_empty() => Some(Passing {
                id: round.id.clone(),
                mailbox: Arc::clone(&round.mailbox),
                completed: (self.identity.clone(), self.is_cacheable),
            }),
            _ => None,
        }
    }

    /// Notes that an answer passes from now on. What the upstream still asks for the call comes too late.
    pub fn passes(&self) {
        let mut state = self.lock();
        state.is_passing = true;
        let questions = std::mem::take(&mut state.questions);
        drop(state);
        self.take_back(&questions);
    }

    /// Notes that all of an answer has passed: that its client leaves now cancels nothing.
    pub fn passed(&self) {
        self.lock().stage = Stage::Over;
    }

    /// Ends it with an error of the bridge's own.
    pub fn failed(&self, text: &str) {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Attached(round) => {
                let (body, code) = failure(&round, text);
                self.conclude(state, &round, body, code);
            }
            Stage::Parked => self.settle(state, Outcome::Failure(text.to_owned())),
            other => state.stage = other,
        }
    }

    /// The connection that carries it, while there is one.
    #[must_use]
    pub fn link(&self) -> Option<Arc<Link>> {
        self.link.upgrade()
    }

    /// The call that carries it, while that is under way.
    #[must_use]
    pub fn call(&self) -> Option<Arc<Call>> {
        self.link()?.calls.find(self.id.load(Ordering::Relaxed))
    }

    fn conclude(&self, mut state: MutexGuard<'_, State>, round: &Round, body: Bytes, code: Option<i32>) {
        let questions = std::mem::take(&mut state.questions);
        drop(state);
        self.take_back(&questions);
        round.mailbox.finish_with(body, code);
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, outcome: Outcome) {
        state.stage = Stage::Settled(outcome);
        let questions = std::mem::take(&mut state.questions);
        drop(state);
        self.take_back(&questions);
    }

    /// Answers what is still asked of a call that is over: nobody will be asked it any more.
    fn take_back(&self, questions: &[Question]) {
        if questions.is_empty() {
            return;
        }
        let link = self.link();
        for (link, question) in link.iter().flat_map(|link| questions.iter().map(move |question| (link, question))) {
            if link.end_asking(&question.id).is_some() {
                link.tell_now(reply::error(
                    &question.id,
                    reply::UNAVAILABLE,
                    "The call is over that this was asked for",
                ));
            }
        }
    }

    fn form<'a>(&'a self, round: &'a Round, missing: Option<&'a Value>) -> Form<'a> {
        Form {
            id: &round.id,
            identity: &self.identity,
            is_own: false,
            is_cacheable: self.is_cacheable,
            takes_url: self.may_ask() && round.envelope.features.elicitation_url,
            missing,
        }
    }

    fn attached<T>(&self, read: impl FnOnce(&Round) -> T) -> Option<T> {
        match &self.lock().stage {
            Stage::Attached(round) => Some(read(round)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_missing(&mut self, need: Need) {
        let missing = self.missing.get_or_insert_with(|| Box::new(Value::Object(Map::new())));
        merge(missing, need.json());
    }
}

/// Adds one object to another, members that are objects in both included.
fn merge(all: &mut Value, more: Value) {
    match (all.as_object_mut(), more) {
        (Some(all), Value::Object(more)) => {
            more.into_iter().for_each(|(name, value)| merge(all.entry(name).or_insert_with(|| json!({})), value));
        }
        (_, more) => *all = more,
    }
}

fn failure(round: &Round, text: &str) -> (Bytes, Option<i32>) {
    // MCP 2026-07-28, Error Codes: -32000 to -32019 should not be used any more.
    (reply::error(&round.id, reply::INTERNAL_ERROR, text), Some(reply::INTERNAL_ERROR))
}
