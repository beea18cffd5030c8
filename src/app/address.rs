//! The addresses under which the bridge is known. They come from the configuration, never from a request.

use std::net::{IpAddr, SocketAddr, TcpListener};

use url::Url;

use crate::app::StartError;
use crate::config::Config;
use crate::protocol::oauth::resource;

/// The strings that metadata, tokens and challenges agree on to the byte (product.md, "Strings").
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Where the bridge listens.
    pub listens: SocketAddr,
    /// `issuer`, without trailing slash.
    pub issuer: String,
    /// The URL people add to their client: the canonical resource.
    pub resource: String,
    /// Where the resource's metadata stands, its path inserted (RFC 9728 §3.1).
    pub resource_metadata: String,
    /// Host names that are ours, the public one first.
    pub hosts: Vec<String>,
    /// Origins that are ours.
    pub origins: Vec<String>,
}

impl Addresses {
    /// Those of a bridge with this configuration that listens at `local`.
    #[must_use]
    pub fn new(config: &Config, local: SocketAddr) -> Self {
        let issuer = config.oauth_server.as_ref().and_then(|section| section.issuer.clone());
        let public = config.server.public_url.clone();
        let public = public.or_else(|| issuer.as_deref().and_then(origin)).unwrap_or_else(|| listener_url(local));
        let issuer = issuer.unwrap_or_else(|| public.clone());
        let path = config.endpoint.path.trim_end_matches('/');
        let mut hosts: Vec<String> = [&public, &issuer].into_iter().filter_map(|url| host(url)).collect();
        let mut origins: Vec<String> = [&public, &issuer].into_iter().filter_map(|url| origin(url)).collect();
        if local.ip().is_loopback() {
            hosts.extend(LOOPBACK_NAMES.map(str::to_owned));
            origins.extend(LOOPBACK_NAMES.map(|name| format!("http://{name}:{}", local.port())));
        }
        let resource = format!("{public}{path}");
        Self {
            listens: local,
            resource: resource::canonical(&resource).unwrap_or(resource),
            resource_metadata: format!("{public}/.well-known/oauth-protected-resource{path}"),
            origins,
            hosts,
            issuer,
        }
    }

    /// Whether people reach the bridge by https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.issuer.starts_with("https://")
    }
}

/// The names by which a machine calls itself.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Listens, and so learns the port when the system chooses it.
pub(super) fn bind(config: &Config) -> Result<(TcpListener, Addresses), StartError> {
    let listen = config.server.listen;
    let failed = |error| {
        StartError::Io(format!("cannot listen on {listen}: {error}; change server.listen, or stop what holds the port"))
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, Addresses::new(config, local)))
}

fn listener_url(local: SocketAddr) -> String {
    let address = match local.ip() {
        ip if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(address, local.port()))
}

fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

fn host(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_ascii_lowercase)
}
