//! `initialize`: the only thing that makes a session. [MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization)

use std::sync::Arc;

use crate::bridge::pool::Whom;
use crate::bridge::post::{self, Caller, RETRY_AFTER};
use crate::bridge::session::{Introduced, Session};
use crate::bridge::upstream::Upstream;
use crate::bridge::{Answer, Bridge, EventStream, Refusal, merge};
use crate::protocol::mcp::message::{Kind, Message, Param};
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

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
        let created = self.hub.sessions.create(&caller.principal, introduced);
        let (session, closed) = created.ok_or(Refusal::Busy { retry_after: RETRY_AFTER })?;
        let unanswered = Unanswered { bridge: self, session: Some(Arc::clone(&session)) };
        for old in closed {
            self.close(&old);
        }
        // What is the session's own is begun for it, so it is there before it is answered; and in use meanwhile.
        let _under_way = session.begin();
        let own = self.pool.of(Whom { principal: &caller.principal, session: Some(&session) }).await;
        if let Some(refusal) = own.nothing() {
            return Err(refusal);
        }
        self.wait_for_first_try(&own).await;
        unanswered.keep();
        let body = reply::result(message.bytes(*id), &merge::introduction(&own, version));
        let session_id = Some(session.id.clone());
        if caller.accepts_json {
            return Ok(Answer::Message { body, session_id });
        }
        Ok(Answer::Stream { events: EventStream::of_message(&body), session_id })
    }

    /// Waits a little for upstreams whose first try is under way.
    pub(super) async fn wait_for_first_try(&self, upstreams: &[Arc<Upstream>]) {
        // One that takes longer will be announced when it comes.
        let wait = |upstream: &Arc<Upstream>| {
            let upstream = Arc::clone(upstream);
            async move { drop(tokio::time::timeout(upstream.patience(), upstream.settled()).await) }
        };
        futures_util::future::join_all(upstreams.iter().map(wait)).await;
    }
}

/// A new session of which its client does not know yet. When it is dropped so, the client has left or was refused.
struct Unanswered<'a> {
    bridge: &'a Bridge,
    session: Option<Arc<Session>>,
}

impl Unanswered<'_> {
    fn keep(mut self) {
        if let Some(session) = self.session.take() {
            session.introduce();
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            drop(self.bridge.hub.sessions.remove(&session.id, &session.principal));
            self.bridge.close(&session);
        }
    }
}
