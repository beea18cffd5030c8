//! A server behind a URL, whatever it speaks: what is sent with every request, and what a status says.
//!
//! Only the upstream's own configured headers and credential are sent; nothing of the client's request but its message.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::base::limit::Limit;
use crate::base::secret::Secret;
use crate::bridge::upstream::link::Link;
use crate::config::section::{HttpUpstream, UpstreamAuth};
use crate::fetch::{self, Client, Connection, FetchError, Prepared, Response, Verb};
use crate::protocol::mcp::header;
use crate::protocol::mcp::reply;

/// The largest message that is taken.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long a server may take to accept a notification or an answer.
pub const ACCEPTANCE: Duration = Duration::from_secs(60);
/// How many notifications and answers may be on their way to one server.
const TELLS: usize = 256;
/// What is shown of them.
pub const LIMITS: [Limit; 3] = [
    Limit::bytes("answer or event of an HTTP upstream", MAX_MESSAGE, "the call fails"),
    Limit::time("wait for an HTTP upstream to accept a notification", ACCEPTANCE, "it is lost"),
    Limit::count("notifications on their way to one HTTP upstream", TELLS, "more are dropped, and counted"),
];

/// A server, and the bridge's credentials for it.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    settings: HttpUpstream,
    bearer: Option<Secret>,
    tells: Semaphore,
}

impl Remote {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// In words, why nothing can be.
    pub fn new(settings: &HttpUpstream) -> Result<Self, String> {
        let tls = &settings.tls;
        let connection = Connection {
            timeout: settings.connect_timeout,
            proxy: settings.proxy_url.as_ref().map(Secret::expose),
            authorities: tls.authorities.as_deref(),
            identity: tls.identity.as_ref().map(|identity| identity.expose().as_bytes()),
            server_name: tls.server_name.as_deref(),
            is_unverified: tls.is_unverified,
        };
        let client = Client::new(connection).map_err(|error| error.to_string())?;
        let bearer = match &settings.auth {
            UpstreamAuth::None => None,
            UpstreamAuth::Bearer(token) => Some(Secret::new(format!("Bearer {}", token.expose()))),
        };
        Ok(Self { client, settings: settings.clone(), bearer, tells: Semaphore::new(TELLS) })
    }

    /// Its section of the configuration.
    #[must_use]
    pub const fn settings(&self) -> &HttpUpstream {
        &self.settings
    }

    /// Leave to send a notification or an answer, as long as it is held; `None` when too many are on their way.
    pub fn leave_to_tell(&self) -> Option<SemaphorePermit<'_>> {
        self.tells.try_acquire().ok()
    }

    /// Sends a request with these header fields and the configured ones.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub async fn send<'a>(
        &'a self,
        verb: Verb,
        url: &'a Url,
        headers: Vec<(&'a str, &'a str)>,
        body: Option<Bytes>,
    ) -> Result<Response, FetchError> {
        self.send_prepared(&self.prepare(verb, url, headers)?, fetch::NOTHING, body).await
    }

    /// Sends a request that was prepared, with header fields of its own.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub fn send_prepared(
        &self,
        prepared: &Prepared,
        own: &fetch::Own,
        body: Option<Bytes>,
    ) -> impl Future<Output = Result<Response, FetchError>> + Send {
        self.client.send_prepared(prepared, own, body)
    }

    /// Prepares requests with these header fields and the configured ones. A POST has content, nothing else has.
    ///
    /// # Errors
    /// See [`Client::prepare`].
    pub fn prepare<'a>(
        &'a self,
        verb: Verb,
        url: &Url,
        mut headers: Vec<(&'a str, &'a str)>,
    ) -> Result<Prepared, FetchError> {
        // RFC 9110 §12.5.3: without the field any coding would do, and nothing here is decoded.
        let is_set = self.settings.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        headers.extend((!is_set).then_some(("accept-encoding", "identity")));
        headers.extend((verb == Verb::Post).then_some(("content-type", header::JSON)));
        headers.extend(self.settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
        headers.extend(self.bearer.as_ref().map(|bearer| ("authorization", bearer.expose())));
        self.client.prepare(verb, url, &headers)
    }
}

/// What is said when the status is none of success. The answer's headers, a challenge above all, go no further.
#[must_use]
pub fn refusal(status: u16) -> Option<String> {
    match status {
        200..=299 => None,
        300..=399 => Some("The MCP server redirects elsewhere, which is not followed".to_owned()),
        // RFC 9110 §15.5.8: no server behind a proxy says so.
        407 => Some("The proxy before the MCP server refused the bridge's credentials (status 407)".to_owned()),
        401 | 403 => Some(format!("The MCP server refused the bridge's credentials (status {status})")),
        status => Some(format!("The MCP server answered with status {status}")),
    }
}

/// Ends a call that nothing will come for, if it waits still.
pub fn fail(link: &Link, id: u64, reason: &str) {
    if let Some(call) = link.leave(id) {
        tracing::warn!(upstream = %link.name, reason, "a call of an upstream failed");
        call.fail(reply::UNAVAILABLE, reason);
    }
}
