//! The end of an exchange before its answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bridge::mailbox::{Event, Reader};
use crate::bridge::stateless::exchange::{Exchange, Stage, failure};
use crate::bridge::upstream::call::Work;
use crate::protocol::mcp::reply;

/// A client waits for the answer of an exchange; when this is dropped before it came, the client has left.
#[derive(Debug)]
pub struct Attendance {
    exchange: Arc<Exchange>,
    round: u64,
    work: Option<Work>,
    /// The client has its outcome, and leaves nothing behind.
    is_over: bool,
}

impl Attendance {
    pub(super) const fn new(exchange: Arc<Exchange>, round: u64) -> Self {
        Self { exchange, round, work: None, is_over: false }
    }

    /// The same with the work of the call, if that is left to its caller.
    #[must_use]
    pub fn with(mut self, work: Option<Work>) -> Self {
        self.work = work;
        self
    }

    /// The next event for the client; what there is to do for the call is done meanwhile.
    pub async fn next(&mut self, reader: &mut Reader) -> Option<Event> {
        poll_fn(|context| {
            if let Some(work) = &mut self.work {
                // Who is awake need not be woken by what it does itself.
                reader.stay_awake();
                if work.poll(context) {
                    self.work = None;
                }
            }
            reader.poll_next(context)
        })
        .await
    }

    /// Leaves what is still to do to a task: what is waited for now is not the answer alone.
    pub fn leave_work(&mut self) {
        if let Some(work) = self.work.take() {
            work.leave();
        }
    }

    /// The error code of the answer, once it came and if it is an error.
    #[must_use]
    pub fn code(&mut self) -> Option<i32> {
        let state = self.exchange.lock();
        self.is_over = self.work.is_none() && !matches!(state.stage, Stage::Attached(_));
        state.code
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if !self.is_over {
            self.exchange.leave(self.round, self.work.is_some());
        }
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
        let Some(link) = self.link() else { return };
        for question in questions {
            drop(link.end_asking(&question.id));
            link.tell_now(reply::error(&question.id, reply::UNAVAILABLE, reason));
        }
        link.abandon(self.id.load(Ordering::Relaxed), reason);
    }

    /// The client of a round has left; `is_working`: it has seen no outcome, for it was still at work.
    fn leave(&self, round: u64, is_working: bool) {
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
