//! An answer that comes bit by bit on its way to a client: ended when the token that asked for it ends, an event stream kept alive.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::base::limit::Limit;
use crate::bridge::{BrokenOff, Pieces};
use crate::protocol::mcp::event_stream::{END, KEEP_ALIVE};

/// When a stream has to end: at the latest with the token that opened it.
pub type End = Pin<Box<dyn Future<Output = ()>>>;

/// What is larger is handed to actix in parts, which copies what it is given: into a buffer that grows to hold all of it.
const PART: usize = 16 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::bytes("part of an answer that a connection is given at a time", PART, "the rest waits where it is")];

/// The answer that carries a stream. It begins with a comment, and sends another whenever it was silent for `keepalive`,
/// which also finds out that the client has left. `farewell` is its last event should it have to end early.
pub fn answer<S>(events: S, end: End, farewell: Option<Bytes>, keepalive: Duration) -> HttpResponse
where
    S: Stream<Item = Bytes> + Unpin + 'static,
{
    // actix sends the head with the first bytes of the body, and a client waits for the head.
    let beginning = stream::once(std::future::ready(Bytes::from_static(KEEP_ALIVE)));
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        // MCP Streamable HTTP, "Receiving": keeps proxies from holding events back.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(beginning.chain(until(events, (end, farewell), keepalive)).flat_map(parts).map(Ok::<_, Infallible>))
}

/// A content that is there already, of an answer that is otherwise made.
pub fn whole(mut answer: HttpResponseBuilder, body: Bytes) -> HttpResponse {
    if body.len() <= PART {
        return answer.body(body);
    }
    answer.body(SizedStream::new(body.len() as u64, parts(body).map(Ok::<_, Infallible>)))
}

fn parts(all: Bytes) -> impl Stream<Item = Bytes> {
    stream::iter(Parts(all))
}

struct Parts(Bytes);

impl Iterator for Parts {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.split_to(self.0.len().min(PART)))
    }
}

/// The answer that carries one JSON object in pieces. When they break off so does the response, before its last chunk.
pub fn pieces(pieces: Pieces, end: End) -> HttpResponse {
    let parts = stream::unfold(Some((pieces, end)), |parts| async move {
        let (mut pieces, mut end) = parts?;
        let part = tokio::select! {
            biased;
            () = &mut end => Err(BrokenOff),
            part = pieces.next() => part?,
        };
        let rest = part.is_ok().then_some((pieces, end));
        Some((part, rest))
    });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(parts)
}

fn until<S: Stream<Item = Bytes> + Unpin>(
    events: S,
    (end, farewell): (End, Option<Bytes>),
    keepalive: Duration,
) -> impl Stream<Item = Bytes> {
    stream::unfold(Some((events, end, farewell, true)), move |rest| async move {
        let (mut events, mut end, farewell, is_between) = rest?;
        let event = tokio::select! {
            biased;
            () = &mut end => return farewell.filter(|_| is_between).map(|farewell| (farewell, None)),
            event = events.next() => event,
            () = tokio::time::sleep(keepalive), if is_between => Some(Bytes::from_static(KEEP_ALIVE)),
        };
        // A comment within an event that comes in pieces would become part of it.
        event.map(|event| {
            let is_between = event.ends_with(END);
            (event, Some((events, end, farewell, is_between)))
        })
    })
}
