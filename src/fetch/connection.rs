//! How a client reaches its servers: through whom, and whom it believes to be one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, ClientBuilder, Identity, Proxy};
use url::{Host, Url};

use crate::fetch::fault::FetchError;

/// How connections are made. Environment variables have no say in any of it.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// A connection that takes longer is given up.
    pub timeout: Duration,
    /// http, https, socks5 or socks5h, with its credentials.
    pub proxy: Option<&'a str>,
    /// Certificates, PEM: only what these vouch for is believed. `None`: what the system and the public ones do.
    pub authorities: Option<&'a [u8]>,
    /// A certificate chain and its private key, PEM.
    pub identity: Option<&'a [u8]>,
    /// Asked for, and looked for in the certificate, in place of this one host's name.
    pub alias: Option<(&'a str, &'a Url)>,
    /// Whoever answers is believed.
    pub is_unverified: bool,
}

impl<'a> Connection<'a> {
    /// To public servers, without a proxy.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout, proxy: None, authorities: None, identity: None, alias: None, is_unverified: false }
    }

    /// Tells the builder.
    pub(super) fn build(self, builder: ClientBuilder) -> Result<ClientBuilder, FetchError> {
        let unsendable = |error: reqwest::Error| FetchError::Unsendable(error.without_url().to_string());
        let mut builder = builder.connect_timeout(self.timeout).no_proxy();
        builder = match self.authorities {
            Some(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(unsendable)?),
            // An image without certificates of its own still reaches public servers.
            None => {
                let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
                builder.tls_certs_merge(roots.filter_map(|root| Certificate::from_der(root).ok()))
            }
        };
        if let Some(pem) = self.identity {
            builder = builder.identity(Identity::from_pem(pem).map_err(unsendable)?);
        }
        if let Some(proxy) = self.proxy {
            // reqwest's text may hold the URL, which may hold a password.
            let proxy = Proxy::all(proxy).map_err(|_| FetchError::Unsendable("the proxy cannot be used".to_owned()))?;
            builder = builder.proxy(proxy);
        }
        if let Some((name, url)) = self.alias {
            builder = builder.dns_resolver(Arc::new(Alias { name: name.to_owned(), host: host_of(url) }));
        }
        Ok(builder.tls_danger_accept_invalid_certs(self.is_unverified))
    }
}

/// Looks up another name in place of one. reqwest takes the name for TLS from the URL alone, so that is what is changed
/// there; where it leads is changed back here. Rejected: a verifier of our own, which could not change what is asked for.
struct Alias {
    name: String,
    host: String,
}

impl Resolve for Alias {
    fn resolve(&self, name: Name) -> Resolving {
        let is_alias = name.as_str().eq_ignore_ascii_case(&self.name);
        let host = if is_alias { self.host.clone() } else { name.as_str().to_owned() };
        Box::pin(async move {
            let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
                Ok(address) => vec![(address, 0).into()],
                Err(_) => tokio::net::lookup_host((host.as_str(), 0)).await?.collect(),
            };
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    }
}
