//! Reading a request's body, with a bound on its size and on the time it may take. actix bounds neither.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

/// The longest form or client metadata document, in bytes.
pub const SMALL: usize = 64 * 1024;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Longer than allowed: 413.
    TooLarge,
    /// Slower than allowed: 408.
    TooSlow,
    /// The connection or its framing broke: 400.
    Broken,
}

/// Reads a body of at most `limit` bytes within `deadline`.
///
/// # Errors
/// [`BodyFault`].
pub async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
    deadline: Duration,
) -> Result<Bytes, BodyFault> {
    // RFC 9110 §15.5.14: a length that is declared needs no waiting for.
    if declared(request).is_some_and(|length| length > limit) {
        return Err(BodyFault::TooLarge);
    }
    let reading = async {
        let first = match payload.next().await {
            None => return Ok(Bytes::new()),
            Some(chunk) => checked(chunk, 0, limit)?,
        };
        let Some(second) = payload.next().await else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            let chunk = checked(chunk, whole.len(), limit)?;
            whole.extend_from_slice(&chunk);
            next = payload.next().await;
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(deadline, reading).await.unwrap_or(Err(BodyFault::TooSlow))
}

/// `Content-Length`, of which actix has made sure that it is a number; one that is too great for us is too great.
fn declared(request: &HttpRequest) -> Option<usize> {
    let length = request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?;
    Some(length.trim().parse().unwrap_or(usize::MAX))
}

fn checked<E>(chunk: Result<Bytes, E>, before: usize, limit: usize) -> Result<Bytes, BodyFault> {
    let chunk = chunk.map_err(|_| BodyFault::Broken)?;
    if before + chunk.len() > limit { Err(BodyFault::TooLarge) } else { Ok(chunk) }
}

/// Whether the request declares this media type, in UTF-8 and not compressed.
#[must_use]
pub fn is(request: &HttpRequest, media_type: &str) -> bool {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let encoded = headers.contains_key(header::CONTENT_ENCODING) && text(header::CONTENT_ENCODING) != Some("identity");
    let Some(content_type) = text(header::CONTENT_TYPE) else { return false };
    let mut parts = content_type.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
    let readable = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    named && readable && !encoded
}
