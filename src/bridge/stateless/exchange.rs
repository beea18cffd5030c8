//! One request of the stateless era, as the upstream side sees it: where its answer goes now.
//!
//! Attached → the upstream asks something → parked → the client comes back with the answer → attached → … → over.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use serde_json::Value;

use crate::bridge::mailbox::{Item, Mailbox};
use crate::bridge::stateless::finish::{self, Form};
use crate::bridge::stateless::question::Question;
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::link::Link;
use crate::model::principal::Principal;
use crate::protocol::mcp::client_features::ClientFeatures;
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
    /// The request as it first came, if it may be answered by asking for more.
    pub request: Option<Message>,
    identity: Arc<str>,
    is_cacheable: bool,
    sent: OnceLock<Sent>,
    state: Mutex<State>,
}

/// The call that carries it.
#[derive(Debug)]
pub struct Sent {
    link: Weak<Link>,
    call: Weak<Call>,
    id: u64,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    rounds: u64,
    code: Option<i32>,
    features: ClientFeatures,
    questions: Vec<Question>,
    is_gathering: bool,
    missing: Option<Value>,
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
        let state = State {
            rounds: 1,
            code: None,
            features: round.envelope.features,
            questions: Vec::new(),
            is_gathering: false,
            missing: None,
            stage: Stage::Attached(round),
        };
        let exchange = Arc::new(Self {
            principal: Arc::clone(principal),
            request: finish::may_ask(method).then(|| request.clone()),
            identity,
            is_cacheable: finish::is_cacheable(method),
            sent: OnceLock::new(),
            state: Mutex::new(state),
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
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Attached(round) => {
                let (body, code) = finish::finish(message, &self.form(&round, state.missing.as_ref()));
                self.conclude(state, &round, body, code);
            }
            Stage::Parked => state.stage = Stage::Settled(Outcome::Answer(Box::new(message.clone()))),
            other => state.stage = other,
        }
    }

    /// Ends it with an error of the bridge's own.
    pub fn failed(&self, text: &str) {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Attached(round) => {
                let (body, code) = failure(&round, text);
                self.conclude(state, &round, body, code);
            }
            Stage::Parked => state.stage = Stage::Settled(Outcome::Failure(text.to_owned())),
            other => state.stage = other,
        }
    }

    /// What the client of the latest round can do.
    #[must_use]
    pub fn features(&self) -> ClientFeatures {
        self.lock().features
    }

    /// Notes that the upstream wanted to use a capability that the client did not declare.
    pub fn note_missing(&self, capability: &Value) {
        let mut state = self.lock();
        match (state.missing.as_mut().and_then(Value::as_object_mut), capability.as_object()) {
            (Some(all), Some(more)) => all.extend(more.clone()),
            _ => state.missing = Some(capability.clone()),
        }
    }

    /// Notes a question. True when the client waits and nobody is about to put the question to it.
    #[must_use]
    pub fn note_question(&self, mut question: Question) -> bool {
        let mut state = self.lock();
        while state.questions.iter().any(|other| other.key == question.key) {
            question.key.push('\'');
        }
        state.questions.push(question);
        let is_first = !state.is_gathering && matches!(state.stage, Stage::Attached(_));
        state.is_gathering |= is_first;
        is_first
    }

    /// Forgets a question that the upstream took back.
    pub fn withdraw(&self, id: &[u8]) {
        self.lock().questions.retain(|question| question.id != id);
    }

    /// Puts the open questions to the client that waits, as the answer to its request.
    ///
    /// `park` makes the state for the client to come back with.
    pub fn park(&self, park: impl FnOnce() -> String) {
        let mut state = self.lock();
        state.is_gathering = false;
        if state.questions.is_empty() {
            return;
        }
        match std::mem::replace(&mut state.stage, Stage::Parked) {
            Stage::Attached(round) => {
                if let Some(call) = self.sent.get().and_then(|sent| sent.call.upgrade()) {
                    call.suspend();
                }
                let asked: Vec<String> = state.questions.iter().map(Question::member).collect();
                let handle = park();
                drop(state);
                round.mailbox.finish(finish::input_required(&round.id, &self.identity, &asked, Some(&handle)));
            }
            other => state.stage = other,
        }
    }

    /// Goes on with another request of the client: the answer, if there is one already, or what the upstream is to be told.
    ///
    /// `answers` gives the client's answer to a question, by its key.
    ///
    /// # Errors
    /// Gives the answer to send, if there is one already.
    pub fn resume<'a>(
        self: &Arc<Self>,
        round: Round,
        answers: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Resumed, Bytes> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Settled(Outcome::Answer(message)) => {
                Err(finish::finish(&message, &self.form(&round, state.missing.as_ref())).0)
            }
            Stage::Settled(Outcome::Failure(text)) => Err(failure(&round, &text).0),
            Stage::Attached(_) | Stage::Over => Err(failure(&round, "The request is over").0),
            Stage::Parked => {
                state.rounds += 1;
                state.features = round.envelope.features;
                state.stage = Stage::Attached(round);
                let attendance = Attendance { exchange: Arc::clone(self), round: state.rounds };
                let (answered, open) = std::mem::take(&mut state.questions)
                    .into_iter()
                    .partition(|question| answers(&question.key).is_some());
                state.questions = open;
                let told = |question: Question| {
                    answers(&question.key).map(|result| (question.id.clone(), question.answer(result)))
                };
                Ok(Resumed { answers: Vec::into_iter(answered).filter_map(told).collect(), attendance })
            }
        }
    }

    /// The connection that carries it, and the call with its id.
    #[must_use]
    pub fn carrier(&self) -> Option<(Arc<Link>, Arc<Call>, u64)> {
        let sent = self.sent.get()?;
        Some((sent.link.upgrade()?, sent.call.upgrade()?, sent.id))
    }

    /// Whether something is to be asked that was not answered.
    #[must_use]
    pub fn has_questions(&self) -> bool {
        !self.lock().questions.is_empty()
    }

    /// Gives it up: whoever waits is told, the upstream too.
    pub fn release(&self, reason: &str) {
        let (stage, questions) = {
            let mut state = self.lock();
            (std::mem::replace(&mut state.stage, Stage::Over), std::mem::take(&mut state.questions))
        };
        if let Stage::Attached(round) = stage {
            round.mailbox.finish(failure(&round, reason).0);
        }
        let Some(sent) = self.sent.get() else { return };
        let Some(link) = sent.link.upgrade() else { return };
        for question in questions {
            drop(link.end_asking(&question.id));
            link.tell_now(reply::error(&question.id, reply::UNAVAILABLE, reason));
        }
        link.abandon(sent.id, reason);
    }

    fn conclude(&self, mut state: MutexGuard<'_, State>, round: &Round, body: Bytes, code: Option<i32>) {
        state.code = code;
        let questions = std::mem::take(&mut state.questions);
        drop(state);
        if let Some(link) = self.sent.get().filter(|_| !questions.is_empty()).and_then(|sent| sent.link.upgrade()) {
            questions.iter().for_each(|question| drop(link.end_asking(&question.id)));
        }
        round.mailbox.finish(body);
    }

    fn form<'a>(&'a self, round: &'a Round, missing: Option<&'a Value>) -> Form<'a> {
        Form {
            id: &round.id,
            identity: &self.identity,
            is_cacheable: self.is_cacheable,
            takes_url: self.request.is_some() && round.envelope.features.elicitation_url,
            missing,
        }
    }

    /// The client of a round has left.
    fn leave(&self, round: u64) {
        {
            let state = self.lock();
            if state.rounds != round || !matches!(state.stage, Stage::Attached(_)) {
                return;
            }
        }
        // MCP 2026-07-28, Cancellation: closing the response cancels the request.
        self.release("The client went away");
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

fn failure(round: &Round, text: &str) -> (Bytes, Option<i32>) {
    // MCP 2026-07-28, Error Codes: -32000 to -32019 should not be used any more.
    (reply::error(&round.id, reply::INTERNAL_ERROR, text), Some(reply::INTERNAL_ERROR))
}

/// An exchange whose client came back.
#[derive(Debug)]
pub struct Resumed {
    /// Questions that were answered: the upstream's id, and what it is to be told.
    pub answers: Vec<(Bytes, Bytes)>,
    /// The client waits again.
    pub attendance: Attendance,
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
