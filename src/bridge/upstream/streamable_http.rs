//! An upstream behind a URL. [MCP 2025-11-25, Streamable HTTP](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http)

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;

use crate::base::limit::Limit;
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::pass::{self, Pass};
use crate::bridge::upstream::remote::{self, ACCEPTANCE, MAX_MESSAGE, Remote, fail};
use crate::bridge::upstream::stateless::{dress, probe};
use crate::bridge::upstream::wire::Wire;
use crate::config::section::HttpUpstream;
use crate::fetch::{self, Begun, FetchError, Prepared, Response, Verb};
use crate::protocol::mcp::event_stream::{Event, Parser};
use crate::protocol::mcp::header;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

/// Before a broken stream is opened again, unless the server names another time.
const RECONNECT: Duration = Duration::from_secs(1);
/// A server may not make us wait longer than this, nor less than the next one.
const LONGEST_RECONNECT: Duration = Duration::from_secs(30);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::time(
    "pause before a broken stream of an upstream is resumed",
    LONGEST_RECONNECT,
    "no longer, whatever it asks for",
)];
const SHORTEST_RECONNECT: Duration = Duration::from_millis(10);
const TOOLS_CALL: &str = "tools/call";
/// A server is not asked more often than once in so many milliseconds which era it speaks now.
const DOUBTED: u64 = 10_000;
const CHANGED: &str = "it speaks another era of the protocol than it did";
/// How long telling the server that its session is over may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The way to a server.
#[derive(Debug)]
pub struct HttpWire {
    remote: Remote,
    session_id: OnceLock<String>,
    version: OnceLock<ProtocolVersion>,
    /// What all POST requests have in common, from when the version is known.
    posts: OnceLock<Prepared>,
    /// The same for a `tools/call` with a name to a server without sessions, with `Mcp-Method` and a place for `Mcp-Name`: these are
    /// nearly all.
    tool_calls: OnceLock<Prepared>,
    may_be_older: AtomicBool,
    /// It is being asked which era it speaks now; and when that was last asked, in milliseconds of the connection.
    is_doubted: AtomicBool,
    doubted_at: AtomicU64,
}

/// What became of one stream of a call.
enum Ended {
    Answered,
    /// It may be taken up again after this event.
    Interrupted(String, Duration),
    Failed(String),
}

impl HttpWire {
    /// A way to the server; nothing is sent yet.
    ///
    /// # Errors
    /// In words, why there can be none.
    pub fn new(settings: &HttpUpstream) -> Result<Self, String> {
        Ok(Self {
            remote: Remote::new(settings)?,
            session_id: OnceLock::new(),
            version: OnceLock::new(),
            posts: OnceLock::new(),
            tool_calls: OnceLock::new(),
            may_be_older: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
            doubted_at: AtomicU64::new(0),
        })
    }

    /// From now on, requests name this version.
    pub fn negotiated(&self, version: ProtocolVersion) {
        // Set once: `initialize` is answered once.
        let _second = self.version.set(version);
        // What cannot be sent is told to each request.
        if let Ok(posts) = self.prepare(Verb::Post, None) {
            if version == ProtocolVersion::STATELESS {
                let _second = self.tool_calls.set(for_tools(posts.clone()));
            }
            let _second = self.posts.set(posts);
        }
    }

    /// Whether the server refused `initialize` as one does that speaks HTTP+SSE (2024-11-05).
    #[must_use]
    pub fn may_be_older(&self) -> bool {
        self.may_be_older.load(Ordering::Relaxed)
    }

    /// Carries a call: sends it, and brings back everything that comes for it.
    pub async fn call(self: Arc<Self>, link: Arc<Link>, id: u64, call: Arc<Call>, text: Bytes) {
        let own = call.onward.header.as_ref().unwrap_or(fetch::NOTHING);
        // One future that is either: two would stand beside each other in the work of every call.
        let posted = match self.prepared(own) {
            Some(prepared) => Either::Left(self.remote.send_prepared(prepared, own, Some(text))),
            None => Either::Right(Box::pin(self.post(text, own))),
        };
        let mut response = match posted.await {
            Ok(response) => response,
            Err(error) => {
                fail(&link, id, &error.to_string());
                // No connection at all: the others would fare no better. Anything else is this call's own bad luck.
                if matches!(error, FetchError::Connect(_)) {
                    link.lose(&error.to_string());
                }
                return;
            }
        };
        if call.onward.header.is_none() {
            self.note_session(&response);
        }
        // What is rare and large is boxed, here and below: it would make the work of every call as large.
        if let Some(reason) = self.refusal(&response) {
            return Box::pin(self.refused(&link, (id, &call), response, reason)).await;
        }
        let mut ended = self.bring(&link, (id, &call), &mut response).await;
        drop(response);
        if let Ended::Interrupted(..) = ended {
            ended = Box::pin(self.resume(&link, (id, &call), ended)).await;
        }
        if let Ended::Failed(reason) = ended {
            fail(&link, id, &reason);
        }
    }

    /// Ends a call whose request was refused.
    async fn refused(&self, link: &Arc<Link>, (id, call): (u64, &Arc<Call>), response: Response, reason: String) {
        let is_session_lost = self.is_session_lost(&response);
        // MCP 2025-11-25, Backwards Compatibility: these statuses to `initialize`.
        let is_older = self.version.get().is_none() && matches!(response.status(), 400 | 404 | 405);
        self.may_be_older.store(is_older && call.onward.header.is_none(), Ordering::Relaxed);
        let (status, mut code) = (response.status(), None);
        // The reason may be in a JSON-RPC error that is meant for the caller.
        if matches!(status, 400 | 404..=499) && response.media_type() == header::JSON {
            let error = response.collect(MAX_MESSAGE).await.unwrap_or_default();
            code = error_code(&error);
            inbound::receive(link, error, Some(id));
        }
        match is_older {
            // Not worth a word of the log: the older way may be tried next.
            true => link.calls.take(id).iter().for_each(|call| call.fail(reply::UNAVAILABLE, &reason)),
            false => fail(link, id, &reason),
        }
        if is_session_lost {
            link.lose("the server forgot the session");
        } else if self.version.get().is_some() {
            self.doubt(link, call, (status, code));
        }
    }

    /// Whether a refusal is one of another era than the server's: it may be another server by now. MCP 2026-07-28, Backward
    /// Compatibility: asked again when what was found turns out to be wrong.
    fn doubt(&self, link: &Arc<Link>, call: &Call, (status, code): (u16, Option<i32>)) {
        let is_asking = probe::is_asking(call);
        match (link.speaks(), status, code) {
            (Speaks::Sessions, 400, Some(reply::UNSUPPORTED_VERSION | reply::HEADER_MISMATCH)) if !is_asking => {
                self.ask_again(link);
            }
            // These are the era's own.
            (
                Speaks::Stateless,
                400,
                Some(
                    reply::UNSUPPORTED_VERSION
                    | reply::HEADER_MISMATCH
                    | reply::MISSING_CAPABILITY
                    | reply::INVALID_PARAMS,
                ),
            )
            | (Speaks::Stateless, 404, Some(reply::METHOD_NOT_FOUND)) => {}
            (Speaks::Stateless, 400 | 404 | 405, _) if is_asking => link.lose(CHANGED),
            (Speaks::Stateless, 400 | 404, _) => self.ask_again(link),
            _ => {}
        }
    }

    /// Asks which era the server speaks now; the connection is lost if that is another.
    fn ask_again(&self, link: &Arc<Link>) {
        let (now, before) = (link.now(), self.doubted_at.load(Ordering::Relaxed));
        let is_early = before != 0 && now < before.saturating_add(DOUBTED);
        if is_early || self.is_doubted.swap(true, Ordering::Relaxed) {
            return;
        }
        self.doubted_at.store(now.max(1), Ordering::Relaxed);
        let asked = Arc::clone(link);
        link.hub.runtime.spawn(async move {
            if probe::has_changed(&asked).await {
                asked.lose(CHANGED);
            }
            if let Wire::Http(wire) = asked.wire() {
                wire.is_doubted.store(false, Ordering::Relaxed);
            }
        });
    }

    /// Takes up the stream of a call that broke off, for as long as it can be.
    async fn resume(&self, link: &Arc<Link>, (id, call): (u64, &Arc<Call>), mut ended: Ended) -> Ended {
        while let Ended::Interrupted(last_id, wait) = ended {
            // A server that wants to be asked again later: our client, too, gets something to come back with.
            if call.accepts_stream {
                call.mailbox.delay();
            }
            tokio::time::sleep(wait).await;
            ended = match self.get(Some(&last_id)).await {
                Ok(mut response) => match self.refusal(&response) {
                    Some(reason) => Ended::Failed(reason),
                    None => self.bring(link, (id, call), &mut response).await,
                },
                Err(error) => Ended::Failed(error.to_string()),
            };
        }
        ended
    }

    /// Sends a notification or an answer.
    pub async fn tell(self: Arc<Self>, link: Arc<Link>, text: Bytes) {
        let Some(_leave) = self.remote.leave_to_tell() else { return link.count_dropped() };
        let posted = async {
            let response = self.post(text, fetch::NOTHING).await.map_err(|error| error.to_string())?;
            if let Some(reason) = self.refusal(&response) {
                return Err(reason);
            }
            // Read to the end, so that the connection can be used again.
            drop(response.collect(MAX_MESSAGE).await);
            Ok(())
        };
        let posted = tokio::time::timeout(ACCEPTANCE, posted).await;
        if let Err(reason) = posted.unwrap_or_else(|_| Err("it did not accept it in time".to_owned())) {
            tracing::warn!(upstream = %link.name, reason, "an upstream did not take a notification or an answer");
        }
    }

    /// Listens to what belongs to no call, as long as the connection stands and the server offers it.
    pub async fn listen(&self, link: &Arc<Link>) {
        let (mut last_id, mut wait) = (None, RECONNECT);
        loop {
            match self.get(last_id.as_deref()).await {
                Ok(response) if response.status() == 200 && response.media_type() == header::EVENT_STREAM => {
                    let parser = self.follow(link, response).await;
                    wait = reconnect_after(&parser);
                    last_id = parser.last_id().map(str::to_owned).or(last_id);
                }
                Ok(response) if self.is_session_lost(&response) => return link.lose("the server forgot the session"),
                Ok(response) if response.status() >= 500 => wait = (wait * 2).min(LONGEST_RECONNECT),
                // MCP 2025-11-25, Listening for Messages: 405 when the server has no such stream.
                Ok(_) => return,
                Err(error @ FetchError::Connect(_)) => return link.lose(&error.to_string()),
                Err(_) => wait = (wait * 2).min(LONGEST_RECONNECT),
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells the server that the session is over.
    pub async fn farewell(&self) {
        // MCP 2025-11-25, Session Management: a session that is no longer needed is ended by DELETE.
        if self.session().is_some() {
            // The server may not care (405), or not be there any more.
            if let Ok(farewell) = self.prepare(Verb::Delete, None) {
                let _answer =
                    tokio::time::timeout(FAREWELL, self.remote.send_prepared(&farewell, fetch::NOTHING, None)).await;
            }
        }
    }

    async fn follow(&self, link: &Arc<Link>, mut response: Response) -> Parser {
        let mut parser = Parser::new(MAX_MESSAGE);
        while let Ok(Some(piece)) = response.chunk().await {
            let Ok(events) = parser.push(&piece) else { break };
            for event in events.into_iter().filter(Event::is_message) {
                inbound::receive(link, event.data, None);
            }
        }
        parser
    }

    /// Brings what comes on a call's own stream, or as its only answer.
    async fn bring(&self, link: &Arc<Link>, (id, call): (u64, &Arc<Call>), response: &mut Response) -> Ended {
        if response.media_type() == header::EVENT_STREAM {
            return Box::pin(bring_events(link, (id, call), response)).await;
        }
        match bring_answer(link, (id, call), response).await {
            Ok(()) => finished(link, id, "the server answered with something else"),
            Err(reason) => Ended::Failed(reason),
        }
    }

    async fn post(&self, text: Bytes, own: &fetch::Own) -> Result<Response, FetchError> {
        if let Some(prepared) = self.prepared(own) {
            return self.remote.send_prepared(prepared, own, Some(text)).await;
        }
        let posts = self.prepare(Verb::Post, None)?;
        let prepared = if own.place.is_some() { for_tools(posts) } else { posts };
        self.remote.send_prepared(&prepared, own, Some(text)).await
    }

    /// What was prepared for a request with these header fields.
    fn prepared(&self, own: &fetch::Own) -> Option<&Prepared> {
        if own.place.is_some() { &self.tool_calls } else { &self.posts }.get()
    }

    async fn get(&self, last_event_id: Option<&str>) -> Result<Response, FetchError> {
        self.remote.send_prepared(&self.prepare(Verb::Get, last_event_id)?, fetch::NOTHING, None).await
    }

    fn prepare(&self, verb: Verb, last_event_id: Option<&str>) -> Result<Prepared, FetchError> {
        let accept = match verb {
            // MCP 2025-11-25, Sending Messages: the client accepts both.
            Verb::Post | Verb::Delete => "application/json, text/event-stream",
            Verb::Get => header::EVENT_STREAM,
        };
        let mut headers: Vec<(&str, &str)> = vec![("accept", accept)];
        headers.extend(self.session().map(|id| (header::SESSION_ID, id)));
        headers.extend(self.version.get().map(|version| (header::PROTOCOL_VERSION, version.as_str())));
        headers.extend(last_event_id.map(|id| (header::LAST_EVENT_ID, id)));
        self.remote.prepare(verb, &self.remote.settings().url, headers)
    }

    fn note_session(&self, response: &Response) {
        // Only the answer to `initialize` may set it; that is the first there is.
        if self.version.get().is_none()
            && let Some(id) = response.header(header::SESSION_ID).filter(|id| header::is_session_id(id))
        {
            let _second = self.session_id.set(id.to_owned());
        }
    }

    fn session(&self) -> Option<&str> {
        // MCP 2026-07-28, Key Changes: there are no sessions, even if `initialize` was sent as well and began one.
        let is_stateless = self.version.get() == Some(&ProtocolVersion::STATELESS);
        self.session_id.get().map(String::as_str).filter(|_| !is_stateless)
    }

    fn is_session_lost(&self, response: &Response) -> bool {
        // MCP 2025-11-25, Session Management: 404 to a request with a session id means a new `initialize`.
        response.status() == 404 && self.session().is_some()
    }

    fn refusal(&self, response: &Response) -> Option<String> {
        if self.is_session_lost(response) {
            return Some("The MCP server forgot its session; it is being opened again".to_owned());
        }
        remote::refusal(response.status())
    }
}

/// The code of a JSON-RPC error.
fn error_code(answer: &[u8]) -> Option<i32> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    i32::try_from(answer.get("error")?.get("code")?.as_i64()?).ok()
}

/// What all of `tools/call` have in common. The place is that of the tool's name.
fn for_tools(posts: Prepared) -> Prepared {
    posts.with(dress::METHOD, TOOLS_CALL).with_place(dress::NAME)
}

/// Brings an answer that comes alone: held whole if it is small, else as it comes.
async fn bring_answer(link: &Arc<Link>, (id, call): (u64, &Arc<Call>), response: &mut Response) -> Result<(), String> {
    match response.begin(pass::held(call)).await.map_err(|error| error.to_string())? {
        Begun::Whole(text) => inbound::receive(link, text, Some(id)),
        Begun::Part(pieces) => Box::pin(bring_large(link, (id, call), response, pieces)).await?,
    }
    Ok(())
}

async fn bring_large(
    link: &Arc<Link>,
    (id, call): (u64, &Arc<Call>),
    response: &mut Response,
    pieces: Vec<Bytes>,
) -> Result<(), String> {
    if let Some(pass) = Pass::begin(link, id, call, &pieces) {
        drop(pieces);
        return pass_answer(link, (id, call), response, pass).await;
    }
    let text = response.collect_after(pieces, MAX_MESSAGE).await.map_err(|error| error.to_string())?;
    inbound::receive(link, text, Some(id));
    Ok(())
}

/// Passes an answer on as it comes.
async fn pass_answer(
    link: &Arc<Link>,
    (id, call): (u64, &Arc<Call>),
    response: &mut Response,
    mut pass: Pass,
) -> Result<(), String> {
    let failed = |error: FetchError| error.to_string();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        pass.push(link, call, &piece).await.map_err(|stopped| pass::stop(link, id, stopped))?;
    }
    pass.finish(link, id).await.map_err(|stopped| pass::stop(link, id, stopped))
}

/// Brings what comes on a call's own stream. A large answer on it goes on as it comes.
async fn bring_events(link: &Arc<Link>, (id, call): (u64, &Arc<Call>), response: &mut Response) -> Ended {
    let mut parser = Parser::new(MAX_MESSAGE);
    let mut tried = false;
    let reason = loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break "the server ended its answer too early".to_owned(),
            Err(error) => break error.to_string(),
        };
        let mut used = 0;
        for part in piece.chunks(pass::PIECE) {
            let events = match parser.push(part) {
                Ok(events) => events,
                Err(error) => return Ended::Failed(error.to_string()),
            };
            tried &= events.is_empty();
            for event in events.into_iter().filter(Event::is_message) {
                // A client that does not read slows this stream down, and no other.
                call.wait_for_room().await;
                inbound::receive(link, event.data, Some(id));
            }
            if link.calls.find(id).is_none() {
                return Ended::Answered;
            }
            used += part.len();
            // What cannot go on now never can: it is held.
            let head = if tried { None } else { parser.under_way(pass::held(call)) };
            tried |= head.is_some();
            if let Some(pass) = head.and_then(|head| Pass::begin(link, id, call, &[head])) {
                let rest = piece.slice(used..);
                drop(piece);
                return match pass_event(link, (id, call), (parser, rest, response), pass).await {
                    Ok(()) => finished(link, id, "the answer was given up"),
                    Err(reason) => Ended::Failed(reason),
                };
            }
        }
    };
    // MCP 2025-11-25, Resumability: a stream with event ids is taken up again with GET and Last-Event-ID.
    match (finished(link, id, &reason), parser.last_id()) {
        // MCP 2026-07-28, Receiving Messages: there is no coming back to a stream. What was under way is lost.
        (Ended::Failed(_), Some(last)) if link.speaks() == Speaks::Sessions => {
            Ended::Interrupted(last.to_owned(), reconnect_after(&parser))
        }
        (ended, _) => ended,
    }
}

/// Passes the rest of an event on as it comes. What went out of it cannot be had again, so that there is no coming back.
async fn pass_event(
    link: &Arc<Link>,
    (id, call): (u64, &Arc<Call>),
    (mut parser, rest, response): (Parser, Bytes, &mut Response),
    mut pass: Pass,
) -> Result<(), String> {
    parser.begin_rest();
    let mut next = Some(rest);
    while let Some(piece) = next {
        for part in piece.chunks(pass::PIECE) {
            let mut data = Vec::with_capacity(part.len());
            let rest = parser.rest(part, &mut data).map_err(|error| error.to_string())?;
            pass.push(link, call, &data).await.map_err(|stopped| pass::stop(link, id, stopped))?;
            match rest.over {
                Some(true) => return pass.finish(link, id).await.map_err(|stopped| pass::stop(link, id, stopped)),
                Some(false) => return Err("the server called its answer something else".to_owned()),
                None => {}
            }
        }
        next = response.chunk().await.map_err(|error: FetchError| error.to_string())?;
    }
    Err("the server ended its answer too early".to_owned())
}

fn finished(link: &Link, id: u64, reason: &str) -> Ended {
    if link.calls.find(id).is_some() { Ended::Failed(reason.to_owned()) } else { Ended::Answered }
}

fn reconnect_after(parser: &Parser) -> Duration {
    parser.retry().map_or(RECONNECT, Duration::from_millis).clamp(SHORTEST_RECONNECT, LONGEST_RECONNECT)
}
