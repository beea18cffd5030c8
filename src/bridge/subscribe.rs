//! What sessions set up on a shared connection: subscriptions, and the level of log messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::bridge::hub::Hub;
use crate::bridge::post::{self, Begun, Caller, RETRY_AFTER};
use crate::bridge::request;
use crate::bridge::subscribers::{Subscriber, Subscription};
use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::{AskFault, Link};
use crate::bridge::upstream::wire::SendFault;
use crate::bridge::{Bridge, Refusal};
use crate::protocol::mcp::log_level::LogLevel;
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::Edit;

/// How long setting the level waits for all upstreams.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::time("setting the log level at one upstream", PATIENCE, "it keeps its level")];

impl Bridge {
    /// `resources/subscribe`: the upstream is subscribed to once, for all sessions.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        message: &Message,
        params: &Params,
    ) -> Result<Begun, Refusal> {
        let session = caller.session().ok_or(Refusal::SessionRequired)?;
        let (upstream, uri) = match self.upstream_of(caller, message, params.get(Param::Uri)).await? {
            Ok(found) => found,
            Err(error) => return Ok(Begun::Answered(error)),
        };
        let subscription = (upstream.index, uri);
        let subscriber = Subscriber::Session(Arc::clone(session));
        let limit = upstream.settings.timeout.min(self.request_timeout);
        let (hub, upstream, message) = (Arc::clone(&self.hub), Arc::clone(upstream), message.clone());
        // MCP 2025-11-25, Sending Messages: a client that disconnects cancels nothing. So this goes on without it, and what is
        // noted is what the upstream says.
        let subscribed = self.hub.runtime.spawn(async move {
            match stateless_link(&upstream) {
                Some(link) => Ok(listened_for(&message, &link, subscription, subscriber, limit).await),
                None => subscribed(&hub, &upstream, &message, (subscription, subscriber), limit).await,
            }
        });
        subscribed.await.unwrap_or(Err(Refusal::Busy { retry_after: RETRY_AFTER })).map(Begun::Answered)
    }

    /// `resources/unsubscribe`: the upstream hears of it when the last session leaves.
    pub(super) async fn unsubscribe(
        &self,
        caller: &Caller,
        message: &Message,
        params: &Params,
    ) -> Result<Begun, Refusal> {
        let session = caller.session().ok_or(Refusal::SessionRequired)?;
        let (upstream, uri) = match self.upstream_of(caller, message, params.get(Param::Uri)).await? {
            Ok(found) => found,
            Err(error) => return Ok(Begun::Answered(error)),
        };
        if !self.hub.unsubscribe(&(upstream.index, uri), &Subscriber::Session(Arc::clone(session))) {
            return Ok(Begun::Answered(done(message)));
        }
        if let Some(link) = stateless_link(upstream) {
            link.listening.wishes_changed();
            return Ok(Begun::Answered(done(message)));
        }
        let limit = upstream.settings.timeout.min(self.request_timeout);
        let answer = ask_for(message, upstream, "resources/unsubscribe", limit).await?;
        Ok(Begun::Answered(answer.unwrap_or_else(|error| error)))
    }

    /// `logging/setLevel`: upstreams send what the most curious session wants; the rest is held back from the others.
    pub(super) async fn set_level(
        &self,
        caller: &Caller,
        message: &Message,
        params: &Params,
    ) -> Result<Begun, Refusal> {
        let session = caller.session().ok_or(Refusal::SessionRequired)?;
        let Some(level) = params.get(Param::Level).and_then(|at| LogLevel::parse(&message.string(at)?)) else {
            return Ok(Begun::Answered(post::error(message, reply::INVALID_PARAMS, "Unknown log level")));
        };
        let logs = |upstream: &&Arc<Upstream>| upstream.hello().is_some_and(|hello| hello.offers.logging);
        let logging: Vec<_> = caller.own.iter().filter(logs).collect();
        if logging.is_empty() {
            return Ok(Begun::Answered(post::error(
                message,
                reply::METHOD_NOT_FOUND,
                "No MCP server here sends log messages",
            )));
        }
        session.set_level(level);
        let lowest = |upstream: &Upstream| self.hub.sessions.lowest_level(&upstream.tenant).unwrap_or(level);
        let told = logging.into_iter().map(|upstream| set_level_of(upstream, lowest(upstream)));
        futures_util::future::join_all(told).await;
        Ok(Begun::Answered(done(message)))
    }
}

/// Subscribes a session to a resource of an upstream that knows sessions. Gives the answer to its request.
async fn subscribed(
    hub: &Arc<Hub>,
    upstream: &Arc<Upstream>,
    message: &Message,
    (subscription, subscriber): (Subscription, Subscriber),
    limit: Duration,
) -> Result<Bytes, Refusal> {
    let uri = subscription.1.clone();
    let Some(asking) = hub.subscribe(subscription, &subscriber) else { return Ok(done(message)) };
    let answer = ask_for(message, upstream, "resources/subscribe", limit).await;
    let is_unwanted = if matches!(answer, Ok(Ok(_))) { asking.agreed() } else { asking.refused() };
    if is_unwanted {
        unsubscribe_later(hub, upstream, uri);
    }
    answer.map(|answer| answer.unwrap_or_else(|error| error))
}

/// The same, of an upstream without sessions.
async fn listened_for(
    message: &Message,
    link: &Link,
    subscription: Subscription,
    subscriber: Subscriber,
    limit: Duration,
) -> Bytes {
    match listen_for(link, subscription, subscriber, limit).await {
        true => done(message),
        false => {
            let text = "The MCP server does not tell when this resource changes";
            post::error(message, reply::UNAVAILABLE, text)
        }
    }
}

/// Puts a client's request to an upstream in the bridge's own name. The inner `Err` is the answer to give then.
async fn ask_for(
    message: &Message,
    upstream: &Arc<Upstream>,
    method: &'static str,
    limit: Duration,
) -> Result<Result<Bytes, Bytes>, Refusal> {
    let Kind::Request { id, params, .. } = message.kind() else { return Err(Refusal::SessionRequired) };
    let Some(link) = upstream.link() else { return Ok(Err(request::unavailable(message, upstream))) };
    let params = params.whole().map_or("{}", |at| message.json(at));
    let theirs = |answer: &Message| with_id(answer, message.bytes(*id));
    match link.ask(method, params, limit).await {
        Ok(answer) => Ok(Ok(theirs(&answer))),
        Err(AskFault::Send(SendFault::Busy)) => Err(Refusal::Busy { retry_after: RETRY_AFTER }),
        Err(AskFault::Refused(_, answer)) => match Message::parse(answer) {
            Ok(answer) => Ok(Err(theirs(&answer))),
            Err(_) => Ok(Err(request::unavailable(message, upstream))),
        },
        Err(AskFault::TimedOut(_)) => {
            Ok(Err(post::error(message, reply::TIMED_OUT, "The MCP server did not answer in time")))
        }
        Err(AskFault::Send(SendFault::Lost) | AskFault::Lost(_)) => Ok(Err(request::unavailable(message, upstream))),
    }
}

/// The connection to an upstream that knows no subscriptions but is listened to.
pub(super) fn stateless_link(upstream: &Upstream) -> Option<Arc<Link>> {
    upstream.link().filter(|link| link.speaks() == Speaks::Stateless)
}

/// Has a subscriber hear of a resource of an upstream without sessions. False when there is nothing to hear of it.
pub(super) async fn listen_for(
    link: &Link,
    subscription: Subscription,
    subscriber: Subscriber,
    limit: Duration,
) -> bool {
    if !link.hello.get().is_some_and(|hello| hello.offers.subscribe) {
        return false;
    }
    // Noted first: what somebody is subscribed to is what is listened for.
    let uri = subscription.1.clone();
    let Some(asking) = link.hub.subscribe(subscription, &subscriber) else { return true };
    let hears = link.listening.hears(&uri, limit).await;
    let is_unwanted = if hears { asking.agreed() } else { asking.refused() };
    if is_unwanted || !hears {
        link.listening.wishes_changed();
    }
    hears
}

/// Unsubscribes for somebody who is gone.
pub(super) fn unsubscribe_later(hub: &Arc<Hub>, upstream: &Arc<Upstream>, uri: String) {
    let Some(link) = upstream.link() else { return };
    if link.speaks() == Speaks::Stateless {
        return link.listening.wishes_changed();
    }
    let (owned_hub, upstream) = (Arc::clone(hub), Arc::clone(upstream));
    hub.runtime.spawn(async move {
        let subscription = (upstream.index, uri);
        if owned_hub.is_wanted(&subscription) {
            // Somebody else came in the meantime.
            return;
        }
        let params = format!(r#"{{"uri":{}}}"#, serde_json::Value::from(subscription.1));
        if let Err(fault) = link.ask("resources/unsubscribe", &params, upstream.settings.timeout).await {
            tracing::debug!(upstream = upstream.name(), %fault, "a subscription that nobody has any more could not be ended");
        }
    });
}

async fn set_level_of(upstream: &Arc<Upstream>, level: LogLevel) {
    let Some(link) = upstream.link() else { return };
    // One that is down is told when it comes back.
    upstream.set_level(&link, level, upstream.settings.timeout.min(PATIENCE)).await;
}

/// Has an upstream say at least as much as one request wants to hear. It is not undone: what nobody wants is held back
/// from everybody, and the next session to say what it wants sets the level anew.
pub(super) async fn lower_level(upstream: &Upstream, link: &Arc<Link>, wanted: LogLevel) {
    let offers = link.hello.get().is_some_and(|hello| hello.offers.logging);
    // UNSET ranks above all.
    if offers && wanted.rank() < link.log_level.load(Ordering::Relaxed) {
        // A session may want more, and that may be on its way since the upstream came back.
        let wanted = link.hub.sessions.lowest_level(&upstream.tenant).map_or(wanted, |lowest| lowest.min(wanted));
        upstream.set_level(link, wanted, upstream.settings.timeout.min(PATIENCE)).await;
    }
}

fn with_id(answer: &Message, id: &[u8]) -> Bytes {
    match answer.kind() {
        Kind::Answer { id: Some(at), .. } => answer.rewritten(&mut [Edit { at: *at, with: id }]),
        _ => answer.rewritten(&mut []),
    }
}

fn done(message: &Message) -> Bytes {
    match message.kind() {
        Kind::Request { id, .. } => reply::result(message.bytes(*id), b"{}"),
        _ => Bytes::new(),
    }
}
