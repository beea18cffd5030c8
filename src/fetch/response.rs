//! An answer of a server, read piece by piece or as a whole.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::fetch::fault::{FetchError, transport};
use crate::fetch::kept::{Kept, Opened};

/// A content of more bytes is put together as it comes.
const KEPT_IN_PIECES: usize = 64 * 1024;
/// A smaller piece is copied to the one before: each lies in a buffer of hyper's of several times this size, and keeps it.
const WORTH_KEEPING: usize = 4 * 1024;

/// An answer whose content is still to be read.
#[derive(Debug)]
pub struct Response {
    inner: hyper::Response<Incoming>,
    /// The connection that it comes on, and where that goes when all of it has come.
    kept: Option<(Opened, Arc<Kept>)>,
}

/// How a content begins.
#[derive(Debug)]
pub enum Begun {
    /// That is all of it.
    Whole(Bytes),
    /// More is to come.
    Part(Vec<Bytes>),
}

/// The pieces of a content, as they came but for small ones.
#[derive(Debug, Default)]
struct Pieces {
    whole: Vec<Bytes>,
    small: Vec<u8>,
    length: usize,
}

impl Pieces {
    fn add(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < WORTH_KEEPING && !(self.whole.is_empty() && self.small.is_empty()) {
            self.small.extend_from_slice(&piece);
        } else {
            self.close();
            self.whole.push(piece);
        }
    }

    fn close(&mut self) {
        if !self.small.is_empty() {
            self.whole.push(Bytes::from(std::mem::take(&mut self.small)));
        }
    }

    fn all(mut self) -> Vec<Bytes> {
        self.close();
        self.whole
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        // Nobody reads the rest: the connection ends, whatever is still to be sent on it.
        if let Some((opened, _)) = self.kept.take() {
            opened.carrier.abort();
        }
    }
}

impl Response {
    pub(super) fn new(inner: hyper::Response<Incoming>, kept: Option<(Opened, Arc<Kept>)>) -> Self {
        let mut response = Self { inner, kept };
        if response.inner.body().is_end_stream() {
            response.is_over();
        }
        response
    }

    /// Its connection can take another request.
    fn is_over(&mut self) {
        if let Some((opened, kept)) = self.kept.take() {
            kept.keep(opened);
        }
    }

    fn announced(&self) -> Option<usize> {
        self.inner.body().size_hint().exact().and_then(|length| usize::try_from(length).ok())
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// A header field, if it is there once and in ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.inner.headers().get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// The media type, without parameters, in small letters.
    #[must_use]
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The next piece of the content; `None` at its end.
    ///
    /// # Errors
    /// The connection failed before the end: never a silently shortened content.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            match self.inner.body_mut().frame().await.transpose().map_err(transport)? {
                Some(frame) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    // Trailers.
                    _ => {}
                },
                None => {
                    self.is_over();
                    return Ok(None);
                }
            }
        }
    }

    /// All of the content, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// Larger, or the connection failed.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, FetchError> {
        if self.announced().is_some_and(|length| length > limit) {
            return Err(FetchError::TooLarge);
        }
        match self.begin(KEPT_IN_PIECES.min(limit)).await? {
            Begun::Whole(all) => Ok(all),
            Begun::Part(pieces) => self.collect_after(pieces, limit).await,
        }
    }

    /// The beginning of the content: all of it, or more than `enough` bytes of it.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn begin(&mut self, enough: usize) -> Result<Begun, FetchError> {
        let mut pieces = Pieces::default();
        while let Some(piece) = self.chunk().await? {
            pieces.add(piece);
            if pieces.length > enough {
                return Ok(Begun::Part(pieces.all()));
            }
        }
        Ok(Begun::Whole(match pieces.all().as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            several => Bytes::from(several.concat()),
        }))
    }

    /// All of the content that has begun with these pieces, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// Larger, or the connection failed.
    pub async fn collect_after(&mut self, pieces: Vec<Bytes>, limit: usize) -> Result<Bytes, FetchError> {
        // A length that was announced is room for all of it at once; growing piece by piece holds it twice.
        let mut all = Vec::with_capacity(self.announced().unwrap_or(0).min(limit));
        for piece in pieces {
            all.extend_from_slice(&piece);
        }
        while all.len() <= limit {
            match self.chunk().await? {
                Some(next) => all.extend_from_slice(&next),
                None => return Ok(Bytes::from(all)),
            }
        }
        Err(FetchError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_do_not_keep_the_buffers_that_they_came_in() {
        let mut pieces = Pieces::default();
        let sent: Vec<u8> = (0..10_000_u32).map(|number| number.to_be_bytes()[3]).collect();
        for byte in &sent {
            pieces.add(Bytes::from(vec![*byte; 8 * 1024]).slice(..1));
        }
        pieces.add(Bytes::from(vec![b'x'; WORTH_KEEPING]));
        pieces.add(Bytes::from_static(b"end"));
        let all = pieces.all();
        assert_eq!(all.iter().map(Bytes::len).collect::<Vec<_>>(), [1, 9_999, WORTH_KEEPING, 3]);
        assert!(all.concat().starts_with(&sent) && all.concat().ends_with(b"xend"));
    }
}
