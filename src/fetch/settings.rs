//! How connections are made: whom they trust, as whom they come, and through what.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::fetch::FetchError;

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For a connection: name, proxy and TLS together.
    pub connect_timeout: Duration,
    /// Whose word is taken for who a server is.
    pub trust: Trust,
    /// Certificate and private key to show a server that asks, both PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The server's name in TLS, when it is not the host to connect to.
    pub server_name: Option<ServerName>,
    /// What every connection goes through.
    pub proxy: Option<Proxy>,
}

/// Whose word is taken for who a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// That of the authorities this machine trusts, and of the usual public ones.
    Public,
    /// That of the authorities in a PEM file alone.
    Authorities(PathBuf),
    /// Anybody's.
    Anybody,
}

/// A server that is known by another name than that of the host it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    /// What is asked for and looked for in the certificate.
    pub name: String,
    /// Where it is: a name or an address.
    pub host: String,
}

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    /// http, https, socks5 or socks5h, without credentials.
    pub url: String,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Settings {
    /// Public servers, reached directly.
    #[must_use]
    pub const fn direct(connect_timeout: Duration) -> Self {
        Self { connect_timeout, trust: Trust::Public, identity: None, server_name: None, proxy: None }
    }

    /// The files are read now. `further` has the last word.
    pub(super) fn build(
        &self,
        further: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, FetchError> {
        // Another provider that was installed before is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // Variables such as HTTPS_PROXY are for programs without a configuration (PROXY-18).
            .no_proxy()
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http1_only()
            .user_agent(concat!("mcp-bridge/", env!("CARGO_PKG_VERSION")));
        builder = match &self.trust {
            // An image without certificates of its own still reaches public servers.
            Trust::Public => builder.tls_certs_merge(public_authorities()),
            Trust::Authorities(file) => {
                let authorities = reqwest::Certificate::from_pem_bundle(&read(file)?);
                builder.tls_certs_only(authorities.map_err(|_| unusable(file))?)
            }
            Trust::Anybody => builder.tls_danger_accept_invalid_certs(true),
        };
        if let Some((certificate, key)) = &self.identity {
            let both = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&both).map_err(|_| unusable(key))?);
        }
        if let Some(server_name) = &self.server_name {
            builder = builder.dns_resolver(Elsewhere { host: server_name.host.as_str().into() });
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.build()?);
        }
        further(builder).build().map_err(|error| FetchError::Unsendable(innermost(&error)))
    }
}

impl Proxy {
    fn build(&self) -> Result<reqwest::Proxy, FetchError> {
        let proxy =
            reqwest::Proxy::all(self.url.as_str()).map_err(|error| FetchError::Unsendable(innermost(&error)))?;
        Ok(match &self.credentials {
            Some((user, password)) => proxy.basic_auth(user, password),
            None => proxy,
        })
    }
}

/// Looks up one host, whatever it is asked for: the URL carries the server's name instead.
struct Elsewhere {
    host: Arc<str>,
}

impl Resolve for Elsewhere {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = Arc::clone(&self.host);
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((&*host, 0)).await?.collect();
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

/// What went wrong, without the URL that reqwest's own text would show.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn public_authorities() -> impl Iterator<Item = reqwest::Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|root| reqwest::Certificate::from_der(root).ok())
}

fn read(file: &Path) -> Result<Vec<u8>, FetchError> {
    fs::read(file).map_err(|error| FetchError::Unsendable(format!("{} cannot be read: {error}", file.display())))
}

fn unusable(file: &Path) -> FetchError {
    FetchError::Unsendable(format!("{} cannot be used for TLS", file.display()))
}
