//! Reading a request's body, with a bound on its size and on the time it may take. actix bounds neither.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

use crate::base::limit::Limit;
use crate::base::patience::within;

/// The longest form or client metadata document, in bytes.
pub const SMALL: usize = 64 * 1024;
/// How many times `server.read_timeout`, which is the longest pause, the whole body may take.
pub const PAUSES: u32 = 2;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::bytes("form, or metadata of a client", SMALL, "413, the connection ends")];

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

/// Reads a body of at most `limit` bytes that pauses nowhere for longer than `pause`, within [`PAUSES`] times that.
///
/// # Errors
/// [`BodyFault`].
pub async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
    pause: Duration,
) -> Result<Bytes, BodyFault> {
    check_head(request.headers(), limit)?;
    let mut next = async || within(pause, payload.next()).await.ok_or(BodyFault::TooSlow);
    let reading = async {
        let first = match next().await? {
            None => return Ok(Bytes::new()),
            Some(chunk) => checked(chunk, 0, limit)?,
        };
        let Some(second) = next().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        let mut chunk = Some(second);
        while let Some(piece) = chunk {
            let piece = checked(piece, whole.len(), limit)?;
            whole.extend_from_slice(&piece);
            chunk = next().await?;
        }
        Ok(whole.freeze())
    };
    within(pause * PAUSES, reading).await.unwrap_or(Err(BodyFault::TooSlow))
}

/// What the head alone says of a body that is not to be waited for.
fn check_head(headers: &HeaderMap, limit: usize) -> Result<(), BodyFault> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    // RFC 9110 §7.8: we switch to no other protocol. actix takes all that follows such a head for its content.
    if text(header::UPGRADE).is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return Err(BodyFault::Broken);
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match declared.map(usize::try_from) {
        Some(length) if length.is_ok_and(|length| length <= limit) => Ok(()),
        None => Ok(()),
        Some(_) => Err(BodyFault::TooLarge),
    }
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
