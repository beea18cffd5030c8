//! A client for addresses that a stranger chose: https on the public internet, and nowhere else.
//! [MCP Security Best Practices, SSRF](https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices)
//!
//! The guard is in the resolver of the connections themselves: what was checked is what is connected to, however often a
//! name changes its mind, and no caller can forget it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use url::{Host, Url};

use crate::base::net::is_public;
use crate::fetch::client;
use crate::fetch::connector::Lookup;
use crate::fetch::{FetchError, Verb};

/// Fetches documents from the public internet.
#[derive(Clone, Debug)]
pub struct PublicClient {
    client: client::Client,
    exempt: Arc<[SocketAddr]>,
    timeout: Duration,
}

/// A document, and how long it says that it may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The content.
    pub body: Bytes,
    /// How much longer it is fresh (RFC 9111 §4.2): by `max-age` or `Expires`, less its `Age`; zero for `no-store` and `no-cache`.
    /// `None`: it does not say.
    pub max_age: Option<Duration>,
}

/// Why there is no document. None of it is what the other side sent.
#[derive(Debug, thiserror::Error)]
pub enum PublicFault {
    /// Not an address that is fetched from at all; nothing was sent, no name looked up.
    #[error("{0}")]
    Refused(&'static str),
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// RFC 9110: another status than 200.
    #[error("the status is {0}")]
    Status(u16),
    /// Not JSON by its media type.
    #[error("it is not application/json")]
    MediaType,
}

impl PublicClient {
    /// A client whose requests take at most `timeout` each, from the first name lookup to the last byte. `exempt`: addresses
    /// that are not public and are let through all the same when a URL has them in place of a name, over http too: for
    /// development.
    ///
    /// # Errors
    /// No TLS on this machine.
    pub fn new(timeout: Duration, exempt: &[SocketAddr]) -> Result<Self, FetchError> {
        Self::looking_up(timeout, exempt, |name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        })
    }

    /// The same, with names looked up in another way.
    fn looking_up(timeout: Duration, exempt: &[SocketAddr], lookup: Unjudged) -> Result<Self, FetchError> {
        let client = client::Client::guarded(timeout, guarded(lookup))?;
        Ok(Self { client, exempt: exempt.into(), timeout })
    }

    /// Fetches a JSON document of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`PublicFault`].
    pub async fn json(&self, url: &Url, limit: usize) -> Result<Document, PublicFault> {
        self.check(url)?;
        let whole = async {
            let headers = vec![("accept", "application/json")];
            let response = self.client.send(client::Request { verb: Verb::Get, url, headers, body: None }).await?;
            let max_age = max_age(|name| response.header(name));
            match (response.status(), response.media_type().as_str()) {
                // CIMD §4: not followed, so a redirect is an error like any other.
                (200, media_type) if is_json(media_type) => {
                    Ok(Document { body: response.collect(limit).await?, max_age })
                }
                (200, _) => Err(PublicFault::MediaType),
                (status, _) => Err(PublicFault::Status(status)),
            }
        };
        tokio::time::timeout(self.timeout, whole).await.unwrap_or(Err(PublicFault::Fetch(FetchError::TimedOut)))
    }

    /// What needs no lookup to be refused: nothing is sent. `url` is in the form of WHATWG, in which `127.1` and `0x7f000001` are addresses.
    ///
    /// # Errors
    /// [`PublicFault::Refused`].
    pub fn check(&self, url: &Url) -> Result<(), PublicFault> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(name)) if name.ends_with('.') => {
                return Err(PublicFault::Refused("a name with a dot at its end is not fetched from"));
            }
            Some(Host::Domain(_)) => None,
            None => return Err(PublicFault::Refused("it has no host")),
        };
        let port = url.port_or_known_default().unwrap_or_default();
        let is_exempt = |address| self.exempt.contains(&SocketAddr::new(address, port));
        match (url.scheme(), address) {
            ("http" | "https", Some(address)) if is_exempt(address) => Ok(()),
            // An address is nobody's name: no certificate vouches for who is there.
            (_, Some(_)) => Err(PublicFault::Refused("an IP address is not fetched from")),
            ("https", None) => Ok(()),
            _ => Err(PublicFault::Refused("only https is fetched from")),
        }
    }
}

/// How the addresses of a name are found, before they are judged.
type Unjudged = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Looks names up, and keeps the public addresses of what is found.
fn guarded(lookup: Unjudged) -> Lookup {
    Arc::new(move |name| {
        let found = lookup(name);
        Box::pin(async move { admit(found.await?) })
    })
}

/// CIMD-8: of a name that has public addresses and others, none is dialled: it is up to something.
fn admit(found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    match found.iter().all(|address| is_public(address.ip())) {
        true => Ok(found),
        false => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "the name leads to an address that is not public"))
        }
    }
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// RFC 9111 §4.2: how long what came with these headers is fresh still.
fn max_age<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let said = by_directives(header("cache-control").unwrap_or_default()).or_else(|| by_expires(&header));
    // RFC 9111 §5.1: how long others have kept it already. What is no number says nothing.
    let age = header("age").and_then(|age| age.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    said.map(|said| said.saturating_sub(age))
}

/// RFC 9111 §5.2.2. The strictest of several directives counts.
fn by_directives(value: &str) -> Option<Duration> {
    let value = value.to_ascii_lowercase();
    let directives = value.split(',').map(str::trim);
    let ages = directives.filter_map(|directive| match directive.split_once('=') {
        None if matches!(directive, "no-store" | "no-cache") => Some(0),
        Some(("max-age", seconds)) => seconds.trim_matches('"').parse().ok(),
        _ => None,
    });
    ages.min().map(Duration::from_secs)
}

/// RFC 9111 §5.3: counted by the server's own clock; a date that is none is past. Without a `Date` nothing is known of that clock.
fn by_expires<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let expires = header("expires")?;
    let Ok(expires) = httpdate::parse_http_date(expires) else { return Some(Duration::ZERO) };
    let date = header("date").and_then(|date| httpdate::parse_http_date(date).ok())?;
    Some(expires.duration_since(date).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn cimd_7_cimd_8_every_answer_of_the_resolver_is_judged_as_a_whole() {
        let public = addresses(&["1.1.1.1", "2606:4700:4700::1111"]);
        assert_eq!(admit(public.clone()).unwrap(), public);
        for found in [&["127.0.0.1"][..], &["1.1.1.1", "10.0.0.1"], &["::ffff:169.254.169.254"], &[]] {
            assert!(admit(addresses(found)).is_err(), "{found:?}");
        }
    }

    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

    /// A name that leads to a public address the first time, and to this machine from then on.
    fn rebinding(_name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let is_first = LOOKUPS.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move { Ok(addresses(&[if is_first { "1.1.1.1" } else { "127.0.0.1" }])) })
    }

    #[tokio::test]
    async fn cimd_7_a_name_is_looked_up_once_for_a_connection_and_what_is_found_is_judged() {
        let _provider = rustls::crypto::ring::default_provider().install_default();
        let first = guarded(rebinding)("rebinding.example".to_owned()).await.unwrap();
        assert_eq!(first, addresses(&["1.1.1.1"]), "what is judged is what is dialled");
        let canary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://rebinding.example:{}/x", canary.local_addr().unwrap().port());
        let client = PublicClient::looking_up(Duration::from_secs(5), &[], rebinding).unwrap();
        for number in 1..=2 {
            let fault = client.json(&Url::parse(&url).unwrap(), 100).await.unwrap_err();
            assert!(fault.to_string().contains("not public"), "{fault}");
            assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1 + number, "once, so that there is no second answer to dial");
        }
        assert!(futures_util::FutureExt::now_or_never(canary.accept()).is_none(), "nobody was connected to");
    }

    #[tokio::test]
    async fn cimd_1_cimd_6_what_is_no_https_name_is_refused_before_anything_is_sent() {
        let _provider = rustls::crypto::ring::default_provider().install_default();
        let canary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = canary.local_addr().unwrap().port();
        let client = PublicClient::new(Duration::from_secs(5), &["127.0.0.1:1".parse().unwrap()]).unwrap();
        for url in [
            format!("http://client.example:{port}/x"),
            format!("https://127.0.0.1:{port}/x"),
            format!("http://127.0.0.1:{port}/x"),
            format!("https://2130706433:{port}/x"),
            format!("https://0x7f000001:{port}/x"),
            format!("https://0177.0.0.1:{port}/x"),
            format!("https://127.1:{port}/x"),
            format!("https://[::ffff:7f00:1]:{port}/x"),
            format!("https://[::1]:{port}/x"),
            format!("https://localhost.:{port}/x"),
            format!("ftp://client.example:{port}/x"),
        ] {
            let fault = client.json(&Url::parse(&url).unwrap(), 100).await.unwrap_err();
            assert!(matches!(fault, PublicFault::Refused(_)), "{url}: {fault}");
        }
        let fault = client.json(&Url::parse(&format!("https://localhost:{port}/x")).unwrap(), 100).await.unwrap_err();
        assert!(fault.to_string().contains("not public"), "{fault}");
        assert!(futures_util::FutureExt::now_or_never(canary.accept()).is_none(), "nobody was connected to");
    }
}
