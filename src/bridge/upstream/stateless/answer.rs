//! An answer of an upstream without sessions, for clients of either era.

use std::sync::Arc;

use serde_json::Value;

use crate::bridge::stateless::direct::Direct;
use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::inbound::MAX_DEPTH;
use crate::bridge::upstream::link::{Changes, Link};
use crate::bridge::upstream::stateless::inquiry;
use crate::bridge::upstream::stateless::state::Binding;
use crate::protocol::mcp::message::{Kind, Message, ResultParts};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{Edit, Span};

/// What a result is.
enum ResultType {
    Complete,
    InputRequired,
    Other,
    Ambiguous,
}

/// Takes the answer `message` to the call `number`; `id` is where its id stands. False when nobody waits for it.
#[must_use]
pub fn take(link: &Arc<Link>, number: u64, message: &Message, id: Span) -> bool {
    let Kind::Answer { result, parts, .. } = message.kind() else { return false };
    // What was not sent again yet cannot have been answered. Nobody but a session's client is asked here.
    let is_due = |call: &Call| call.owner.session().is_none() || !call.onward.is_asking();
    let kind = result.map(|result| (result_type(message, parts), result));
    if let Some((ResultType::InputRequired, result)) = kind {
        let call = link.calls.find(number).filter(|call| is_due(call));
        if let Some(session) = call.as_ref().and_then(|call| call.owner.session()) {
            inquiry::begin(link, number, session, (message, result));
            return true;
        }
    }
    // That of a session's client is no answer, even if its call came to be due this moment.
    let is_question = matches!(kind, Some((ResultType::InputRequired, _)));
    let is_answered = |call: &Call| is_due(call) && !(is_question && call.owner.session().is_some());
    let Some(call) = link.calls.take_if(number, is_answered) else { return false };
    let fail = |text: &str| call.fail(reply::UNAVAILABLE, text);
    match (kind, &call.owner) {
        (None, _) if link.has_room(&call, message) => take_error(link, &call, message, id),
        (None, _) => {}
        (Some((ResultType::InputRequired, result)), Owner::Direct(direct)) => {
            match sealed(link, &call, direct, message, result) {
                Some(message) => link.answer(&call, &message, id),
                None => fail("The MCP server asks for more where nobody can be asked"),
            }
        }
        (Some((ResultType::InputRequired, _)), Owner::Nobody | Owner::Stateless(_)) => {
            fail("The MCP server asks the client for more, which it can do in a session only");
        }
        // Whoever reads the other one would take a question that nobody looked at for ours.
        (Some((ResultType::Ambiguous, _)), _) => fail("The MCP server's answer can be read in two ways"),
        // MCP 2026-07-28, Responses: a result of a kind that is not known is an error. A client of this era judges itself.
        (Some((ResultType::Other, _)), Owner::Session(_) | Owner::Nobody) => {
            fail("The MCP server answered with a result of a kind that this client does not know");
        }
        _ => link.answer(&call, message, id),
    }
    true
}

/// Ends a call with an error of the bridge's own.
pub(super) fn fail(link: &Link, number: u64, text: &str) {
    if let Some(call) = link.calls.take(number) {
        call.fail(reply::UNAVAILABLE, text);
    }
}

fn result_type(message: &Message, parts: &ResultParts) -> ResultType {
    if parts.is_ambiguous {
        return ResultType::Ambiguous;
    }
    match parts.result_type.and_then(|at| message.string(at)).as_deref() {
        // MCP 2026-07-28, Responses: without one, a result is complete.
        Some("complete") | None => ResultType::Complete,
        Some("input_required") => ResultType::InputRequired,
        Some(_) => ResultType::Other,
    }
}

/// The answer with its `requestState` sealed for the client. `None` when there is no request that it could belong to.
fn sealed(link: &Link, call: &Call, direct: &Direct, message: &Message, result: Span) -> Option<Message> {
    let (request, principal) = (&direct.request()?, call.principal.as_deref()?);
    let [state] = object::members(message.json(result), &["requestState"]).ok()?;
    let Some(raw) = state.filter(|state| *state != "null") else { return Some(message.clone()) };
    let state: String = serde_json::from_str(raw).ok()?;
    let binding = Binding { principal, upstream: &link.name, request };
    let sealed = Value::from(link.hub.seal.seal(&state, binding, link.hub.clock.now())?).to_string();
    let at = Span::of(raw, message.text())?;
    Message::parse_within(message.rewritten(&mut [Edit { at, with: sealed.as_bytes() }]), MAX_DEPTH).ok()
}

fn take_error(link: &Link, call: &Call, message: &Message, id: Span) {
    let error = object::members(message.text(), &["error"]).ok().and_then(|[error]| error);
    let members = error.and_then(|error| object::members(error, &["code", "data"]).ok());
    let [code, data] = members.unwrap_or_default();
    let place = code.and_then(|code| Span::of(code, message.text()));
    match (code.and_then(|code| code.parse().ok()), place) {
        (Some(reply::INVALID_PARAMS), Some(at)) if is_not_found(call, data) => {
            let code = reply::RESOURCE_NOT_FOUND.to_string();
            let edits = &mut [Edit { at, with: code.as_bytes() }, Edit { at: id, with: &call.id }];
            call.mailbox.finish(message.rewritten(edits));
        }
        (Some(reply::HEADER_MISMATCH), _) => {
            // MCP 2026-07-28, Server Validation: what the header repeats is read from the list of tools, which is stale.
            link.changes.add(Changes::TOOLS);
            call.answer(message, id);
        }
        (Some(reply::UNSUPPORTED_VERSION), _) => {
            call.answer(message, id);
            // MCP 2026-07-28, Backward Compatibility: asked again when what was found turns out to be wrong.
            link.lose("it does not speak 2026-07-28 any more");
        }
        _ => call.answer(message, id),
    }
}

/// Whether an error says to a session's client that there is no such resource: then it has another code in its era.
fn is_not_found(call: &Call, data: Option<&str>) -> bool {
    // MCP 2026-07-28, Resources, Error Handling: it names the URI, which other faults of parameters do not.
    let names_uri = data.and_then(|data| object::members(data, &["uri"]).ok()).is_some_and(|[uri]| uri.is_some());
    let is_read = |sent: &bytes::Bytes| {
        Message::parse_within(sent.clone(), MAX_DEPTH)
            .is_ok_and(|sent| matches!(sent.kind(), Kind::Request { method: Method::ResourcesRead, .. }))
    };
    names_uri && matches!(call.owner, Owner::Session(_)) && call.onward.sent.as_ref().is_some_and(is_read)
}
