//! A server's question during a request of the stateless era: it becomes part of an answer.
//! [MCP 2026-07-28, Multi Round-Trip Requests](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr)

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bridge::stateless::exchange::{Exchange, Noted};
use crate::bridge::upstream::link::{Link, Whom};
use crate::protocol::mcp::client_features::ClientFeatures;
use crate::protocol::mcp::message::{Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{self, Span};

/// How long further questions of the same call are waited for, so that they are put together.
const GATHER: Duration = Duration::from_millis(30);

/// A question that waits for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its key in `inputRequests`: the server's own id of it.
    pub key: String,
    /// The server's id, as written.
    pub id: Bytes,
    /// What is asked: `{method, params}`, JSON.
    request: String,
}

impl Question {
    /// The member of `inputRequests`.
    #[must_use]
    pub fn member(&self) -> String {
        format!("{}:{}", Value::from(self.key.as_str()), self.request)
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
    let is_url = params.get(Param::Mode).and_then(|at| message.string(at)).as_deref() == Some("url");
    let Some((can, capability)) = needed(exchange.features(), method, is_url) else {
        return refuse(reply::METHOD_NOT_FOUND, "The client cannot do this");
    };
    if !can {
        // MCP 2026-07-28, Server Requirements: never what the client did not declare. Should the call fail for it, the
        // client is told what was missing.
        exchange.note_missing(&capability);
        return refuse(reply::METHOD_NOT_FOUND, "The client cannot do this");
    }
    if !exchange.may_ask() {
        // MCP 2026-07-28, Supported Requests.
        return refuse(reply::METHOD_NOT_FOUND, "Nobody can be asked during this request");
    }
    if !link.begin_asking(their_id.clone(), Whom::Exchange(Arc::downgrade(exchange))) {
        return refuse(reply::INVALID_REQUEST, "A request with this id is under way");
    }
    let key = message.string(id).unwrap_or(Cow::Borrowed(message.json(id))).into_owned();
    let asked =
        params.whole().map_or_else(String::new, |at| format!(r#","params":{}"#, without_token(message, params, at)));
    let request = format!(r#"{{"method":"{}"{asked}}}"#, method.as_str());
    match exchange.note_question(Question { key, id: their_id.clone(), request }) {
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

/// The params without the token for progress: nothing could be reported of what is no request.
fn without_token(message: &Message, params: &Params, whole: Span) -> String {
    let json = message.json(whole);
    let Some(at) = params.get(Param::Meta) else { return json.to_owned() };
    let within = Span::new(at.start() - whole.start(), at.end() - whole.start());
    let mut edits = object::without(message.json(at), within, |name| name == "progressToken");
    String::from_utf8_lossy(&splice::splice(json.as_bytes(), &mut edits, false)).into_owned()
}

/// Whether the client can do what a request of a server needs, and the name of that; `None` when no client can.
fn needed(features: ClientFeatures, method: &Method, is_url: bool) -> Option<(bool, Value)> {
    match method {
        Method::CreateMessage => Some((features.sampling, json!({"sampling": {}}))),
        Method::RootsList => Some((features.roots, json!({"roots": {}}))),
        Method::Elicit if is_url => Some((features.elicitation_url, json!({"elicitation": {"url": {}}}))),
        Method::Elicit => Some((features.elicitation_form, json!({"elicitation": {}}))),
        _ => None,
    }
}
