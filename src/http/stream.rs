//! An event stream on its way to a client: kept alive, and ended when the token that opened it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use crate::base::clock::Timestamp;
use crate::model::principal::Principal;
use crate::store::Revoked;

/// What a stream is bound to.
pub struct Binding {
    /// Who opened it.
    pub principal: Arc<Principal>,
    /// The time now.
    pub now: Timestamp,
    /// What is revoked meanwhile.
    pub revoked: Revoked,
    /// How long it may be silent before a comment is sent, which also finds out that the client has left.
    pub keepalive: Duration,
}

/// The answer that carries a stream. Its head is sent at once.
pub fn answer<S>(events: S, binding: Binding) -> HttpResponse
where
    S: Stream<Item = Bytes> + Unpin + 'static,
{
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        // MCP Streamable HTTP, "Receiving": keeps proxies from holding events back.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(bound(events, binding).map(Ok::<_, std::convert::Infallible>))
}

/// Ends with the token: at its expiry, or as soon as its grant is revoked.
fn bound<S: Stream<Item = Bytes> + Unpin>(events: S, binding: Binding) -> impl Stream<Item = Bytes> {
    let ends = binding.principal.expires_at.map(|at| Instant::now() + at.since(binding.now));
    let changes = binding.revoked.subscribe();
    stream::unfold((events, binding, changes, ends), |(mut events, binding, mut changes, ends)| async move {
        loop {
            let is_over = async {
                match ends {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let is_silent = sleep_until(Instant::now() + binding.keepalive);
            tokio::select! {
                event = events.next() => return event.map(|event| (event, (events, binding, changes, ends))),
                () = pin!(is_silent) => return Some((Bytes::from_static(b": keepalive\n\n"), (events, binding, changes, ends))),
                () = pin!(is_over) => return None,
                changed = changes.changed() => {
                    if changed.is_err() || is_revoked(&binding) {
                        return None;
                    }
                }
            }
        }
    })
}

fn is_revoked(binding: &Binding) -> bool {
    binding.principal.grant.as_ref().is_some_and(|grant| binding.revoked.has_grant(grant))
}
