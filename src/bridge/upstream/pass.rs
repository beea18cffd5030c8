//! A large answer of an HTTP upstream, handed on as it comes instead of being held: no more of it is here than two pieces.
//!
//! What is small is held whole, for then whatever is wrong with it can still become a clean error. Held is also what must be
//! looked at whole: a question in place of a result, an error, and what nobody reads at the moment.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::bridge::mailbox::{Mailbox, Passage, PassageWriter};
use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::inbound::MAX_DEPTH;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::remote::MAX_MESSAGE;
use crate::protocol::mcp::passing::{Kinds, PassFault, Passing, Terms};
use crate::protocol::mcp::reply;

/// An answer of more bytes is handed on as it comes.
pub const HELD: usize = 64 * 1024;
/// The same where it could be fetched again after a broken connection: what passes is not kept.
const HELD_TO_KEEP: usize = 256 * 1024;
/// As much is read, written and waited for at a time: what comes in larger pieces is not made ready all at once.
pub const PIECE: usize = 16 * 1024;
/// So many bytes of an answer that passes start the time limit of its call anew.
const PROGRESS: usize = 64 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::bytes("part of an answer that passes, within the time of a call", PROGRESS, "the call fails"),
    Limit::bytes("answer of an HTTP upstream that is held whole", HELD, "a larger one is passed on as it comes"),
    Limit::bytes(
        "answer of an HTTP upstream to a session, which may come back for it",
        HELD_TO_KEEP,
        "a larger one is passed on as it comes, and cannot be fetched again",
    ),
];

/// An answer that is being handed on.
#[derive(Debug)]
pub struct Pass {
    passing: Passing,
    writer: PassageWriter,
    mailbox: Arc<Mailbox>,
    /// What of its beginning is still to be written.
    ready: VecDeque<Bytes>,
    length: usize,
    /// What passed since that counted as progress.
    fresh: usize,
}

/// Why it goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// What came cannot go on.
    #[error(transparent)]
    Fault(#[from] PassFault),
    /// More came than is taken.
    #[error("the answer is too large")]
    TooLarge,
    /// Nobody reads it any more.
    #[error("the client went away while the answer was passed on")]
    ClientLeft,
}

/// How many bytes of an answer to this call are held before it may be handed on.
#[must_use]
pub fn held(call: &Call) -> usize {
    // Not whether its stream is kept by now: that begins with the first message on it, which may be a moment ago.
    let can_come_back = call.accepts_stream && matches!(call.owner, Owner::Session(_));
    if call.takes_pieces && can_come_back { HELD_TO_KEEP } else { HELD }
}

/// The reason in words. That a client went away is no fault of the upstream, and ends the call quietly.
#[must_use]
pub fn stop(link: &Link, id: u64, stopped: Stopped) -> String {
    if stopped == Stopped::ClientLeft
        && let Some(call) = link.calls.take(id)
    {
        tracing::debug!(upstream = %link.name, "a client went away while an answer was passed on");
        call.fail(reply::CANCELLED, "The client went away");
    }
    stopped.to_string()
}

impl Pass {
    /// Begins to hand on the answer that begins with `head`, of which about as much is there as is held. `None` when all of it
    /// has to be held.
    #[must_use]
    pub fn begin(link: &Link, id: u64, call: &Call, head: &[Bytes]) -> Option<Self> {
        let is_stateless = link.speaks() == Speaks::Stateless;
        if !call.takes_pieces || call.onward.is_asking() || link.calls.find(id).is_none() {
            return None;
        }
        let (client_id, mailbox, completed, kinds) = match &call.owner {
            Owner::Bridge => return None,
            Owner::Session(_) | Owner::Nobody => (call.id.clone(), Arc::clone(&call.mailbox), None, Kinds::Complete),
            Owner::Direct(direct) => {
                let completed = Some((None, direct.is_cacheable()));
                (call.id.clone(), Arc::clone(&call.mailbox), completed, Kinds::NoQuestion)
            }
            Owner::Stateless(exchange) => {
                let asked = exchange.passing()?;
                let (identity, is_cacheable) = asked.completed;
                (asked.id, asked.mailbox, Some((Some(identity), is_cacheable)), Kinds::NoQuestion)
            }
        };
        let kinds = if is_stateless { kinds } else { Kinds::Any };
        let terms = Terms { expected: id.to_string(), id: client_id, kinds, completed, max_depth: MAX_DEPTH };
        let mut passing = Passing::new(terms);
        let mut ready = VecDeque::new();
        for piece in head.iter().flat_map(|piece| piece.chunks(PIECE)) {
            let mut out = Vec::with_capacity(piece.len() + 64);
            passing.push(piece, &mut out).ok()?;
            ready.push_back(Bytes::from(out));
        }
        let first = ready.pop_front().filter(|_| passing.is_decided())?;
        let (writer, passage) = Passage::new(first);
        if let Owner::Stateless(exchange) = &call.owner {
            exchange.passes();
        }
        mailbox.pass(passage).ok()?;
        let length = head.iter().map(Bytes::len).sum();
        Some(Self { passing, writer, mailbox, ready, length, fresh: 0 })
    }

    /// Hands the next piece on, when the client has taken the one before.
    ///
    /// # Errors
    /// It goes no further; the call is to be failed, which the client is told.
    pub async fn push(&mut self, link: &Link, call: &Call, piece: &[u8]) -> Result<(), Stopped> {
        for piece in piece.chunks(PIECE) {
            self.push_some(link, call, piece).await?;
        }
        Ok(())
    }

    async fn push_some(&mut self, link: &Link, call: &Call, piece: &[u8]) -> Result<(), Stopped> {
        self.write_ready().await?;
        self.length += piece.len();
        if self.length > MAX_MESSAGE {
            return Err(Stopped::TooLarge);
        }
        let mut out = Vec::with_capacity(piece.len() + 64);
        self.passing.push(piece, &mut out)?;
        if !out.is_empty() {
            self.writer.write(Bytes::from(out)).await.map_err(|_| Stopped::ClientLeft)?;
        }
        // Who writes or reads slowly is waited for, but not for ever: so much is to pass within the time of a call.
        self.fresh += piece.len();
        if self.fresh >= PROGRESS {
            self.fresh = 0;
            call.progressed(link.now());
        }
        Ok(())
    }

    async fn write_ready(&mut self) -> Result<(), Stopped> {
        while let Some(part) = self.ready.pop_front() {
            self.writer.write(part).await.map_err(|_| Stopped::ClientLeft)?;
        }
        Ok(())
    }

    /// Hands the end on, and ends the call.
    ///
    /// # Errors
    /// As with [`Pass::push`].
    pub async fn finish(mut self, link: &Link, id: u64) -> Result<(), Stopped> {
        self.write_ready().await?;
        let mut out = Vec::new();
        self.passing.finish(&mut out)?;
        self.writer.write(Bytes::from(out)).await.map_err(|_| Stopped::ClientLeft)?;
        // It may have been cancelled this moment; then it has broken off.
        if let Some(call) = link.calls.take(id) {
            if let Owner::Stateless(exchange) = &call.owner {
                exchange.passed();
            }
            self.mailbox.passed();
            self.writer.end().await;
        }
        Ok(())
    }
}
