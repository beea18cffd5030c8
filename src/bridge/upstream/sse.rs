//! An upstream that speaks HTTP+SSE. [MCP 2024-11-05, HTTP with SSE](https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse)
//!
//! One event stream, opened by GET, brings everything, and it is the connection: when it ends, all is lost. Its first
//! event says where messages are to be POSTed. Nobody's messages are marked on it, so it is as with a child's output.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::bridge::upstream::inbound;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::remote::{MAX_MESSAGE, Remote, TELL, fail, refusal};
use crate::config::section::HttpUpstream;
use crate::fetch::{FetchError, Response, Verb};
use crate::protocol::mcp::event_stream::{Event, Parser};
use crate::protocol::mcp::header;
use crate::protocol::mcp::version::ProtocolVersion;

/// How long the stream may go without its first event.
const FIRST_EVENT: Duration = Duration::from_secs(60);
/// The longest address that a server may name.
const MAX_ENDPOINT: usize = 8192;
/// What a server says to a POST beside its status is not read further than this.
const MAX_SAID: usize = 64 * 1024;
/// How long, at least, a server may go on with a POST whose call was answered on the stream.
const LINGER: Duration = Duration::from_secs(10);

/// The way to a server.
#[derive(Debug)]
pub struct SseWire {
    remote: Remote,
    messages: Url,
    version: OnceLock<ProtocolVersion>,
}

/// The stream on which everything comes.
#[derive(Debug)]
pub struct Incoming {
    response: Response,
    parser: Parser,
    /// What came together with the first event.
    early: Vec<Event>,
}

/// Why a message was not taken.
struct Untaken {
    reason: String,
    /// The server does not know this connection any more, or there is no server.
    is_lost: bool,
}

impl SseWire {
    /// Opens the stream and waits to be told where messages go, no longer than `limit`.
    ///
    /// # Errors
    /// In words, why there is no connection.
    pub async fn open(settings: &HttpUpstream, limit: Duration) -> Result<(Self, Incoming), String> {
        let remote = Remote::new(settings)?;
        let opened = async {
            // MCP 2024-11-05: the client opens an SSE connection.
            let headers = vec![("accept", header::EVENT_STREAM), ("cache-control", "no-store")];
            let response =
                remote.send(Verb::Get, &settings.url, headers, None).await.map_err(|error| error.to_string())?;
            if let Some(reason) = refusal(response.status()) {
                return Err(reason);
            }
            if response.media_type() != header::EVENT_STREAM {
                return Err("The MCP server answered GET with something else than an event stream".to_owned());
            }
            first_event(response).await
        };
        let opened = tokio::time::timeout(limit.min(FIRST_EVENT), opened).await;
        let (endpoint, incoming) =
            opened.unwrap_or_else(|_| Err("it did not say in time where messages go".to_owned()))?;
        let messages = resolve(settings, &endpoint)?;
        Ok((Self { remote, messages, version: OnceLock::new() }, incoming))
    }

    /// From now on, requests name this version.
    pub fn negotiated(&self, version: ProtocolVersion) {
        // Set once: `initialize` is answered once.
        let _second = self.version.set(version);
    }

    /// Sends a call. Its answer comes on the stream.
    pub async fn call(self: Arc<Self>, link: Arc<Link>, id: u64, text: Bytes) {
        let posted = tokio::select! {
            posted = self.post(text) => posted,
            // Some servers go on with the POST until they have answered on the stream; none needs to after that.
            () = answered(&link, id) => return,
        };
        if let Err(untaken) = posted {
            fail(&link, id, &untaken.reason);
            if untaken.is_lost {
                link.lose(&untaken.reason);
            }
        }
    }

    /// Sends a notification or an answer.
    pub async fn tell(self: Arc<Self>, link: Arc<Link>, text: Bytes) {
        let Some(_leave) = self.remote.leave_to_tell() else { return link.count_dropped() };
        let late = || Err(Untaken { reason: "it did not take it in time".to_owned(), is_lost: false });
        let posted = tokio::time::timeout(TELL, self.post(text)).await;
        if let Err(untaken) = posted.unwrap_or_else(|_| late()) {
            let reason = untaken.reason;
            tracing::warn!(upstream = %link.name, reason, "an upstream did not take a notification or an answer");
            if untaken.is_lost {
                link.lose(&reason);
            }
        }
    }

    async fn post(&self, text: Bytes) -> Result<(), Untaken> {
        let mut headers = vec![("accept", "application/json, text/event-stream"), ("content-type", header::JSON)];
        headers.extend(self.version.get().map(|version| (header::PROTOCOL_VERSION, version.as_str())));
        let sent = self.remote.send(Verb::Post, &self.messages, headers, Some(text)).await;
        let response = sent
            .map_err(|error| Untaken { is_lost: matches!(error, FetchError::Connect(_)), reason: error.to_string() })?;
        if let Some(reason) = refusal(response.status()) {
            // Not in the specification, but what every server says whose process or table no longer has the session.
            let is_lost = response.status() == 404;
            let reason =
                if is_lost { "The MCP server forgot its session; it is being opened again".to_owned() } else { reason };
            return Err(Untaken { reason, is_lost });
        }
        // Read to the end, so that the connection can be used again. The answer is on the stream.
        drop(response.collect(MAX_SAID).await);
        Ok(())
    }
}

/// Hands on what comes, until the stream ends or the connection is lost.
pub async fn read(link: Arc<Link>, incoming: Incoming) {
    let Incoming { mut response, mut parser, early } = incoming;
    let hand_on = |events: Vec<Event>| {
        for event in events.into_iter().filter(Event::is_message) {
            inbound::receive(&link, event.data, None);
        }
    };
    hand_on(early);
    let mut lost = pin!(link.lost());
    let reason = loop {
        let piece = tokio::select! {
            piece = response.chunk() => piece,
            _ = &mut lost => return,
        };
        match piece.map(|piece| piece.map(|piece| parser.push(&piece))) {
            Ok(Some(Ok(events))) => hand_on(events),
            Ok(Some(Err(fault))) => break fault.to_string(),
            Ok(None) => break "it ended its event stream".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    link.lose(&reason);
}

/// Waits until a call was answered, and some time more.
async fn answered(link: &Link, id: u64) {
    while link.find_call(id).is_some() {
        tokio::time::sleep(LINGER).await;
    }
    tokio::time::sleep(LINGER).await;
}

/// Reads up to the event that says where messages go.
async fn first_event(mut response: Response) -> Result<(String, Incoming), String> {
    let mut parser = Parser::new(MAX_MESSAGE);
    loop {
        let piece = response.chunk().await.map_err(|error| error.to_string())?;
        let piece = piece.ok_or("it ended its event stream before it said where messages go")?;
        let mut events = parser.push(&piece).map_err(|error| error.to_string())?.into_iter();
        // MCP 2024-11-05: the server MUST send an `endpoint` event when a client connects.
        if let Some(endpoint) = events.find(|event| event.name == "endpoint") {
            let text = std::str::from_utf8(&endpoint.data).ok().filter(|text| text.len() <= MAX_ENDPOINT);
            let text = text.ok_or("it named no address for messages")?.trim().to_owned();
            return Ok((text, Incoming { response, parser, early: events.collect() }));
        }
    }
}

/// Where messages go. Credentials go with them, so the server alone may not send them to somebody else.
fn resolve(settings: &HttpUpstream, endpoint: &str) -> Result<Url, String> {
    let mut url = settings.url.join(endpoint).map_err(|_| "it named no address for messages")?;
    if let Some(message_url) = &settings.message_url {
        let mut chosen = message_url.clone();
        if chosen.path() == "/" {
            chosen.set_path(url.path());
        }
        // The query is the server's: it names the session.
        chosen.set_query(url.query());
        return Ok(chosen);
    }
    if url.origin() != settings.url.origin() || !url.username().is_empty() || url.password().is_some() {
        let (theirs, ours) = (url.origin().ascii_serialization(), settings.url.origin().ascii_serialization());
        return Err(format!(
            "it wants messages sent to {theirs}, which is not {ours}; if that is right, write message_url"
        ));
    }
    url.set_fragment(None);
    Ok(url)
}
