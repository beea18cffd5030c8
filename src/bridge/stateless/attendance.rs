//! A client of the stateless era that waits, and what becomes of its call when it waits no more.

use std::future::poll_fn;
use std::sync::Arc;

use crate::bridge::mailbox::{Event, Reader};
use crate::bridge::stateless::exchange::Exchange;
use crate::bridge::upstream::call::Work;
use crate::bridge::upstream::link::Link;

/// A client waits for an answer; when this is dropped before it came, the client has left.
#[derive(Debug)]
pub struct Attendance {
    what: What,
    work: Option<Work>,
    /// The client has its answer, and leaves nothing behind.
    is_over: bool,
}

/// What is waited for.
#[derive(Debug)]
enum What {
    Exchange { exchange: Arc<Exchange>, round: u64 },
    Call { link: Arc<Link>, id: u64 },
}

impl Attendance {
    /// A round of an exchange.
    #[must_use]
    pub const fn of_exchange(exchange: Arc<Exchange>, round: u64) -> Self {
        Self { what: What::Exchange { exchange, round }, work: None, is_over: false }
    }

    /// The call with this id on a connection.
    #[must_use]
    pub const fn of_call(link: Arc<Link>, id: u64) -> Self {
        Self { what: What::Call { link, id }, work: None, is_over: false }
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

    /// Notes that the client has its answer.
    pub const fn answered(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        match &self.what {
            What::Exchange { exchange, round } => exchange.leave(*round, self.work.is_some()),
            // MCP 2026-07-28, Cancellation: closing the response cancels the request.
            What::Call { link, id } => link.abandon(*id, "The client went away"),
        }
    }
}
