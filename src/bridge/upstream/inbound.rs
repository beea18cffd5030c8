//! What comes from an upstream, and to whom it goes. Nothing goes to anybody it does not belong to.
//!
//! An answer belongs to the call whose id it bears, progress to the call whose token it bears. Anything else is marked
//! only by the stream it came on, or by an id of the upstream's own that a session was given; a child process has one stream for all, so there it belongs to a session when no
//! other has a call under way, or when the child is that session's own, and otherwise to nobody.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::bridge::mailbox::Item;
use crate::bridge::session::{Asked, Session};
use crate::bridge::stateless::question;
use crate::bridge::subscribers::Subscriber;
use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::{Changes, Link, Whom};
use crate::bridge::upstream::stateless::answer;
use crate::protocol::mcp::client_features::Need;
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::message::{self, Kind, Message, Param, Params};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{Edit, Span};

/// How deep an upstream's message may be nested. Results and schemas are data that nobody decides by, so this is wide.
pub const MAX_DEPTH: usize = 1000;
/// How many messages an upstream may send as one batch (2025-03-26).
const MAX_BATCH: usize = 1000;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::count("JSON nesting of an upstream's message", MAX_DEPTH, "the message is dropped; its call fails"),
    Limit::count("messages in one batch of an upstream", MAX_BATCH, "the batch is dropped"),
];

/// It means nothing to the bridge but whom it is for.
const ELICITATION_COMPLETE: &str = "notifications/elicitation/complete";
/// What the upstream is told of a question that could be several clients', or no client's.
const NOBODYS: &str = "The request cannot be attributed to one client session, or to one call";

/// Takes a message, or a batch. `origin` is the call on whose own stream it came, if it came on one.
pub fn receive(link: &Arc<Link>, text: Bytes, origin: Option<u64>) {
    if !message::is_batch(&text) {
        return receive_one(link, text, origin);
    }
    match message::batch(&text, MAX_BATCH) {
        Ok(messages) => messages.into_iter().for_each(|message| receive_one(link, message, origin)),
        Err(fault) => link.count_garbage(&text, &fault.text),
    }
}

fn receive_one(link: &Arc<Link>, text: Bytes, origin: Option<u64>) {
    let message = match Message::parse_within(text.clone(), MAX_DEPTH) {
        Ok(message) => message,
        Err(fault) => {
            fail_answered(link, &text, origin);
            return link.count_garbage(&text, &fault.text);
        }
    };
    match message.kind() {
        Kind::Answer { id, .. } => answer(link, &message, *id, origin),
        Kind::Request { id, method, params } => request(link, &message, (*id, method, params), origin),
        Kind::Notification { method, params } => notification(link, &message, (method, params), origin),
    }
}

fn answer(link: &Arc<Link>, message: &Message, id: Option<Span>, origin: Option<u64>) {
    let number = id.and_then(|id| number(message.bytes(id)));
    // A stream that answers one call may not answer another.
    let number = number.filter(|number| origin.is_none_or(|origin| origin == *number));
    let is_taken = id.zip(number).is_some_and(|(id, number)| match link.speaks() {
        Speaks::Sessions => link.calls.take(number).map(|call| take_answer(link, &call, message, id)).is_some(),
        Speaks::Stateless => answer::take(link, number, message, id),
    });
    if !is_taken {
        number.into_iter().for_each(|number| link.calls.left_is_done(number));
        tracing::debug!(upstream = %link.name, "an answer that nobody waits for was dropped");
        link.count_dropped();
    }
}

/// Ends the call that an answer belongs to which cannot be taken: no other comes for it. On a stream of its own it ends with that.
fn fail_answered(link: &Link, text: &[u8], origin: Option<u64>) {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let members = object::members(text, &["id", "method"]).ok().filter(|_| origin.is_none());
    let Some([Some(id), None]) = members else { return };
    let Some(number) = number(id.as_bytes()) else { return };
    match link.calls.take(number) {
        Some(call) => call.fail(reply::UNAVAILABLE, "The MCP server answered with what cannot be read"),
        None => link.calls.left_is_done(number),
    }
}

fn take_answer(link: &Link, call: &Call, message: &Message, id: Span) {
    if let Some(session) = call.owner.session() {
        link.elicited.note_demanded(session, message);
    }
    link.answer(call, message, id);
}

fn notification(link: &Arc<Link>, message: &Message, (method, params): (&Method, &Params), origin: Option<u64>) {
    match method {
        Method::ToolsChanged | Method::PromptsChanged | Method::ResourcesChanged | Method::ResourceUpdated
            if !is_listened_for(link, message, params) =>
        {
            link.count_dropped();
        }
        Method::Progress => progress(link, message, params),
        Method::Cancelled => cancelled(link, message, params),
        Method::ToolsChanged => link.changes.add(Changes::TOOLS),
        Method::PromptsChanged => link.changes.add(Changes::PROMPTS),
        Method::ResourcesChanged => link.changes.add(Changes::RESOURCES),
        Method::ResourceUpdated => resource_updated(link, message, params),
        Method::Acknowledged => acknowledged(link, message, params),
        _ => {
            if method.as_str() == ELICITATION_COMPLETE
                && origin.is_none()
                && let Some(session) = link.elicited.take(message, params)
            {
                return elicitation_complete(link, &session, message);
            }
            let call = owner(link, origin).filter(|call| is_certain(link, call, origin));
            match call {
                Some(call) if wants(&call, message, method, params) => {
                    hand_over(link, &call, message.rewritten(&mut []));
                }
                None if origin.is_none() && outside_calls(link, message, method, params) => {}
                _ => link.count_dropped(),
            }
        }
    }
}

/// Tells a session, wherever it listens, that the person has been where it was sent.
fn elicitation_complete(link: &Link, session: &Arc<Session>, message: &Message) {
    let text = message.rewritten(&mut []);
    let is_own = |call: &Arc<Call>| call.owner.session().is_some_and(|owner| Arc::ptr_eq(owner, session));
    match link.calls.of_sole_owner(link.now()).filter(is_own) {
        Some(call) => hand_over(link, &call, text),
        None if session.mailbox.push(Item::Notification(text)).is_ok() => {}
        None => link.count_dropped(),
    }
}

/// Hands something that belongs to no call to the only session that the connection serves. False when it is not wanted.
fn outside_calls(link: &Link, message: &Message, method: &Method, params: &Params) -> bool {
    let session = link.sole_session().filter(|session| severe_enough(session.level(), message, method, params));
    session.is_some_and(|session| session.mailbox.push(Item::Notification(message.rewritten(&mut []))).is_ok())
}

fn hand_over(link: &Link, call: &Call, text: Bytes) {
    if call.deliver(Item::Notification(text)).is_err() {
        link.count_dropped();
    }
}

/// Whether something without a mark is of this very call. To a session it is enough that it is of one of its calls.
fn is_certain(link: &Link, call: &Call, origin: Option<u64>) -> bool {
    // MCP 2026-07-28, Per-request log level: on no stream but that of the request itself.
    origin.is_some() || !call.owner.is_stateless() || link.calls.has_one()
}

/// Whether a log message is severe enough for the session or the request.
fn wants(call: &Call, message: &Message, method: &Method, params: &Params) -> bool {
    match (&call.owner, method) {
        (Owner::Stateless(exchange), Method::LogMessage) => exchange.wants_log(level_of(message, params)),
        (Owner::Direct(direct), Method::LogMessage) => direct.wants_log(level_of(message, params)),
        (owner, _) => severe_enough(owner.session().and_then(|session| session.level()), message, method, params),
    }
}

fn severe_enough(wanted: Option<LogLevel>, message: &Message, method: &Method, params: &Params) -> bool {
    if *method != Method::LogMessage {
        return true;
    }
    level_of(message, params).zip(wanted).is_none_or(|(level, wanted)| level >= wanted)
}

fn level_of(message: &Message, params: &Params) -> Option<LogLevel> {
    params.get(Param::Level).and_then(|at| LogLevel::parse(&message.string(at)?))
}

fn progress(link: &Arc<Link>, message: &Message, params: &Params) {
    let token = params.get(Param::ProgressToken);
    let id = token.and_then(|token| number(message.bytes(token)));
    let Some((at, call)) = token.zip(id.and_then(|id| link.calls.find(id))) else {
        id.into_iter().for_each(|id| link.calls.left_progressed(id, link.now()));
        link.count_dropped();
        return;
    };
    call.progressed(link.now());
    let Some(with) = call.progress_token() else { return };
    let text = message.rewritten(&mut [Edit { at, with: &with }]);
    if call.deliver_marked(Item::Notification(text)).is_err() {
        link.count_dropped();
    }
}

fn cancelled(link: &Arc<Link>, message: &Message, params: &Params) {
    let Some(at) = params.get(Param::RequestId) else { return };
    let (session, ours) = match link.end_asking(message.bytes(at)) {
        Some(Whom::Session(session, ours)) => (session, ours),
        Some(Whom::Exchange(exchange)) => {
            return exchange.upgrade().iter().for_each(|exchange| exchange.withdraw(message.bytes(at)));
        }
        None => return,
    };
    let Some(session) = session.upgrade() else { return };
    if session.take_asked(ours).is_some() {
        let number = ours.to_string();
        let text = message.rewritten(&mut [Edit { at, with: number.as_bytes() }]);
        // A client that cannot be told will find its answer unwanted.
        let _full = session.mailbox.push(Item::Notification(text));
    }
}

/// The upstream agrees to tell of changes: that belongs to the stream that was asked for.
fn acknowledged(link: &Arc<Link>, message: &Message, params: &Params) {
    // MCP 2026-07-28, Subscriptions: its id is that of the request.
    let call = subscription(message, params).and_then(|id| link.calls.find(number(id.as_bytes())?));
    match call.filter(|call| call.is_bridges_own()) {
        Some(call) => hand_over(link, &call, message.rewritten(&mut [])),
        None => link.count_dropped(),
    }
}

/// Whether a change belongs to a subscription that stands, or to none.
fn is_listened_for(link: &Link, message: &Message, params: &Params) -> bool {
    // MCP 2026-07-28, stdio: all subscriptions share one channel, and are told apart by their id.
    subscription(message, params).is_none_or(|id| {
        number(id.as_bytes()).and_then(|id| link.calls.find(id)).is_some_and(|call| call.is_bridges_own())
    })
}

/// `_meta.io.modelcontextprotocol/subscriptionId`, JSON.
fn subscription<'a>(message: &'a Message, params: &Params) -> Option<&'a str> {
    let own = message.json(params.get(Param::Meta)?);
    let [id] = object::members(own, &[meta::SUBSCRIPTION_ID]).ok()?;
    id
}

fn resource_updated(link: &Arc<Link>, message: &Message, params: &Params) {
    if subscription(message, params).is_some()
        && let Some(at) = params.get(Param::Meta)
    {
        // The bridge's own; each listener has another.
        let mut edits = object::without(message.json(at), at, |name| name == meta::SUBSCRIPTION_ID);
        return receive_one(link, message.rewritten(&mut edits), None);
    }
    let Some(uri) = params.get(Param::Uri).and_then(|at| message.string(at)) else { return };
    let text = message.rewritten(&mut []);
    for subscriber in link.hub.subscribers_of(link.index, &uri) {
        match subscriber {
            // A session that just ended need not hear of it.
            Subscriber::Session(session) => drop(session.mailbox.push(Item::Notification(text.clone()))),
            Subscriber::Listener(listener) => listener.resource_updated(message, params),
        }
    }
}

fn request(link: &Arc<Link>, message: &Message, (id, method, params): (Span, &Method, &Params), origin: Option<u64>) {
    if link.speaks() == Speaks::Stateless {
        // MCP 2026-07-28, Receiving Messages: a server sends none, and none is answered.
        return link.count_garbage(message.text().as_bytes(), "a request, which this version does not know");
    }
    let their_id = Bytes::copy_from_slice(message.bytes(id));
    let refuse = |code: i32, text: &str| link.tell_now(reply::error(&their_id, code, text));
    if *method == Method::Ping {
        return link.tell_now(reply::result(&their_id, b"{}"));
    }
    let call = owner(link, origin);
    if call.as_ref().is_some_and(|call| matches!(call.owner, Owner::Stateless(_))) {
        // Its question becomes the answer of one call, so that it is not enough to be of some call of the caller.
        let call = if origin.is_some() { call } else { link.calls.that_asks(link.now()) };
        return match call.as_ref().map(|call| &call.owner) {
            Some(Owner::Stateless(exchange)) => question::ask(link, exchange, message, (id, method, params)),
            _ => refuse_nobodys(link, &their_id),
        };
    }
    let session = match &call {
        Some(call) => call.owner.session().map(Arc::clone),
        None => link.sole_session().filter(|_| origin.is_none()),
    };
    if call.is_none() && session.is_none() {
        link.count_nobodys(method);
        return refuse_nobodys(link, &their_id);
    }
    let Some(session) = session.filter(|session| can(session, message, method, params)) else {
        return refuse(reply::METHOD_NOT_FOUND, "The client cannot do this");
    };
    let ours = link.hub.next_ask();
    let progress_token = params.wanted_progress().map(|at| Bytes::copy_from_slice(message.bytes(at)));
    if !link.begin_asking(their_id.clone(), Whom::Session(Arc::downgrade(&session), ours)) {
        return refuse(reply::INVALID_REQUEST, "A request with this id is under way");
    }
    let asked = Asked::Request { link: Arc::downgrade(link), id: their_id.clone(), progress_token };
    let number = ours.to_string();
    let mut edits = vec![Edit { at: id, with: number.as_bytes() }];
    // The same number is the progress token: two upstreams may have chosen one and the same.
    edits.extend(params.wanted_progress().map(|at| Edit { at, with: number.as_bytes() }));
    let text = message.rewritten(&mut edits);
    let deliver = |item| match &call {
        Some(call) => call.deliver(item),
        None => session.mailbox.push(item),
    };
    if *method == Method::Elicit {
        link.elicited.note(&session, message, params);
    }
    if session.ask(ours, asked).is_err() || deliver(Item::Request(text)).is_err() {
        drop(session.take_asked(ours));
        drop(link.end_asking(&their_id));
        refuse(reply::UNAVAILABLE, "The client does not take requests at the moment");
    }
}

/// Refuses a question of which it is not known whose it is. Who kept the next one from being known may have to make way.
fn refuse_nobodys(link: &Arc<Link>, id: &[u8]) {
    link.hub.parked.make_way(&link.calls.in_the_way(link.now()), link.hub.clock.now());
    link.tell_now(reply::error(id, reply::UNAVAILABLE, NOBODYS));
}

/// Whether the session's client declared what the request needs.
#[must_use]
pub fn can(session: &Session, message: &Message, method: &Method, params: &Params) -> bool {
    Need::of(message, method, params).is_some_and(|need| session.features.has(need))
}

fn owner(link: &Link, origin: Option<u64>) -> Option<Arc<Call>> {
    match origin {
        Some(id) => link.calls.find(id),
        None => link.calls.of_sole_owner(link.now()),
    }
}

/// A number of ours, as it is written.
#[must_use]
pub fn number(json: &[u8]) -> Option<u64> {
    std::str::from_utf8(json).ok()?.parse().ok().filter(|_| json.first() != Some(&b'+'))
}

/// Passes a client's answer on to the upstream that asked. False when this session was not asked under this id.
pub async fn answered(session: &Session, message: &Message, id: Span) -> bool {
    let Some(number) = number(message.bytes(id)) else { return false };
    let (link, their_id) = match session.take_asked(number) {
        Some(Asked::Request { link, id, .. }) => (link, id),
        Some(Asked::Inquiry(inquiry)) => {
            inquiry.answered(number, message).await;
            return true;
        }
        None => return false,
    };
    let Some(link) = Weak::upgrade(&link) else { return true };
    drop(link.end_asking(&their_id));
    link.calls.left_was_answered(session, link.now());
    let text = message.rewritten(&mut [Edit { at: id, with: &their_id }]);
    if let Err(fault) = link.tell(text).await {
        tracing::warn!(upstream = %link.name, %fault, "a client's answer could not be passed on");
    }
    true
}
