//! An upstream that speaks HTTP+SSE, as before 2025-03-26. [MCP 2024-11-05, HTTP with SSE](https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse)
//!
//! One stream brings everything; its first event says where messages are sent. The stream is the connection: when it
//! ends, so does every call under way, and the next connection is a new session for the server.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::base::limit::Limit;
use crate::bridge::hub::Hub;
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::remote::{self, ACCEPTANCE, MAX_MESSAGE, Remote, fail};
use crate::bridge::upstream::wire::Wire;
use crate::config::section::HttpUpstream;
use crate::fetch::{FetchError, Response, Verb};
use crate::protocol::mcp::event_stream::{Event, Parser};
use crate::protocol::mcp::header;
use crate::protocol::mcp::version::ProtocolVersion;

/// How long a server may take to say where messages are sent.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may go on with a POST whose call was answered on the stream, at least.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read of what it says when it accepts a message; more costs it the kept connection.
const MAX_ACCEPTANCE: usize = 64 * 1024;
/// What is shown of them.
pub const LIMITS: [Limit; 2] = [
    Limit::time("wait for an HTTP+SSE server to say where messages go", PATIENCE, "it is down, and tried again"),
    Limit::bytes("what is read of its acceptance", MAX_ACCEPTANCE, "the connection is not kept"),
];

/// The way to a server whose stream is open.
#[derive(Debug)]
pub struct SseWire {
    remote: Remote,
    target: Url,
    version: OnceLock<ProtocolVersion>,
}

/// The server's stream.
struct Stream {
    response: Response,
    parser: Parser,
    /// Cut off, not taken yet.
    waiting: VecDeque<Event>,
}

/// Opens the stream and a connection over it.
///
/// # Errors
/// In words, why there is none.
pub async fn open(name: &str, index: usize, hub: &Arc<Hub>, settings: &HttpUpstream) -> Result<Arc<Link>, String> {
    let remote = Remote::new(settings)?;
    let opened = tokio::time::timeout(PATIENCE.max(settings.connect_timeout), follow(&remote));
    let (stream, target) =
        opened.await.map_err(|_| "its event stream does not say in time where messages are sent".to_owned())??;
    let wire = SseWire { remote, target, version: OnceLock::new() };
    let link = Link::new(name, index, Arc::clone(hub), Wire::Sse(Arc::new(wire)));
    hub.runtime.spawn(read(Arc::clone(&link), stream));
    Ok(link)
}

impl SseWire {
    /// From now on, requests name this version.
    pub fn negotiated(&self, version: ProtocolVersion) {
        // Set once: `initialize` is answered once.
        let _second = self.version.set(version);
    }

    /// Sends a request. Its answer comes on the stream.
    pub async fn call(self: Arc<Self>, link: Arc<Link>, id: u64, text: Bytes) {
        let posted = tokio::select! {
            posted = self.post(&link, text) => posted,
            // Some servers go on with the POST until they have answered on the stream; none needs to after that.
            () = answered(&link, id) => return,
        };
        if let Err(reason) = posted {
            fail(&link, id, &reason);
        }
    }

    /// Sends a notification or an answer.
    pub async fn tell(self: Arc<Self>, link: Arc<Link>, text: Bytes) {
        let Some(_leave) = self.remote.leave_to_tell() else { return link.count_dropped() };
        let posted = tokio::time::timeout(ACCEPTANCE, self.post(&link, text)).await;
        if let Err(reason) = posted.unwrap_or_else(|_| Err("it did not accept it in time".to_owned())) {
            tracing::warn!(upstream = %link.name, reason, "an upstream did not take a notification or an answer");
        }
    }

    /// Sends a message; says why it was not taken. Ends the connection when no other would be, either.
    async fn post(&self, link: &Link, text: Bytes) -> Result<(), String> {
        // The protocol of this transport has no such field; servers of later versions that still offer it want it.
        let version = self.version.get().map(|version| (header::PROTOCOL_VERSION, version.as_str()));
        let posted = self.remote.send(Verb::Post, &self.target, version.into_iter().collect(), Some(text)).await;
        let response = match posted {
            Ok(response) => response,
            Err(error) => {
                if matches!(error, FetchError::Connect(_)) {
                    link.lose(&error.to_string());
                }
                return Err(error.to_string());
            }
        };
        let status = response.status();
        // Read to the end, so that the connection can be used again; what it says there means nothing.
        drop(response.collect(MAX_ACCEPTANCE).await);
        match remote::refusal(status) {
            None => Ok(()),
            Some(reason) => {
                // The place came with the stream. It is gone when the server knows it no more.
                if status == 404 {
                    link.lose("the server forgot the session");
                }
                Err(reason)
            }
        }
    }
}

impl Stream {
    /// The next event.
    ///
    /// # Errors
    /// In words, why there is no further one.
    async fn next(&mut self) -> Result<Event, String> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            let piece = self.response.chunk().await.map_err(|error| error.to_string())?;
            let piece = piece.ok_or("the server ended its event stream")?;
            self.waiting.extend(self.parser.push(&piece).map_err(|error| error.to_string())?);
        }
    }
}

/// Waits until a call was answered, and some time more.
async fn answered(link: &Link, id: u64) {
    while link.calls.find(id).is_some() {
        tokio::time::sleep(LINGER).await;
    }
    tokio::time::sleep(LINGER).await;
}

/// Opens the stream and waits for its first event.
async fn follow(remote: &Remote) -> Result<(Stream, Url), String> {
    let settings = remote.settings();
    let response = remote.send(Verb::Get, &settings.url, vec![("accept", header::EVENT_STREAM)], None).await;
    let response = response.map_err(|error| error.to_string())?;
    if let Some(reason) = remote::refusal(response.status()) {
        return Err(reason);
    }
    if response.media_type() != header::EVENT_STREAM {
        return Err(format!("GET brought no event stream but {:?}", response.media_type()));
    }
    let mut stream = Stream { response, parser: Parser::new(MAX_MESSAGE), waiting: VecDeque::new() };
    // MCP 2024-11-05, HTTP with SSE: when a client connects, the server MUST send an `endpoint` event.
    loop {
        let event = stream.next().await?;
        if event.name == "endpoint" {
            return Ok((stream, target(settings, &event.data)?));
        }
    }
}

/// Where messages are sent, by what the `endpoint` event says.
fn target(settings: &HttpUpstream, said: &[u8]) -> Result<Url, String> {
    let said = std::str::from_utf8(said).map_err(|_| "its endpoint event is not text".to_owned())?;
    let endpoint = settings.url.join(said.trim()).map_err(|_| format!("its endpoint event says {said:?}"))?;
    if let Some(url) = &settings.message_url {
        let mut url = url.clone();
        // The session is named there, and nowhere else.
        if url.query().is_none() {
            url.set_query(endpoint.query());
        }
        return Ok(url);
    }
    // They would go beside the bridge's own.
    if !endpoint.username().is_empty() || endpoint.password().is_some() {
        return Err("its endpoint event names a user; where messages are sent can be written as message_url".to_owned());
    }
    // What it names gets the bridge's credentials, so it may not name somebody else.
    if endpoint.origin() != settings.url.origin() {
        let origin = endpoint.origin().ascii_serialization();
        return Err(format!("its endpoint event names another origin, {origin}; if that is right, write message_url"));
    }
    Ok(endpoint)
}

/// Brings what comes, until the stream or the connection ends.
async fn read(link: Arc<Link>, mut stream: Stream) {
    let mut lost = pin!(link.lost());
    let reason = loop {
        let event = tokio::select! {
            event = stream.next() => event,
            reason = &mut lost => break reason,
        };
        match event {
            // One stream for all, as a child has: nothing is marked by it.
            Ok(event) if event.is_message() => inbound::receive(&link, event.data, None),
            Ok(_) => {}
            Err(reason) => break reason,
        }
    };
    link.lose(&reason);
}
