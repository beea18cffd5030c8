//! A request of the stateless era to a server of the same era: such a server asks nothing while it works, so it answers once.

use bytes::Bytes;

use crate::bridge::stateless::finish;
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::stateless::dress;
use crate::protocol::mcp::envelope::Envelope;
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::message::Message;
use crate::protocol::mcp::method::Method;

/// What of the request matters to what comes back for it.
#[derive(Clone, Debug)]
pub struct Direct {
    /// All of it, if it may be answered by asking for more: as text, for it is seldom looked at again.
    request: Option<Bytes>,
    log_level: Option<LogLevel>,
    is_cacheable: bool,
}

impl Direct {
    /// The request `message`, with its method and its envelope.
    #[must_use]
    pub fn new(message: &Message, method: &Method, envelope: Envelope) -> Self {
        Self {
            request: dress::may_ask(method).then(|| message.whole().clone()),
            log_level: envelope.log_level,
            is_cacheable: finish::is_cacheable(method),
        }
    }

    /// The request, if it may be answered by asking for more.
    #[must_use]
    pub fn request(&self) -> Option<Message> {
        self.request.as_ref().and_then(|text| Message::parse(text.clone()).ok())
    }

    /// Whether the result is one that says how long it may be kept.
    #[must_use]
    pub const fn is_cacheable(&self) -> bool {
        self.is_cacheable
    }

    /// Whether the client wants log messages of this level.
    #[must_use]
    pub fn wants_log(&self, level: Option<LogLevel>) -> bool {
        LogLevel::is_wanted(level, self.log_level)
    }

    /// Gives the upstream's answer to whoever waits for the call.
    pub fn answer(&self, call: &Call, message: &Message) {
        let (body, code) = finish::passed(message, &call.id, self.is_cacheable);
        call.mailbox.finish_with(body, code);
    }
}
