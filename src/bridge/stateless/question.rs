//! A server's question during a request of the stateless era: it becomes part of an answer.
//! [MCP 2026-07-28, Multi Round-Trip Requests](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr)

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::bridge::stateless::exchange::{Exchange, Noted};
use crate::bridge::upstream::link::{Link, Whom};
use crate::protocol::mcp::client_features::{ClientFeatures, Need};
use crate::protocol::mcp::message::{Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{self, Span};

/// How long further questions of the same call are waited for, so that they are put together.
const GATHER: Duration = Duration::from_millis(30);
/// What a server is told that asks for what the client did not declare.
const CANNOT: &str = "The client cannot do this";

/// A question that waits for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its key in `inputRequests`: the server's own id of it.
    pub key: String,
    /// The server's id, as written.
    pub id: Bytes,
    /// What the client must have declared.
    pub need: Need,
    /// What is asked: `{method, params}`, JSON.
    request: String,
}

impl Question {
    /// The member of `inputRequests`.
    #[must_use]
    pub fn member(&self) -> String {
        format!("{}:{}", Value::from(self.key.as_str()), self.request)
    }

    /// What the server is told when the client, in coming back, says that it cannot do it any more.
    #[must_use]
    pub fn refused(&self) -> Bytes {
        reply::error(&self.id, reply::METHOD_NOT_FOUND, CANNOT)
    }

    /// What the server is told when the client answered with `result`, JSON.
    #[must_use]
    pub fn answer(&self, result: &str) -> Bytes {
        reply::result(&self.id, &splice::splice(result.as_bytes(), &mut [], true))
    }
}

/// Takes a request of an upstream that belongs to a call of an exchange.
pub fn ask(
    link: &Arc<Link>,
    exchange: &Arc<Exchange>,
    message: &Message,
    (id, method, params): (Span, &Method, &Params),
) {
    let their_id = Bytes::copy_from_slice(message.bytes(id));
    let refuse = |code: i32, text: &str| link.tell_now(reply::error(&their_id, code, text));
    let features = exchange.features();
    let Some(need) = Need::of(message, method, params) else {
        return refuse(reply::METHOD_NOT_FOUND, CANNOT);
    };
    if !features.has(need) {
        // MCP 2026-07-28, Server Requirements: never what the client did not declare. Should the call fail for it, the
        // client is told what was missing.
        exchange.note_missing(need);
        return refuse(reply::METHOD_NOT_FOUND, CANNOT);
    }
    if !exchange.may_ask() {
        // MCP 2026-07-28, Supported Requests.
        return refuse(reply::METHOD_NOT_FOUND, "Nobody can be asked during this request");
    }
    if !link.begin_asking(their_id.clone(), Whom::Exchange(Arc::downgrade(exchange))) {
        return refuse(reply::INVALID_REQUEST, "A request with this id is under way");
    }
    let key = message.string(id).unwrap_or(Cow::Borrowed(message.json(id))).into_owned();
    let asked = params
        .whole()
        .map_or_else(String::new, |at| format!(r#","params":{}"#, asked_of(features, message, params, at)));
    let request = format!(r#"{{"method":"{}"{asked}}}"#, method.as_str());
    match exchange.note_question(Question { key, id: their_id.clone(), need, request }) {
        Noted::First => {
            let (hub, exchange) = (Arc::clone(&link.hub), Arc::clone(exchange));
            link.hub.runtime.spawn(async move {
                tokio::time::sleep(GATHER).await;
                hub.parked.park(&exchange, hub.clock.now());
            });
        }
        Noted::Further => {}
        Noted::TooLate => {
            drop(link.end_asking(&their_id));
            refuse(reply::UNAVAILABLE, "The call that this was asked for is answered");
        }
    }
}

/// The params without the token for progress: nothing could be reported of what is no request. And without `includeContext` for a client
/// that did not declare it: without that capability it means nothing, and servers of before say it to everybody.
fn asked_of(features: ClientFeatures, message: &Message, params: &Params, whole: Span) -> String {
    let json = message.json(whole);
    let own = Span::new(0, whole.end() - whole.start());
    let is_foreign = |name: &str| name == "includeContext" && !features.sampling_context;
    let mut edits = object::without(json, own, is_foreign);
    if let Some(at) = params.get(Param::Meta) {
        let within = Span::new(at.start() - whole.start(), at.end() - whole.start());
        edits.extend(object::without(message.json(at), within, |name| name == "progressToken"));
    }
    String::from_utf8_lossy(&splice::splice(json.as_bytes(), &mut edits, false)).into_owned()
}
