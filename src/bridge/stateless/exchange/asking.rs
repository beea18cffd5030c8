//! What the upstream asks in the middle of a request, and the client's coming back with the answers.

use std::sync::Arc;

use bytes::Bytes;

use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::exchange::{Exchange, Outcome, Round, Stage, failure};
use crate::bridge::stateless::finish;
use crate::bridge::stateless::question::Question;
use crate::protocol::mcp::client_features::{ClientFeatures, Need};

/// An exchange whose client came back.
#[derive(Debug)]
pub struct Resumed {
    /// Questions that were answered, or cannot be any more: the upstream's id, and what it is to be told.
    pub answers: Vec<(Bytes, Bytes)>,
    /// The client waits again.
    pub attendance: Attendance,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The client waits, and nobody is about to put the question to it.
    First,
    /// Somebody is, or the client has to come back first.
    Further,
    /// The call is answered, or its answer is on its way: it can become no question any more.
    TooLate,
}

impl Exchange {
    /// What the client of the latest round can do.
    #[must_use]
    pub fn features(&self) -> ClientFeatures {
        self.lock().features
    }

    /// Notes that the upstream wanted to use a capability that the client did not declare.
    pub fn note_missing(&self, need: Need) {
        self.lock().note_missing(need);
    }

    /// Notes a question, if there is still somebody to put it to.
    #[must_use]
    pub fn note_question(&self, mut question: Question) -> Noted {
        let mut state = self.lock();
        if state.is_passing || matches!(state.stage, Stage::Over | Stage::Settled(_)) {
            return Noted::TooLate;
        }
        while state.questions.iter().any(|other| other.key == question.key) {
            question.key.push('\'');
        }
        state.questions.push(question);
        let is_first = !state.is_gathering && matches!(state.stage, Stage::Attached(_));
        state.is_gathering |= is_first;
        if is_first { Noted::First } else { Noted::Further }
    }

    /// Forgets a question that the upstream took back.
    pub fn withdraw(&self, id: &[u8]) {
        self.lock().questions.retain(|question| question.id != id);
    }

    /// Puts the open questions to the client that waits, as the answer to its request.
    ///
    /// `park` makes the state for the client to come back with.
    pub fn park(&self, park: impl FnOnce() -> String) {
        // Before anything is locked: whoever has the calls locked may look at their exchanges.
        let call = self.call();
        let mut state = self.lock();
        state.is_gathering = false;
        if state.questions.is_empty() {
            return;
        }
        match std::mem::replace(&mut state.stage, Stage::Parked) {
            Stage::Attached(round) => {
                if let Some(call) = &call {
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

    /// Goes on with another request of the client, which gets the answer, if there is one already. Gives what the upstream is to be
    /// told.
    ///
    /// `answers` gives the client's answer to a question, by its key.
    #[must_use]
    pub fn resume<'a>(self: &Arc<Self>, round: Round, answers: impl Fn(&str) -> Option<&'a str>) -> Resumed {
        let mut state = self.lock();
        state.rounds += 1;
        let attendance = Attendance::of_exchange(Arc::clone(self), state.rounds);
        let (body, code) = match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Parked => {
                state.features = round.envelope.features;
                state.stage = Stage::Attached(round);
                let mut told = Vec::new();
                for question in std::mem::take(&mut state.questions) {
                    if let Some(result) = answers(&question.key) {
                        told.push((question.id.clone(), question.answer(result)));
                    } else if state.features.has(question.need) {
                        state.questions.push(question);
                    } else {
                        // MCP 2026-07-28, Server Requirements: what this request does not declare it is not asked.
                        state.note_missing(question.need);
                        told.push((question.id.clone(), question.refused()));
                    }
                }
                return Resumed { answers: told, attendance };
            }
            Stage::Settled(Outcome::Answer(message)) => {
                finish::finish(&message, &self.form(&round, state.missing.as_deref()))
            }
            Stage::Settled(Outcome::Failure(text)) => failure(&round, &text),
            Stage::Attached(_) | Stage::Over => failure(&round, "The request is over"),
        };
        drop(state);
        round.mailbox.finish_with(body, code);
        Resumed { answers: Vec::new(), attendance }
    }

    /// Whether something is to be asked that was not answered.
    #[must_use]
    pub fn has_questions(&self) -> bool {
        !self.lock().questions.is_empty()
    }
}
