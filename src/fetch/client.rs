//! A client for servers that the operator named: certificates are checked, only what is given is sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use crate::fetch::connection::Connection;
use crate::fetch::connector::{self, Connector, Lookup};
use crate::fetch::fault::{FetchError, transport};
use crate::fetch::kept::{Kept, Opened};
use crate::fetch::proxy::Proxy;

/// What we say we are, unless something else is configured.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("mcp-bridge/", env!("CARGO_PKG_VERSION")));

/// Makes requests (HTTP/1.1), over kept connections. It follows no redirect, and sends nothing twice.
///
/// It is hyper's connections and as little else as can be: the layers of reqwest cost a quarter of a call.
#[derive(Clone)]
pub struct Client {
    connector: Arc<Connector>,
    /// `None`: every request has a connection of its own.
    kept: Option<Arc<Kept>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("kept", &self.kept).finish_non_exhaustive()
    }
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
pub struct Response {
    inner: hyper::Response<Incoming>,
    /// The connection that it comes on, and where that goes when all of it has come.
    kept: Option<(Opened, Arc<Kept>)>,
}

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
        let connector = Arc::new(Connector::new(&connection, connector::system())?);
        Ok(Self { connector, kept: Some(Arc::default()) })
    }

    /// A client that finds names by `lookup` alone, and connects anew for every request, so that it is asked every time.
    ///
    /// # Errors
    /// No TLS on this machine.
    pub(super) fn guarded(connect_timeout: Duration, lookup: Lookup) -> Result<Self, FetchError> {
        let connector = Arc::new(Connector::new(&Connection::new(connect_timeout), lookup)?);
        Ok(Self { connector, kept: None })
    }

    /// Sends a request; gives the answer as soon as its head is there.
    ///
    /// # Errors
    /// See [`FetchError`]; only after [`FetchError::Connect`] is it certain that nothing was sent.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, FetchError> {
        let url = request.url;
        let origin = &url[..Position::BeforePath];
        let mut message = self.message(request)?;
        loop {
            let idle = self.kept.as_ref().and_then(|kept| kept.take(origin));
            let is_new = idle.is_none();
            let mut opened = match idle {
                Some(opened) => opened,
                // Boxed: it is large, rare, and would make every call's task as large.
                None => Box::pin(self.open(url, origin)).await?,
            };
            match opened.sender.try_send_request(message).await {
                Ok(inner) => return Ok(Response::new(inner, self.kept.clone().map(|kept| (opened, kept)))),
                // Of what is given back nothing was sent: the server ended the connection while nobody used it.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => message = unsent,
                    _ => return Err(transport(error.into_error())),
                },
            }
        }
    }

    /// Opens a connection, which is carried on the runtime of whoever asks for it.
    async fn open(&self, url: &Url, origin: &str) -> Result<Opened, FetchError> {
        let stream = self.connector.connect(url).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(transport)?;
        // How it ends is said to the request that is on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Opened { origin: origin.into(), sender })
    }

    fn message(&self, request: Request<'_>) -> Result<hyper::Request<Full<Bytes>>, FetchError> {
        let unsendable = |what: &str| FetchError::Unsendable(format!("{what} has a value that cannot be sent"));
        let url = request.url;
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
        let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]);
        headers.insert(header::HOST, host.map_err(|_| unsendable("the URL"))?);
        for (name, value) in request.headers {
            let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let (field, mut value) = field.ok_or_else(|| unsendable(&format!("the header {name}")))?;
            value.set_sensitive(true);
            headers.append(field, value);
        }
        headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
        headers.entry(header::ACCEPT).or_insert(const { HeaderValue::from_static("*/*") });
        let mut target = &url[Position::BeforePath..Position::AfterQuery];
        if let Some(proxy) = self.connector.proxy.as_ref().filter(|proxy| proxy.forwards(url)) {
            // RFC 9112 §3.2.2: to a proxy, the whole of it.
            target = &url[..Position::AfterQuery];
            if let Proxy::Http { authorization: Some(authorization), .. } = proxy {
                headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
            }
        }
        let mut message = hyper::Request::new(Full::new(request.body.unwrap_or_default()));
        *message.method_mut() = match request.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Delete => Method::DELETE,
        };
        *message.uri_mut() = Uri::try_from(target).map_err(|_| unsendable("the URL"))?;
        *message.headers_mut() = headers;
        Ok(message)
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
    fn new(inner: hyper::Response<Incoming>, kept: Option<(Opened, Arc<Kept>)>) -> Self {
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
