//! What the bridge answers to an HTTP request, before it is HTTP.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use serde_json::json;
use tokio::time::Sleep;

use crate::bridge::load::Place;
use crate::bridge::mailbox::{Event, Follower, Next, Passage, Reader, counted};
use crate::bridge::post::RETRY_AFTER;
use crate::bridge::session::{Attached, Session, UnderWay};
use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::listen::Listening;
use crate::protocol::mcp::event_stream;
use crate::protocol::mcp::reply;

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// 202: notifications and answers were taken.
    Accepted,
    /// 200 with one JSON object (or the array that answers a batch).
    Message {
        /// The JSON.
        body: Bytes,
        /// The new session's id, after `initialize`.
        session_id: Option<String>,
    },
    /// 200 with one JSON object that is still coming.
    Pieces(Pieces),
    /// 200 with server-sent events.
    Stream {
        /// The events.
        events: EventStream,
        /// The new session's id, after `initialize`.
        session_id: Option<String>,
    },
    /// The session was ended as asked.
    Ended,
    /// Nothing was done.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The id of the request, as written; `null` for what is none, or cannot be read.
        id: Bytes,
    },
}

impl Answer {
    /// Nothing was done; there is no request that an answer could name.
    #[must_use]
    pub const fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal, id: Bytes::from_static(reply::NO_ID) }
    }
}

const TOKEN_ENDED: &str = "The access token ended before the answer came: send the request again with a new one";

/// Why nothing was done. The status code is the caller's to choose; the one in mind is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: not a message that everybody would read in the same way, or without what it has to say of itself.
    Malformed {
        /// A JSON-RPC error.
        body: Bytes,
    },
    /// 400: the version in the header is not spoken, or is not the session's.
    UnsupportedVersion {
        /// A JSON-RPC error.
        body: Bytes,
    },
    /// 404: nobody here knows the method.
    UnknownMethod {
        /// A JSON-RPC error.
        body: Bytes,
    },
    /// 405: without sessions there is nothing to GET or DELETE.
    PostOnly,
    /// 404: no such session, or not this caller's.
    SessionUnknown,
    /// 400: this needs a session.
    SessionRequired,
    /// 400: the upstream is each session's own, so that without a session there is none.
    SessionOnly {
        /// Its name.
        upstream: String,
    },
    /// 400: an answer to something this session was not asked.
    NotAsked,
    /// 400: no stream of this session can be taken up after this event.
    EventUnknown,
    /// 403: the caller may not do this.
    InsufficientScope {
        /// Every scope the operation needs.
        needed: Vec<String>,
    },
    /// 406: the client takes neither JSON nor an event stream.
    NotAcceptable,
    /// 429: the caller has too much under way.
    TooMany {
        /// For `Retry-After`.
        retry_after: Duration,
    },
    /// 503: all connections that there may be to an upstream are taken.
    Full {
        /// Its name.
        upstream: String,
        /// For `Retry-After`.
        retry_after: Duration,
    },
    /// 503: an upstream cannot be started for this caller.
    Unfit {
        /// Its name.
        upstream: String,
        /// Why.
        reason: String,
    },
    /// 503: an upstream that nothing is known of yet, for it was never up.
    Down {
        /// Its name.
        upstream: String,
        /// For `Retry-After`.
        retry_after: Duration,
    },
    /// 503: too many sessions, or an upstream that takes nothing at the moment.
    Busy {
        /// For `Retry-After`.
        retry_after: Duration,
    },
}

impl Refusal {
    /// An upstream of this name was never up.
    #[must_use]
    pub fn down(upstream: &str) -> Self {
        Self::Down { upstream: upstream.to_owned(), retry_after: RETRY_AFTER }
    }

    /// The body that goes with it: a JSON-RPC error for the request of this id, or an OAuth error where scopes are missing.
    #[must_use]
    pub fn body(&self, id: &[u8]) -> Bytes {
        let rpc = |code, text: &str| reply::error(id, code, text);
        match self {
            Self::Malformed { body } | Self::UnsupportedVersion { body } | Self::UnknownMethod { body } => body.clone(),
            Self::SessionUnknown => rpc(reply::TIMED_OUT, "Session not found"),
            Self::SessionRequired => {
                rpc(reply::INVALID_REQUEST, "This needs a session: send initialize, then Mcp-Session-Id")
            }
            Self::SessionOnly { upstream } => {
                let text =
                    format!("The MCP server {upstream:?} is each session's own: send initialize, then Mcp-Session-Id");
                rpc(reply::INVALID_REQUEST, &text)
            }
            Self::Full { upstream, .. } => {
                let text = format!("The MCP server {upstream:?} serves as many as it can; try again later");
                rpc(reply::UNAVAILABLE, &text)
            }
            Self::Down { upstream, .. } => rpc(reply::UNAVAILABLE, &unavailable(upstream)),
            Self::Unfit { upstream, reason } => {
                rpc(reply::UNAVAILABLE, &format!("The MCP server {upstream:?} cannot be started for you: {reason}"))
            }
            Self::PostOnly => rpc(reply::INVALID_REQUEST, "This version of the protocol knows POST alone"),
            Self::NotAsked => rpc(reply::INVALID_REQUEST, "Nothing was asked under this id"),
            Self::EventUnknown => rpc(reply::INVALID_REQUEST, "No stream can be taken up after this Last-Event-ID"),
            Self::NotAcceptable => {
                rpc(reply::INVALID_REQUEST, "Not Acceptable: accept application/json and text/event-stream")
            }
            Self::TooMany { .. } => rpc(reply::UNAVAILABLE, "Too much of yours is under way; try again later"),
            Self::Busy { .. } => rpc(reply::UNAVAILABLE, "Too busy at the moment; try again later"),
            // RFC 6750 §3.1.
            Self::InsufficientScope { needed } => Bytes::from(
                json!({
                    "error": "insufficient_scope",
                    "error_description": "The access token lacks a scope that this needs",
                    "scope": needed.join(" "),
                })
                .to_string(),
            ),
        }
    }
}

/// An upstream is down. The reason is for the operator's eyes: it is in the log and in the status.
#[must_use]
pub fn unavailable(upstream: &str) -> String {
    format!("The MCP server {upstream:?} is not available at the moment")
}

/// Server-sent events for one response, each item one event. Dropping it cancels nothing in a session, and the call without
/// one (MCP 2026-07-28, Cancellation).
#[derive(Debug)]
pub struct EventStream {
    first: Option<Bytes>,
    source: Option<Source>,
    lifetime: Option<Duration>,
    longest_silence: Option<Duration>,
    /// The id of the request that is answered on it, if there is no coming back for the answer.
    id: Option<Box<[u8]>>,
    end: Option<Pin<Box<Sleep>>>,
    /// After the source: what it leaves is looked through when it is gone.
    _attached: Option<Attached>,
    _held: Option<Held>,
}

/// What a stream keeps as it is while it lasts.
#[derive(Debug)]
pub enum Held {
    /// A session is in use.
    Session(UnderWay),
    /// A client of the stateless era waits for its answer.
    Attendance(Attendance),
    /// A client of the stateless era listens.
    Listener(Listening),
    /// One of the streams that stay open.
    Place(Place),
}

#[derive(Debug)]
enum Source {
    /// Of which nothing is kept; and its answer, while that passes.
    Once(Reader, Option<Passage>),
    /// That can be taken up again.
    Kept(Follower),
}

impl EventStream {
    /// The events of a call, beginning with `first` if it was read already.
    #[must_use]
    pub fn of_call(first: Option<Bytes>, reader: Reader) -> Self {
        let first = first.map(|message| event_stream::frame(&message));
        Self { first, source: Some(Source::Once(reader, None)), ..Self::empty() }
    }

    /// An answer that passes. If it breaks off, the error that `reader` then gives follows.
    #[must_use]
    pub fn of_passage(passage: Passage, reader: Reader) -> Self {
        let first = Some(event_stream::head(None));
        Self { first, source: Some(Source::Once(reader, Some(passage))), ..Self::empty() }
    }

    /// One message, and the end.
    #[must_use]
    pub fn of_message(message: &[u8]) -> Self {
        Self { first: Some(event_stream::frame(message)), ..Self::empty() }
    }

    /// The same, counted among what waits to be read.
    #[must_use]
    pub fn counted<U: Send + 'static>(self, unread: Option<U>) -> Self {
        Self { first: self.first.map(|first| counted(first, unread)), ..self }
    }

    /// The events of a session.
    #[must_use]
    pub fn of_session(session: &Arc<Session>, reader: Reader) -> Self {
        Self { source: Some(Source::Once(reader, None)), _attached: Some(session.attach()), ..Self::empty() }
    }

    /// The events of a stream of the session that can be taken up again.
    #[must_use]
    pub fn resumable(session: &Arc<Session>, follower: Follower) -> Self {
        let first = session.priming(&follower);
        Self { first, source: Some(Source::Kept(follower)), _attached: Some(session.attach()), ..Self::empty() }
    }

    /// The same, for so long at most.
    #[must_use]
    pub fn within(self, lifetime: Option<Duration>) -> Self {
        let mut this = self;
        this.lifetime = lifetime;
        this
    }

    /// The same, for a client to which something is to be written at least so often.
    #[must_use]
    pub fn never_silent_for(self, longest_silence: Duration) -> Self {
        let mut this = self;
        this.longest_silence = Some(longest_silence);
        this
    }

    /// After how long a silence something has to be written to the client; `None` where that is left to the settings.
    #[must_use]
    pub const fn longest_silence(&self) -> Option<Duration> {
        self.longest_silence
    }

    /// The same, as the one way for the answer to the request of this id.
    #[must_use]
    pub fn answering(self, id: &[u8]) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// What is to be said on it, should it end with the token: whoever waits for an answer is not to wait for ever.
    #[must_use]
    pub fn farewell(&self) -> Option<Bytes> {
        self.id.as_ref().map(|id| event_stream::frame(&reply::error(id, reply::INTERNAL_ERROR, TOKEN_ENDED)))
    }

    /// The same, keeping this as it is.
    #[must_use]
    pub fn holding(self, held: Option<Held>) -> Self {
        let mut this = self;
        this._held = held;
        this
    }

    const fn empty() -> Self {
        Self {
            first: None,
            source: None,
            lifetime: None,
            longest_silence: None,
            id: None,
            end: None,
            _attached: None,
            _held: None,
        }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        // The timer is made where the stream is read: only there is its runtime known.
        if let Some(lifetime) = self.lifetime.take() {
            self.end = Some(Box::pin(tokio::time::sleep(lifetime)));
        }
        self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready())
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut self.source {
            None => Poll::Ready(None),
            Some(Source::Kept(follower)) => follower.poll_next(context),
            Some(Source::Once(_, passing @ Some(_))) => poll_passing(passing, context),
            Some(Source::Once(reader, passing)) => reader.poll_next(context).map(|event| match event? {
                Event::Delayed => Some(Bytes::from_static(event_stream::KEEP_ALIVE)),
                Event::Related(message) | Event::Last(message) => Some(event_stream::frame(&message)),
                Event::Passing(passage) => {
                    *passing = Some(passage);
                    Some(event_stream::head(None))
                }
            }),
        }
    }
}

fn poll_passing(passing: &mut Option<Passage>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
    let Some(passage) = passing else { return Poll::Ready(None) };
    let next = passage.poll_next(context);
    if matches!(next, Poll::Ready(Next::End | Next::Broken)) {
        *passing = None;
    }
    next.map(|next| Some(next.on_the_wire()))
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.is_over(context) {
            self.source = None;
        }
        let event = self.poll_source(context);
        if matches!(event, Poll::Ready(None)) {
            // MCP 2025-11-25, Sending Messages: after the answer the stream is closed.
            self.source = None;
        }
        event
    }
}

/// One JSON object for one response, in pieces. It must not look whole to the client when it breaks off.
#[derive(Debug)]
pub struct Pieces {
    passage: Option<Passage>,
    _held: Option<Held>,
}

/// An answer broke off on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer broke off on its way")]
pub struct BrokenOff;

impl Pieces {
    /// The pieces of an answer, keeping this as it is.
    #[must_use]
    pub const fn new(passage: Passage, held: Option<Held>) -> Self {
        Self { passage: Some(passage), _held: held }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, BrokenOff>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(passage) = &mut self.passage else { return Poll::Ready(None) };
        passage.poll_next(context).map(|next| match next {
            Next::Part(part) => Some(Ok(part)),
            Next::End => {
                self.passage = None;
                None
            }
            Next::Broken => {
                self.passage = None;
                Some(Err(BrokenOff))
            }
        })
    }
}
