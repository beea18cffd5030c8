//! What a call keeps on its way to an upstream without sessions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::bridge::upstream::stateless::inquiry::Inquiry;
use crate::fetch;
use crate::protocol::mcp::param_header::ParamHeader;

/// The part of a call that only an upstream without sessions needs; empty for any other.
#[derive(Debug, Default)]
pub struct Onward {
    /// The arguments of its tool that header fields repeat, if there are any.
    pub repeated: Option<Arc<[ParamHeader]>>,
    /// `Mcp-Param-…` fields of its client's request.
    pub param_fields: Option<Arc<ParamFields>>,
    /// Header fields that say what the body says: for HTTP alone. Of a `tools/call` the place is `Mcp-Name`, and `Mcp-Method` is
    /// understood.
    pub header: Option<fetch::Own>,
    /// What was sent, if a session's client may be asked for more and it then has to be sent again.
    pub sent: Option<Bytes>,
    rounds: AtomicU32,
    inquiry: Mutex<Option<Arc<Inquiry>>>,
}

/// `Mcp-Param-…` fields: the rest of the name, in small letters, and the value as it came.
pub type ParamFields = [(Box<str>, Box<str>)];

impl Onward {
    /// Counts a round; gives how many there were.
    pub fn count_round(&self) -> u32 {
        self.rounds.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes what its client is asked.
    pub fn begin(&self, inquiry: Arc<Inquiry>) {
        *self.lock() = Some(inquiry);
    }

    /// Whether its client is asked something, so that the upstream has nothing of it at the moment.
    pub fn is_asking(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes what its client is asked, which is then over.
    pub fn take(&self) -> Option<Arc<Inquiry>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Inquiry>>> {
        self.inquiry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
