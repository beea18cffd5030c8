//! An answer of a server, read piece by piece or as a whole.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::fetch::fault::{FetchError, transport};
use crate::fetch::kept::{Kept, Opened};

/// A content of more bytes is put together as it comes.
const KEPT_IN_PIECES: usize = 64 * 1024;

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
        let begun = self.begin(KEPT_IN_PIECES).await?;
        self.collect_after(begun, limit).await
    }

    /// The beginning of the content: all of it, or more than `enough` bytes of it.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn begin(&mut self, enough: usize) -> Result<Begun, FetchError> {
        let (mut pieces, mut length) = (Vec::new(), 0);
        while let Some(piece) = self.chunk().await? {
            length += piece.len();
            pieces.push(piece);
            if length > enough {
                return Ok(Begun::Part(pieces));
            }
        }
        Ok(Begun::Whole(match pieces.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            several => Bytes::from(several.concat()),
        }))
    }

    /// All of the content that has begun so, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// Larger, or the connection failed.
    pub async fn collect_after(mut self, begun: Begun, limit: usize) -> Result<Bytes, FetchError> {
        let pieces = match begun {
            Begun::Whole(all) if all.len() <= limit => return Ok(all),
            Begun::Whole(_) => return Err(FetchError::TooLarge),
            Begun::Part(pieces) => pieces,
        };
        // A length that was announced is room for all of it at once; growing piece by piece holds it twice.
        let announced = self.inner.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let mut all = Vec::with_capacity(announced.unwrap_or(0).min(limit));
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
