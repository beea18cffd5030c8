//! Makes connections: straight or through a proxy, with TLS where the URL asks for it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::{Host, Url};

use crate::fetch::connection::Connection;
use crate::fetch::fault::{FetchError, innermost};
use crate::fetch::proxy::Proxy;
use crate::fetch::tls;

/// A connection to nobody is noticed after so long without an answer to what is sent on it,
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// and, while nothing is sent, by being asked so often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// What we say we are, unless something else is configured.
pub(super) const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("mcp-bridge/", env!("CARGO_PKG_VERSION")));

/// How the addresses of a name are found.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// As this machine finds them.
pub(super) fn system() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// What bytes go to and come from.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, whatever is below it.
pub(super) type Stream = Box<dyn Duplex>;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes the connections of one client.
pub(super) struct Connector {
    dialler: Dialler,
    lookup: Lookup,
    pub proxy: Option<Proxy>,
    /// Looked for in the certificate in place of the URL's host.
    server_name: Option<ServerName<'static>>,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    /// Certificates, a name or a proxy that cannot be used.
    pub(super) fn new(connection: &Connection<'_>, lookup: Lookup) -> Result<Self, FetchError> {
        let named = |name: &str| ServerName::try_from(name.to_owned());
        let server_name = connection.server_name.map(named).transpose();
        let mut tcp = HttpConnector::new_with_resolver(Resolver(Arc::clone(&lookup)));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connection.timeout));
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        Ok(Self {
            dialler: Dialler { tcp, tls: TlsConnector::from(tls::settings(connection)?) },
            lookup,
            proxy: connection.proxy.map(Proxy::parse).transpose()?,
            server_name: server_name.map_err(|error| FetchError::Unsendable(error.to_string()))?,
            timeout: connection.timeout,
        })
    }

    /// Connects to the server of a URL.
    ///
    /// # Errors
    /// [`FetchError::Connect`].
    pub(super) async fn connect(&self, url: &Url) -> Result<Stream, FetchError> {
        match tokio::time::timeout(self.timeout, self.reach(url)).await {
            Ok(reached) => reached.map_err(|error| FetchError::Connect(innermost(&*error))),
            Err(_) => Err(FetchError::Connect("it took too long".to_owned())),
        }
    }

    async fn reach(&self, url: &Url) -> Result<Stream, Failure> {
        let dialler = self.dialler.clone();
        let to = address(url)?;
        let stream = match &self.proxy {
            None => dialler.tcp(to).await?,
            Some(proxy @ Proxy::Http { uri, .. }) if proxy.forwards(url) => return dialler.dial(uri.clone()).await,
            Some(Proxy::Http { uri, authorization }) => {
                let named = HeaderMap::from_iter([(header::USER_AGENT, USER_AGENT)]);
                let mut tunnel = Tunnel::new(uri.clone(), dialler).with_headers(named);
                if let Some(authorization) = authorization {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                tunnel.call(to).await?.into_inner()
            }
            Some(Proxy::Socks { uri, credentials, looks_up }) => {
                let mut socks = SocksV5::new(uri.clone(), dialler);
                if let Some((user, password)) = credentials {
                    socks = socks.with_auth(user.clone(), password.clone());
                }
                let to = if *looks_up { to } else { self.found(url).await? };
                socks.call(to).await?.into_inner()
            }
        };
        if url.scheme() != "https" {
            return Ok(stream);
        }
        let name = self.server_name.clone().map_or_else(|| server_name(url.host()), Ok)?;
        Ok(Box::new(self.dialler.tls.connect(name, stream).await?))
    }

    /// The same address with the name looked up.
    async fn found(&self, url: &Url) -> Result<Uri, Failure> {
        let Some(Host::Domain(name)) = url.host() else { return address(url) };
        let first = (self.lookup)(name.to_owned()).await?.into_iter().next().ok_or("the name has no address")?;
        let port = url.port_or_known_default().unwrap_or_default();
        Ok(format!("{}://{}", url.scheme(), SocketAddr::new(first.ip(), port)).parse()?)
    }
}

/// Dials an address, a proxy's too.
#[derive(Clone)]
struct Dialler {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
}

impl Dialler {
    async fn tcp(mut self, to: Uri) -> Result<Stream, Failure> {
        Ok(Box::new(self.tcp.call(to).await?.into_inner()))
    }

    async fn dial(self, to: Uri) -> Result<Stream, Failure> {
        let tls = (to.scheme_str() == Some("https")).then(|| self.tls.clone());
        let host = to.host().map(|host| host.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        let stream = self.tcp(to).await?;
        match tls {
            Some(tls) => Ok(Box::new(tls.connect(ServerName::try_from(host)?, stream).await?)),
            None => Ok(stream),
        }
    }
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Stream>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dialled = self.clone().dial(to);
        Box::pin(async move { dialled.await.map(TokioIo::new) })
    }
}

/// Looks names up for connections; an address in place of a name is not looked up.
#[derive(Clone)]
struct Resolver(Lookup);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = (self.0)(name.as_str().to_owned());
        Box::pin(async move { Ok(found.await?.into_iter()) })
    }
}

fn address(url: &Url) -> Result<Uri, Failure> {
    let host = url.host_str().ok_or("the URL has no host")?;
    let port = url.port_or_known_default().ok_or("the URL has no port")?;
    Ok(format!("{}://{host}:{port}", url.scheme()).parse()?)
}

fn server_name(host: Option<Host<&str>>) -> Result<ServerName<'static>, Failure> {
    Ok(match host.ok_or("the URL has no host")? {
        Host::Domain(name) => ServerName::try_from(name.to_owned())?,
        Host::Ipv4(address) => ServerName::IpAddress(std::net::IpAddr::from(address).into()),
        Host::Ipv6(address) => ServerName::IpAddress(std::net::IpAddr::from(address).into()),
    })
}
