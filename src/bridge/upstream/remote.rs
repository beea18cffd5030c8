//! What both ways of carrying MCP over HTTP have in common: the connections, the bridge's own credentials, what a status
//! means, and how much is taken.
//!
//! Only the upstream's own configured headers and credential are sent; nothing of the client's request but its message.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::base::secret::Secret;
use crate::bridge::upstream::call::Owner;
use crate::bridge::upstream::link::Link;
use crate::config::section::{HttpUpstream, Trust, UpstreamAuth};
use crate::fetch::{self, Client, FetchError, Request, Response, Verb};
use crate::protocol::mcp::reply;

/// The largest message that is taken.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long a server may take to say that it has a notification or an answer.
pub const TELL: Duration = Duration::from_secs(60);

/// How many notifications and answers may be on their way at once.
const TELLS: usize = 256;

/// A server somewhere, and how the bridge talks to it.
#[derive(Debug)]
pub struct Remote {
    /// As configured.
    pub settings: HttpUpstream,
    client: Client,
    bearer: Option<Secret>,
    tells: Semaphore,
}

impl Remote {
    /// A way to the server; nothing is sent yet. Files of certificates are read.
    ///
    /// # Errors
    /// In words, why there can be none.
    pub fn new(settings: &HttpUpstream) -> Result<Self, String> {
        let client = Client::with(&connections(settings)).map_err(|error| error.to_string())?;
        let bearer = match &settings.auth {
            UpstreamAuth::None => None,
            UpstreamAuth::Bearer(token) => Some(Secret::new(format!("Bearer {}", token.expose()))),
        };
        Ok(Self { settings: settings.clone(), client, bearer, tells: Semaphore::new(TELLS) })
    }

    /// Sends a request with what is configured beside `headers`.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn send<'a>(
        &'a self,
        verb: Verb,
        url: &'a Url,
        mut headers: Vec<(&'a str, &'a str)>,
        body: Option<Bytes>,
    ) -> Result<Response, FetchError> {
        headers.extend(self.settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
        headers.extend(self.bearer.as_ref().map(|bearer| ("authorization", bearer.expose())));
        self.client.send(Request { verb, url, headers, body }).await
    }

    /// Leave to send a notification or an answer; `None` when too many are on their way.
    pub fn leave_to_tell(&self) -> Option<SemaphorePermit<'_>> {
        self.tells.try_acquire().ok()
    }
}

/// What is said when the status is none of success. The answer's headers, a challenge above all, go no further.
pub fn refusal(status: u16) -> Option<String> {
    match status {
        200..=299 => None,
        300..=399 => Some("The MCP server redirects elsewhere, which is not followed".to_owned()),
        401 | 403 => Some(format!("The MCP server refused the bridge's credentials (status {status})")),
        407 => Some("The proxy before the MCP server refused the bridge's credentials (status 407)".to_owned()),
        status => Some(format!("The MCP server answered with status {status}")),
    }
}

/// Ends a call that is still waited for.
pub fn fail(link: &Link, id: u64, reason: &str) {
    if let Some(call) = link.take_call(id) {
        match call.owner {
            // Whoever asked on the bridge's behalf says what came of it.
            Owner::Bridge => tracing::debug!(upstream = %link.name, reason, "a question of the bridge failed"),
            _ => tracing::warn!(upstream = %link.name, reason, "a call of an upstream failed"),
        }
        call.fail(reply::UNAVAILABLE, reason);
    }
}

fn connections(settings: &HttpUpstream) -> fetch::Settings {
    let host = settings.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let server_name = settings.tls.server_name.clone().map(|name| fetch::ServerName { name, host: host.to_owned() });
    let identity = settings.tls.client_certificate.as_ref();
    let proxy = settings.proxy.as_ref().map(|proxy| fetch::Proxy {
        url: proxy.url.to_string(),
        credentials: proxy.credentials.as_ref().map(|(user, password)| (user.clone(), password.expose().to_owned())),
    });
    fetch::Settings {
        connect_timeout: settings.connect_timeout,
        trust: match &settings.tls.trust {
            Trust::Public => fetch::Trust::Public,
            Trust::Authorities(file) => fetch::Trust::Authorities(file.clone()),
            Trust::Anybody => fetch::Trust::Anybody,
        },
        identity: identity.map(|own| (own.cert_file.clone(), own.key_file.clone())),
        server_name,
        proxy,
    }
}
