//! The end of an exchange before its answer.

use std::sync::Arc;

use crate::bridge::stateless::exchange::{Exchange, Stage, failure};
use crate::protocol::mcp::reply;

/// A client waits for the answer of an exchange; when this is dropped before it came, the client has left.
#[derive(Debug)]
pub struct Attendance {
    pub(super) exchange: Arc<Exchange>,
    pub(super) round: u64,
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

impl Exchange {
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
}
