//! What an upstream without sessions tells by itself, on a stream that the bridge asks for: one a connection, for all who
//! want to hear of anything. [MCP 2026-07-28, Subscriptions](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::base::limit::Limit;
use crate::bridge::mailbox::{Event, Mailbox, Reader};
use crate::bridge::stateless::filter::Filter;
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::lists;
use crate::bridge::upstream::wire::Wire;
use crate::protocol::mcp::message::{Kind, Message, Param};
use crate::protocol::mcp::reply;

/// How long the acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the stream is asked for again; doubled each time, up to the next.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::time("acknowledgement of a stateless upstream's changes", PATIENCE, "they are asked for again"),
    Limit::time("pause before changes are asked for again, at most", LONGEST_RETRY, "no longer"),
];
/// How long a stream stays that another one replaced.
const LINGER: Duration = Duration::from_millis(50);
/// The stream stays for as long as the connection.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What is heard on a connection.
#[derive(Debug, Default)]
pub struct Listening {
    wish: Notify,
    heard: watch::Sender<Heard>,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    /// The first stream is there, or there is none to be had.
    is_settled: bool,
    /// The resources that were asked for.
    asked: BTreeSet<String>,
    /// What the upstream agreed to tell.
    agreed: Filter,
}

impl Listening {
    /// Who wants to hear of which resources has changed.
    pub fn wishes_changed(&self) {
        self.wish.notify_one();
    }

    /// Waits until what there is to hear would be heard; not for ever.
    pub async fn settled(&self) {
        let mut heard = self.heard.subscribe();
        let settled = heard.wait_for(|heard| heard.is_settled);
        // A list that is read too early is read again when it changes; one that is never read is worse.
        let _slow = tokio::time::timeout(PATIENCE / 5, settled).await;
    }

    /// Waits until changes of a resource, which somebody newly wants to hear of, are told. False when they will not be.
    pub async fn hears(&self, uri: &str, limit: Duration) -> bool {
        self.wishes_changed();
        let mut heard = self.heard.subscribe();
        let asked = tokio::time::timeout(limit.min(PATIENCE), heard.wait_for(|heard| heard.asked.contains(uri))).await;
        matches!(asked, Ok(Ok(heard)) if heard.agreed.uris.iter().any(|agreed| agreed == uri))
    }

    /// What the upstream agreed to tell.
    #[must_use]
    pub fn agreed(&self) -> Filter {
        self.heard.borrow().agreed.clone()
    }

    fn now_heard(&self, asked: &[String], agreed: Filter) {
        self.heard.send_replace(Heard { is_settled: true, asked: asked.iter().cloned().collect(), agreed });
    }
}

/// An open stream. When this is dropped, it is ended.
struct Stream {
    link: Arc<Link>,
    id: u64,
    reader: Reader,
    asked: Filter,
    agreed: Filter,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.link.abandon(self.id, "Something else is listened to");
    }
}

/// Why there is no stream.
enum NoStream {
    /// The upstream said so.
    Refused,
    /// It was lost, or did not come about.
    Lost,
}

/// Listens as long as the connection stands. Never ends by itself.
pub async fn listen(link: &Arc<Link>) {
    let mut ear = Ear { current: None, since: Instant::now(), wait: RETRY, was_lost: false };
    loop {
        if !ear.tune(link).await || is_over(link, ear.current.as_mut()).await {
            ear.lose().await;
        }
    }
}

/// The stream that is listened to, and how it went with those before it.
struct Ear {
    current: Option<Stream>,
    since: Instant,
    wait: Duration,
    was_lost: bool,
}

impl Ear {
    /// Sees to it that what somebody wants to hear is listened for. False when the way to the upstream failed.
    async fn tune(&mut self, link: &Arc<Link>) -> bool {
        let wish = wish(link);
        if wish == Filter::default() {
            self.current = None;
            link.listening.now_heard(&[], Filter::default());
            return true;
        }
        if self.current.as_ref().is_some_and(|stream| stream.asked == wish) {
            return true;
        }
        match open(link, &wish).await {
            Ok(stream) => self.turn_to(link, stream),
            Err(NoStream::Refused) => self.make_do(link, wish).await,
            Err(NoStream::Lost) => return false,
        }
        true
    }

    fn turn_to(&mut self, link: &Arc<Link>, stream: Stream) {
        link.listening.now_heard(&stream.asked.uris, stream.agreed.clone());
        if std::mem::take(&mut self.was_lost) {
            make_up(link, &stream.asked);
        }
        self.since = Instant::now();
        // The old one is ended after the new one was agreed to, so that nothing falls between them.
        if let Some(old) = self.current.replace(stream) {
            retire(link, old);
        }
    }

    /// One resource that an upstream does not like silences no list.
    async fn make_do(&mut self, link: &Arc<Link>, wish: Filter) {
        if self.current.is_none() {
            self.current = open(link, &Filter { uris: Vec::new(), ..wish.clone() }).await.ok();
        }
        let agreed = self.current.as_ref().map(|stream| stream.agreed.clone());
        link.listening.now_heard(&wish.uris, agreed.unwrap_or_default());
        if let Some(stream) = &mut self.current {
            stream.asked = wish;
        }
    }

    /// Waits a while before the next try: longer when it did not last.
    async fn lose(&mut self) {
        if self.current.take().is_some() && self.since.elapsed() >= LONGEST_RETRY {
            self.wait = RETRY;
        }
        self.was_lost = true;
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_RETRY);
    }
}

/// Ends a stream that another one replaces. Over HTTP the two are two connections, and what was sent on the old one before
/// the other was agreed to may come after that: hearing a thing twice is better than not at all.
fn retire(link: &Link, old: Stream) {
    if !matches!(link.wire(), Wire::Http(_)) {
        return drop(old);
    }
    link.hub.runtime.spawn(async move {
        tokio::time::sleep(LINGER).await;
        drop(old);
    });
}

/// Waits until something else is to be heard, or the stream is over; true in the latter case.
async fn is_over(link: &Link, stream: Option<&mut Stream>) -> bool {
    let Some(stream) = stream else {
        link.listening.wish.notified().await;
        return false;
    };
    loop {
        tokio::select! {
            () = link.listening.wish.notified() => return false,
            event = stream.reader.next() => match event {
                Some(Event::Related(_) | Event::Delayed) => {}
                Some(Event::Last(_) | Event::Passing(_)) | None => return true,
            },
        }
    }
}

/// What there is to hear: the lists that the upstream tells changes of, and the resources that somebody subscribed to.
fn wish(link: &Link) -> Filter {
    let offers = link.hello.get().map(|hello| hello.offers).unwrap_or_default();
    let mut uris = if offers.subscribe { link.hub.subscriptions_of(link.index) } else { Vec::new() };
    uris.sort_unstable();
    Filter { tools: offers.tools_changed, prompts: offers.prompts_changed, resources: offers.resources_changed, uris }
}

async fn open(link: &Arc<Link>, wish: &Filter) -> Result<Stream, NoStream> {
    let params = format!(r#"{{"notifications":{}}}"#, wish.json());
    let text = reply::request(0, "subscriptions/listen", &params);
    let question = Message::parse(Bytes::from(text)).map_err(|_| NoStream::Lost)?;
    let (mailbox, reader) = Mailbox::of_call();
    let mut call = Call::of_bridge(mailbox, FOR_EVER);
    call.accepts_stream = true;
    let id = link.request(call, &question, &[]).await.map_err(|_| NoStream::Lost)?;
    let mut stream = Stream { link: Arc::clone(link), id, reader, asked: wish.clone(), agreed: Filter::default() };
    // MCP 2026-07-28, Acknowledgment: the first message there is.
    match tokio::time::timeout(PATIENCE, stream.reader.next()).await {
        Ok(Some(Event::Related(acknowledgement))) => {
            stream.agreed = agreed(acknowledgement);
            Ok(stream)
        }
        Ok(Some(Event::Last(answer))) if is_refusal(answer.clone()) => {
            let reason = String::from_utf8_lossy(&answer).into_owned();
            tracing::warn!(upstream = %link.name, reason, "an upstream does not tell its changes");
            Err(NoStream::Refused)
        }
        _ => Err(NoStream::Lost),
    }
}

fn agreed(acknowledgement: Bytes) -> Filter {
    let Ok(message) = Message::parse(acknowledgement) else { return Filter::default() };
    let Kind::Notification { params, .. } = message.kind() else { return Filter::default() };
    let filter = params.get(Param::Notifications).and_then(|at| Filter::read_any(message.json(at)).ok());
    filter.unwrap_or_default()
}

/// Whether it is the upstream that says no, and not the way to it that failed.
fn is_refusal(answer: Bytes) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
    let code = answer.pointer("/error/code").and_then(serde_json::Value::as_i64);
    code.is_some_and(|code| code != i64::from(reply::UNAVAILABLE) && code != i64::from(reply::TIMED_OUT))
}

/// What may have changed while nobody listened.
fn make_up(link: &Arc<Link>, wish: &Filter) {
    if let Some(hello) = link.hello.get() {
        link.changes.add(lists::all_changes(hello.offers));
    }
    for uri in &wish.uris {
        let params = format!(r#"{{"uri":{}}}"#, serde_json::Value::from(uri.as_str()));
        inbound::receive(link, reply::notification("notifications/resources/updated", Some(&params)), None);
    }
}
