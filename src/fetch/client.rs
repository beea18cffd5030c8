//! A client for servers that the operator named: certificates are checked, only what is given is sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::Resolve;
use url::Url;

use crate::fetch::connection::Connection;
use crate::fetch::fault::{FetchError, fault};

/// How long an idle connection is kept. Node closes those of its servers after 5 s, and a request that meets the close is
/// lost: it may have been read, so it is not sent again. Its own client keeps them for 4 s too.
const IDLE: Duration = Duration::from_secs(4);

/// Makes requests, over kept connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    /// The host that requests are sent to in place of their own, which stays in `Host`.
    alias: Option<Arc<str>>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of RFC 9110 §9.3")]
pub enum Verb {
    Get,
    Post,
    Delete,
}

/// A request.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is done.
    pub verb: Verb,
    /// To what.
    pub url: &'a Url,
    /// Header fields. A value is marked as sensitive, so that no log shows it.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The content.
    pub body: Option<Bytes>,
}

/// An answer whose content is still to be read.
#[derive(Debug)]
pub struct Response(reqwest::Response);

/// An answer with all of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type, without parameters, in small letters.
    pub media_type: String,
    /// Whether it is one of too many: `Retry-After` is there (RFC 9110 §10.2.3), or `X-RateLimit-Remaining` is zero, which
    /// is what GitHub has beside status 403.
    pub is_limited: bool,
    /// The content.
    pub body: Bytes,
}

impl Client {
    /// A client that makes connections in this way.
    ///
    /// # Errors
    /// No TLS on this machine, or certificates or a proxy that cannot be used.
    pub fn new(connection: Connection<'_>) -> Result<Self, FetchError> {
        Self::build(connection, |builder| builder)
    }

    /// A client that connects to what `resolver` lets through, and anew for every request, so that it is asked every time.
    ///
    /// # Errors
    /// No TLS on this machine.
    pub(super) fn guarded<R: Resolve + 'static>(
        connect_timeout: Duration,
        resolver: Arc<R>,
    ) -> Result<Self, FetchError> {
        let connection = Connection::new(connect_timeout);
        Self::build(connection, |builder| builder.dns_resolver(resolver).pool_max_idle_per_host(0))
    }

    fn build(
        connection: Connection<'_>,
        further: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, FetchError> {
        // Another provider that was installed before is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .http1_only()
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("mcp-bridge/", env!("CARGO_PKG_VERSION")));
        let builder = further(connection.build(builder)?);
        let inner = builder.build().map_err(|error| FetchError::Unsendable(error.to_string()))?;
        Ok(Self { inner, alias: connection.alias.map(|(name, _)| name.into()) })
    }

    /// Sends a request; gives the answer as soon as its head is there.
    ///
    /// # Errors
    /// See [`FetchError`]; only after [`FetchError::Connect`] is it certain that nothing was sent.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, FetchError> {
        let verb = match request.verb {
            Verb::Get => reqwest::Method::GET,
            Verb::Post => reqwest::Method::POST,
            Verb::Delete => reqwest::Method::DELETE,
        };
        let mut url = request.url.clone();
        let mut builder = match &self.alias {
            Some(alias) => {
                let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
                url.set_host(Some(alias)).map_err(|error| FetchError::Unsendable(error.to_string()))?;
                self.inner.request(verb, url).header("host", host)
            }
            None => self.inner.request(verb, url),
        };
        for (name, value) in request.headers {
            let mut value = reqwest::header::HeaderValue::from_str(value)
                .map_err(|_| FetchError::Unsendable(format!("the header {name} has a value that cannot be sent")))?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        builder.send().await.map(Response).map_err(fault)
    }

    /// Sends a request and takes the whole answer, of at most `limit` bytes; all of it, from the connection to the last
    /// byte, within `time`.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn exchange(&self, request: Request<'_>, limit: usize, time: Duration) -> Result<Answer, FetchError> {
        let whole = async {
            let response = self.send(request).await?;
            let (status, media_type) = (response.status(), response.media_type());
            let is_limited =
                response.header("retry-after").is_some() || response.header("x-ratelimit-remaining") == Some("0");
            Ok(Answer { status, media_type, is_limited, body: response.collect(limit).await? })
        };
        tokio::time::timeout(time, whole).await.unwrap_or(Err(FetchError::TimedOut))
    }
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// A header field, if it is there once and in ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.0.headers().get_all(name).iter();
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
        self.0.chunk().await.map_err(fault)
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
        let announced = self.0.content_length().and_then(|length| usize::try_from(length).ok());
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

/// A content of more bytes is put together as it comes.
const KEPT_IN_PIECES: usize = 64 * 1024;

/// How a content begins.
#[derive(Debug)]
pub enum Begun {
    /// That is all of it.
    Whole(Bytes),
    /// More is to come.
    Part(Vec<Bytes>),
}
