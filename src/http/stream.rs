//! An event stream on its way to a client: kept alive, and ended when the token that opened it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::protocol::mcp::event_stream::KEEP_ALIVE;

/// When a stream has to end: at the latest with the token that opened it.
pub type End = Pin<Box<dyn Future<Output = ()>>>;

/// The answer that carries a stream. It begins with a comment, and sends another whenever it was silent for `keepalive`,
/// which also finds out that the client has left.
pub fn answer<S>(events: S, end: End, keepalive: Duration) -> HttpResponse
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
        .streaming(beginning.chain(until(events, end, keepalive)).map(Ok::<_, Infallible>))
}

fn until<S: Stream<Item = Bytes> + Unpin>(events: S, end: End, keepalive: Duration) -> impl Stream<Item = Bytes> {
    stream::unfold((events, end), move |(mut events, mut end)| async move {
        let event = tokio::select! {
            biased;
            () = &mut end => None,
            event = events.next() => event,
            () = tokio::time::sleep(keepalive) => Some(Bytes::from_static(KEEP_ALIVE)),
        };
        event.map(|event| (event, (events, end)))
    })
}
