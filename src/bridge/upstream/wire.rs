//! The ways to an upstream, behind one type: what can be sent, and when it cannot.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::bridge::upstream::builtin;
use crate::bridge::upstream::call::{Call, Work};
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::sse::SseWire;
use crate::bridge::upstream::stdin::{Room, Stdin};
use crate::bridge::upstream::streamable_http::HttpWire;

/// How long a message waits for room before the caller is told that the upstream is busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::time("wait for room in that queue", PATIENCE, "503, Retry-After")];

/// The way to an upstream.
#[derive(Debug)]
pub enum Wire {
    /// Compiled in.
    Builtin,
    /// Lines to a child's standard input.
    Stdio(Stdin),
    /// POST requests.
    Http(Arc<HttpWire>),
    /// POST requests, and one stream that brings their answers.
    Sse(Arc<SseWire>),
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// It takes nothing at the moment; later it may.
    #[error("it takes no more requests at the moment")]
    Busy,
    /// It is gone.
    #[error("it is gone")]
    Lost,
}

/// Room for one message.
#[derive(Debug)]
pub enum Slot<'a> {
    /// Nothing to wait for.
    Builtin,
    /// For a line.
    Stdio(Room<'a>),
    /// A request of its own.
    Http(&'a Arc<HttpWire>),
    /// The same.
    Sse(&'a Arc<SseWire>),
}

impl Wire {
    /// Waits a little for room.
    ///
    /// # Errors
    /// No room, or nobody there.
    pub async fn slot(&self) -> Result<Slot<'_>, SendFault> {
        match (self.slot_now(), self) {
            (Err(SendFault::Busy), Self::Stdio(stdin)) => Box::pin(stdin.room(PATIENCE)).await.map(Slot::Stdio),
            (slot, _) => slot,
        }
    }

    /// Room, if there is some now.
    ///
    /// # Errors
    /// No room, or nobody there.
    pub fn slot_now(&self) -> Result<Slot<'_>, SendFault> {
        match self {
            Self::Builtin => Ok(Slot::Builtin),
            Self::Http(wire) => Ok(Slot::Http(wire)),
            Self::Sse(wire) => Ok(Slot::Sse(wire)),
            Self::Stdio(stdin) => stdin.room_now().map(Slot::Stdio),
        }
    }
}

impl Slot<'_> {
    /// Sends a request that was noted under `id`. Gives the work that is left to its caller.
    #[must_use = "nobody else does this work"]
    pub fn request(self, link: &Arc<Link>, id: u64, call: &Arc<Call>, text: Bytes) -> Option<Work> {
        match self {
            Self::Builtin => {
                let answer = builtin::answer(call.principal.as_deref(), &link.hub.clock, text);
                inbound::receive(link, answer, Some(id));
                None
            }
            Self::Stdio(room) => {
                room.write(&text);
                None
            }
            Self::Http(wire) => call.carry(|| Arc::clone(wire).call(Arc::clone(link), id, Arc::clone(call), text)),
            Self::Sse(wire) => call.carry(|| Arc::clone(wire).call(Arc::clone(link), id, text)),
        }
    }

    /// Sends something that wants no answer.
    pub fn tell(self, link: &Arc<Link>, text: Bytes) {
        match self {
            Self::Builtin => {}
            Self::Stdio(room) => room.write(&text),
            Self::Http(wire) => {
                link.hub.runtime.spawn(Arc::clone(wire).tell(Arc::clone(link), text));
            }
            Self::Sse(wire) => {
                link.hub.runtime.spawn(Arc::clone(wire).tell(Arc::clone(link), text));
            }
        }
    }
}
