//! A client for servers that the operator named: certificates are checked, only what is given is sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use crate::fetch::connection::Connection;
use crate::fetch::connector::{self, Connector, Lookup, USER_AGENT};
use crate::fetch::fault::{FetchError, transport};
use crate::fetch::kept::{Kept, Opened};
use crate::fetch::proxy::Proxy;
use crate::fetch::response::Response;

/// How many bytes of an answer are read at a time, three times over while its reader is slow; hyper would go up to 400 KiB. The
/// head of an answer has to fit in.
const READ_AT_A_TIME: usize = 16 * 1024;

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

/// The name of a header field.
pub use hyper::header::HeaderName as FieldName;

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

/// What requests have in common: all but their content, and header fields of their own.
///
/// `Content-Length` of a POST, and what [`Prepared::with_place`] keeps a place for, are there without a value, to be filled by each
/// request: a copy of the fields has room for no more than there are, and to add one would move them all.
#[derive(Clone, Debug)]
pub struct Prepared {
    method: Method,
    url: Url,
    target: Uri,
    headers: HeaderMap,
    place: Option<FieldName>,
}

/// Header fields of one request, beside those that were prepared. The values are marked as sensitive.
#[derive(Debug, Default)]
pub struct Own {
    /// What goes into the place that was kept, which has to be filled.
    pub place: Option<Bytes>,
    /// What is added, or takes the place of what was prepared.
    pub more: Vec<(FieldName, Bytes)>,
}

/// No header fields.
pub const NOTHING: &Own = &Own { place: None, more: Vec::new() };

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

impl Prepared {
    /// The same with one more header field.
    #[must_use]
    pub fn with(mut self, name: FieldName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// The same with a place for one more header field, the value of which every request has to bring.
    #[must_use]
    pub fn with_place(mut self, name: FieldName) -> Self {
        self.place = Some(name.clone());
        self.with(name, "")
    }
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
        let prepared = self.prepare(request.verb, request.url, &request.headers)?;
        self.send_prepared(&prepared, NOTHING, request.body).await
    }

    /// The same for a request that was prepared, with header fields of its own.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub async fn send_prepared(
        &self,
        prepared: &Prepared,
        own: &Own,
        body: Option<Bytes>,
    ) -> Result<Response, FetchError> {
        let mut message = message(prepared, own, body)?;
        let url = &prepared.url;
        let origin = &url[..Position::BeforePath];
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
        let mut connecting = http1::Builder::new();
        connecting.max_buf_size(READ_AT_A_TIME);
        let (sender, connection) = connecting.handshake(TokioIo::new(stream)).await.map_err(transport)?;
        // How it ends is said to the request that is on it.
        let carrier = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Opened { origin: origin.into(), sender, carrier })
    }

    /// Prepares requests, so that what they have in common is put together once.
    ///
    /// # Errors
    /// [`FetchError::Unsendable`].
    pub fn prepare(&self, verb: Verb, url: &Url, headers: &[(&str, &str)]) -> Result<Prepared, FetchError> {
        let proxy = self.connector.proxy.as_ref().filter(|proxy| proxy.forwards(url));
        // RFC 9112 §3.2.2: a proxy is told all of the URL.
        let from = if proxy.is_some() { Position::BeforeScheme } else { Position::BeforePath };
        let target = Uri::try_from(&url[from..Position::AfterQuery]);
        let target = target.map_err(|_| FetchError::Unsendable("the URL cannot be sent".to_owned()))?;
        let mut headers = fields(url, headers)?;
        if let Some(Proxy::Http { authorization: Some(authorization), .. }) = proxy {
            headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        if verb == Verb::Post {
            headers.insert(header::CONTENT_LENGTH, const { HeaderValue::from_static("") });
        }
        let method = match verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Delete => Method::DELETE,
        };
        Ok(Prepared { method, url: url.clone(), target, headers, place: None })
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

fn message(prepared: &Prepared, own: &Own, body: Option<Bytes>) -> Result<hyper::Request<Full<Bytes>>, FetchError> {
    let body = body.unwrap_or_default();
    let length = body.len();
    let mut message = hyper::Request::new(Full::new(body));
    message.method_mut().clone_from(&prepared.method);
    message.uri_mut().clone_from(&prepared.target);
    let headers = message.headers_mut();
    headers.clone_from(&prepared.headers);
    if let Some(place) = headers.get_mut(header::CONTENT_LENGTH) {
        *place = length.into();
    }
    let sensitive = |name: &FieldName, value: &Bytes| {
        let mut value = HeaderValue::from_maybe_shared(value.clone()).map_err(|_| unsendable(name.as_str()))?;
        value.set_sensitive(true);
        Ok(value)
    };
    debug_assert_eq!(prepared.place.is_some(), own.place.is_some(), "a place is there to be filled");
    if let (Some(name), Some(value)) = (&prepared.place, &own.place) {
        headers.insert(name, sensitive(name, value)?);
    }
    for (name, value) in &own.more {
        headers.insert(name, sensitive(name, value)?);
    }
    Ok(message)
}

fn unsendable(what: &str) -> FetchError {
    FetchError::Unsendable(format!("{what} has a value that cannot be sent"))
}

/// The header fields of a request: its own, and what every request has.
fn fields(url: &Url, own: &[(&str, &str)]) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::with_capacity(own.len() + 4);
    let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]);
    headers.insert(header::HOST, host.map_err(|_| unsendable("the URL"))?);
    for (name, value) in own {
        let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (field, mut value) = field.ok_or_else(|| unsendable(&format!("the header {name}")))?;
        value.set_sensitive(true);
        headers.append(field, value);
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(const { HeaderValue::from_static("*/*") });
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_place_is_filled_once_and_what_a_request_has_of_its_own_goes_before_what_was_prepared() {
        let url = Url::parse("http://a.example/").unwrap();
        let client = Client::new(Connection::new(Duration::from_secs(5))).unwrap();
        let name = HeaderName::from_static("x-name");
        let other = HeaderName::from_static("x-other");
        let post = client.prepare(Verb::Post, &url, &[("x-other", "c")]).unwrap().with_place(name);
        let own = Own { place: Some(Bytes::from("a")), more: vec![(other, Bytes::from("b"))] };
        let sent = message(&post, &own, Some(Bytes::from_static(b"12345"))).unwrap();
        let values = |name: &str| sent.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        let all = [values("x-name"), values("x-other"), values("content-length")];
        assert_eq!(all, [["a"], ["b"], ["5"]]);
        let get = client.prepare(Verb::Get, &url, &[]).unwrap();
        assert!(!message(&get, NOTHING, None).unwrap().headers().contains_key(header::CONTENT_LENGTH));
    }

    /// A server that says on the how manieth connection it was asked.
    async fn counting() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/x?y", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            for number in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut seen, mut piece) = (Vec::new(), [0; 1024]);
                    while let Ok(length @ 1..) = stream.read(&mut piece).await {
                        seen.extend_from_slice(&piece[..length]);
                        if seen.ends_with(b"\r\n\r\n") {
                            assert!(seen.starts_with(b"GET /x?y HTTP/1.1\r\n"));
                            seen.clear();
                            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                            stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                });
            }
        });
        url
    }

    async fn asked(client: &Client, url: &Url) -> Bytes {
        let request = Request { verb: Verb::Get, url, headers: Vec::new(), body: None };
        client.exchange(request, 10, Duration::from_secs(10)).await.unwrap().body
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_on_its_own_runtime_alone() {
        let url = counting().await;
        let client = Client::new(Connection::new(Duration::from_secs(5))).unwrap();
        assert_eq!([asked(&client, &url).await, asked(&client, &url).await], ["1", "1"]);
        let (other, to) = (client.clone(), url.clone());
        let elsewhere = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { [asked(&other, &to).await, asked(&other, &to).await] })
        });
        assert_eq!(elsewhere.await.unwrap(), ["2", "2"]);
        assert_eq!(asked(&client, &url).await, "1");
        // The other runtime is over, and so is its connection.
        let (other, to) = (client.clone(), url.clone());
        let later = tokio::task::spawn_blocking(move || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(asked(&other, &to))
        });
        assert_eq!(later.await.unwrap(), "3");
    }

    /// A server that answers as soon as it has seen a head, and reads no more of that connection.
    async fn hasty() -> (Url, tokio::sync::mpsc::UnboundedReceiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/x?y", listener.local_addr().unwrap())).unwrap();
        let (sender, answered) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _head = stream.read(&mut [0; 1024]).await.unwrap();
                let answer = format!("HTTP/1.1 413 Too Large\r\nContent-Length: 1\r\n\r\n{number}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                sender.send(stream).unwrap();
            }
        });
        (url, answered)
    }

    #[tokio::test]
    async fn a_connection_whose_request_was_not_taken_whole_is_closed_and_not_used_again() {
        let (url, mut answered) = hasty().await;
        let client = Client::new(Connection::new(Duration::from_secs(5))).unwrap();
        let sent = 32 * 1024 * 1024;
        let post = |body| Request { verb: Verb::Post, url: &url, headers: Vec::new(), body };
        let large = Bytes::from(vec![b'x'; sent]);
        // Whose answer nobody reads.
        let unread = client.send(post(Some(large.clone()))).await.unwrap();
        assert_eq!(unread.status(), 413);
        drop(unread);
        for (number, body) in [("2", Some(large)), ("3", None)] {
            let request = post(body);
            let answer = client.exchange(request, 10, Duration::from_secs(10)).await.unwrap();
            assert_eq!((answer.status, &*answer.body), (413, number.as_bytes()));
        }
        // Whoever waits for the rest of it to be sent has the pool in hand.
        while Arc::strong_count(client.kept.as_ref().unwrap()) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for number in 1..3 {
            let mut stream = answered.recv().await.unwrap();
            let (mut read, mut piece) = (0, vec![0; 64 * 1024]);
            while let Ok(length @ 1..) = stream.read(&mut piece).await {
                read += length;
            }
            assert!(read < sent / 2, "no more comes on {number} than what was under way: {read}");
        }
    }
}
