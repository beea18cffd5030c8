//! `initialize`: the only thing that makes a session. [MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization)

use std::time::Duration;

use crate::bridge::post::{self, Caller, RETRY_AFTER};
use crate::bridge::session::Introduced;
use crate::bridge::{Answer, Bridge, EventStream, Refusal, merge};
use crate::protocol::mcp::message::{Kind, Message, Param};
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

/// How long a client waits for upstreams that were never up, so that it is told what they can do.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl Bridge {
    pub(super) async fn initialize(&self, caller: &Caller, message: &Message) -> Result<Answer, Refusal> {
        let Kind::Request { id, params, .. } = message.kind() else { return Err(Refusal::SessionRequired) };
        let Some(requested) = params.get(Param::ProtocolVersion).and_then(|at| message.string(at)) else {
            let body = post::error(message, reply::INVALID_PARAMS, "protocolVersion is not a string");
            return Ok(post::finished(caller, body));
        };
        let version = ProtocolVersion::negotiate(&requested);
        let said = |param: Param| params.get(param).map(|at| message.json(at));
        let introduced = Introduced::read(version, said(Param::Capabilities), said(Param::ClientInfo));
        self.wait_for_first_try().await;
        let created = self.hub.sessions.create(&caller.principal, introduced);
        let (session, closed) = created.ok_or(Refusal::Busy { retry_after: RETRY_AFTER })?;
        for old in closed {
            self.close(&old);
        }
        let body = reply::result(message.bytes(*id), &merge::introduction(&self.upstreams, version));
        let session_id = Some(session.id.clone());
        if caller.accepts_json {
            return Ok(Answer::Message { body, session_id });
        }
        Ok(Answer::Stream { events: EventStream::of_message(&body), session_id })
    }

    /// Waits a little for upstreams whose first try is under way.
    pub(super) async fn wait_for_first_try(&self) {
        let settled = futures_util::future::join_all(self.upstreams.iter().map(|upstream| upstream.settled()));
        // One that takes longer will be announced when it comes.
        let _slow = tokio::time::timeout(PATIENCE, settled).await;
    }
}
