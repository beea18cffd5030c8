//! Clients of the stateless era (MCP 2026-07-28), above all in front of servers of the session era.
//!
//! It owns what such a client is promised and such a server does not know: the checks of a request that says everything
//! itself, results with all their members, cancellation by going away, `subscriptions/listen`, and questions of a server
//! that come back as `input_required` results. The upstream side knows nothing of it but one [`exchange::Exchange`], or at
//! a server of the same era, which needs none of that, one [`direct::Direct`].

pub mod attendance;
pub mod direct;
pub mod era;
pub mod exchange;
pub mod filter;
pub mod listen;
pub mod listener;
pub mod parked;
pub mod question;
pub mod take;
mod discover;
mod finish;
mod resume;

use std::sync::Arc;

use serde_json::Value;

use crate::bridge::Bridge;
use crate::bridge::post::Caller;
use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::exchange::{Exchange, Round};
use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stateless::state::Binding;
use crate::model::principal::Principal;
use crate::protocol::mcp::envelope::Envelope;
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::object;
use crate::protocol::mcp::splice::{Edit, Span};

impl Bridge {
    /// Makes a call to a server of the session era one of an exchange, over this connection.
    pub(super) fn exchange(
        &self,
        caller: &Caller,
        message: &Message,
        envelope: Envelope,
        (call, link): (&mut Call, &Arc<Link>),
    ) -> Attendance {
        let round = Round {
            id: std::mem::take(&mut call.id),
            progress_token: call.progress_token.take(),
            mailbox: Arc::clone(&call.mailbox),
            accepts_stream: caller.accepts_stream,
            envelope,
        };
        let identity = self.identity_over(link, &caller.own);
        let (exchange, attendance) =
            Exchange::begin(&caller.principal, (identity, Arc::downgrade(link)), message, round);
        call.owner = Owner::Stateless(exchange);
        attendance
    }

    /// The place of a request's `requestState`, and what the upstream gave away for it, JSON.
    ///
    /// # Errors
    /// It is not the one that this upstream gave this caller for this request a while ago.
    pub(super) fn state_for(
        &self,
        principal: &Principal,
        link: &Link,
        message: &Message,
    ) -> Result<Option<(Span, String)>, Fault> {
        let Kind::Request { params, .. } = message.kind() else { return Ok(None) };
        let Some(at) = set(message, params, Param::RequestState) else { return Ok(None) };
        let binding = Binding { principal, upstream: &link.name, request: message };
        let state = message.string(at).filter(|_| link.speaks() == Speaks::Stateless);
        let now = self.hub.clock.now();
        let state = state.and_then(|sealed| self.hub.seal.open(&sealed, binding, now).map(Value::from));
        let state = state.ok_or_else(|| Fault::invalid("requestState is not valid, or not any more"))?;
        Ok(Some((at, state.to_string())))
    }
}

/// The place of a member's value, unless that is null.
fn set(message: &Message, params: &Params, param: Param) -> Option<Span> {
    params.get(param).filter(|at| message.bytes(*at) != b"null")
}

/// The edits that take out of a request what only its own era knows.
pub(super) fn for_session_era(message: &Message) -> Vec<Edit<'static>> {
    let Kind::Request { params, .. } = message.kind() else { return Vec::new() };
    let mut edits: Vec<Edit<'static>> =
        params.get(Param::Meta).map(|at| meta::without_envelope(message.json(at), at)).unwrap_or_default();
    // Answers to questions that were not asked in this exchange.
    if params.get(Param::InputResponses).is_some()
        && let Some(at) = params.whole()
    {
        edits.extend(object::without(message.json(at), at, |name| name == "inputResponses"));
    }
    edits
}
