//! The end of an exchange before its answer.

use std::sync::atomic::Ordering;

use crate::bridge::stateless::exchange::{Exchange, Stage, failure};
use crate::protocol::mcp::reply;

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
        let Some(link) = self.link() else { return };
        for question in questions {
            drop(link.end_asking(&question.id));
            link.tell_now(reply::error(&question.id, reply::UNAVAILABLE, reason));
        }
        link.abandon(self.id.load(Ordering::Relaxed), reason);
    }

    /// The client of a round has left; `is_working`: it has seen no outcome, for it was still at work.
    pub fn leave(&self, round: u64, is_working: bool) {
        {
            let state = self.lock();
            let is_left = match state.stage {
                Stage::Attached(_) => true,
                // Nobody could come back for what nobody was given.
                Stage::Parked | Stage::Settled(_) => is_working,
                Stage::Over => false,
            };
            if state.rounds != round || !is_left {
                return;
            }
        }
        // MCP 2026-07-28, Cancellation: closing the response cancels the request.
        self.release("The client went away");
    }
}
