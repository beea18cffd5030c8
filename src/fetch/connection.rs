//! How a client reaches its servers: through whom, and whom it believes to be one.

use std::time::Duration;

/// How connections are made. Environment variables have no say in any of it.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// A connection that takes longer, TLS and proxy included, is given up.
    pub timeout: Duration,
    /// http, https, socks5 or socks5h, with its credentials.
    pub proxy: Option<&'a str>,
    /// Certificates, PEM: only what these vouch for is believed. `None`: what the system and the public ones do.
    pub authorities: Option<&'a [u8]>,
    /// A certificate chain and its private key, PEM.
    pub identity: Option<&'a [u8]>,
    /// Asked for, and looked for in the certificate, in place of the host's name.
    pub server_name: Option<&'a str>,
    /// Whoever answers is believed.
    pub is_unverified: bool,
}

impl Connection<'_> {
    /// To public servers, without a proxy.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout, proxy: None, authorities: None, identity: None, server_name: None, is_unverified: false }
    }
}
