//! Requests to a provider: bounded in time and size, and no redirect is followed.

use std::time::Duration;

use bytes::Bytes;
use oauth2::{HttpRequest, HttpResponse, http};
use serde_json::{Map, Value};
use url::Url;

use crate::base::limit::Limit;
use crate::base::secret::Secret;
use crate::fetch::{Answer, Client, Connection, Request, Verb};
use crate::identity::federated::{Failure, Reason};

/// The largest answer that is taken, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// The longest a connection may take, however long a request may.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::bytes("answer of an identity provider", MAX_ANSWER, "the login fails"),
    Limit::time("connection to an identity provider", MAX_CONNECT, "the login fails"),
];

/// The members of a token response that are read (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). An empty one is none.
const READ: [&str; 4] = ["access_token", "token_type", "refresh_token", "id_token"];

/// Makes requests to one provider.
#[derive(Clone)]
pub struct Http {
    client: Client,
    timeout: Duration,
}

impl Http {
    /// Requests that take at most `timeout` each.
    ///
    /// # Errors
    /// No TLS on this machine.
    pub fn new(timeout: Duration) -> Result<Self, String> {
        let client = Client::new(Connection::new(timeout.min(MAX_CONNECT))).map_err(|error| error.to_string())?;
        Ok(Self { client, timeout })
    }

    /// A public document.
    pub async fn document(&self, url: &Url) -> Result<Bytes, Failure> {
        let answer = self.exchange(Verb::Get, url, vec![("accept", "application/json")], None).await?;
        if answer.status == 200 { Ok(answer.body) } else { Err(unexpected(url, answer.status)) }
    }

    /// What an access token gives access to (RFC 6750 §2.1).
    pub async fn resource(&self, url: &Url, access_token: &Secret, accept: &str) -> Result<Answer, Failure> {
        let bearer = Secret::from(format!("Bearer {}", access_token.expose()));
        let headers = vec![("accept", accept), ("authorization", bearer.expose())];
        self.exchange(Verb::Get, url, headers, None).await
    }

    /// A request to the token endpoint, as the `oauth2` crate made it.
    pub async fn call(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(Reason::Misconfigured, error.to_string());
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| failed(&error))?;
        let headers: Result<Vec<_>, _> =
            parts.headers.iter().map(|(name, value)| value.to_str().map(|value| (name.as_str(), value))).collect();
        let headers = headers.map_err(|error| failed(&error))?;
        let answer = self.exchange(Verb::Post, &url, headers, Some(Bytes::from(body))).await?;
        // RFC 6749 §5.2: an error of the request has 400 or 401. What a failing server or a gateway before it writes says
        // nothing about the grant, even if it reads so.
        if answer.status >= 500 || answer.status == 429 || (300..400).contains(&answer.status) {
            return Err(unexpected(&url, answer.status));
        }
        let (status, body) = told(&answer);
        http::Response::builder()
            .status(status)
            .header(http::header::CONTENT_TYPE, &answer.media_type)
            .body(body)
            .map_err(|error| failed(&error))
    }

    async fn exchange(
        &self,
        verb: Verb,
        url: &Url,
        headers: Vec<(&str, &str)>,
        body: Option<Bytes>,
    ) -> Result<Answer, Failure> {
        let request = Request { verb, url, headers, body };
        let answer = self.client.exchange(request, MAX_ANSWER, self.timeout).await;
        answer.map_err(|error| Failure::new(Reason::Unreachable, format!("{}: {error}", place(url))))
    }
}

/// A JSON object in an answer.
pub fn object(url: &Url, body: &[u8]) -> Result<Map<String, Value>, Failure> {
    serde_json::from_slice(body)
        .map_err(|_| Failure::new(Reason::Unreachable, format!("{} answers with no JSON object", place(url))))
}

/// An answer with a status that has no meaning for us.
pub fn unexpected(url: &Url, status: u16) -> Failure {
    Failure::new(Reason::Unreachable, format!("{} answers with status {status}", place(url)))
}

/// A URL for the log: a query could hold anything.
fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// What the token endpoint says, in the form that the `oauth2` crate takes.
fn told(answer: &Answer) -> (u16, Vec<u8>) {
    let body = serde_json::from_slice::<Map<String, Value>>(&answer.body).ok().filter(|_| answer.status == 200);
    match body {
        None => (answer.status, answer.body.to_vec()),
        // GitHub tells errors with status 200.
        Some(body) if body.contains_key("error") && !body.contains_key("access_token") => (400, answer.body.to_vec()),
        Some(mut body) => {
            // Microsoft writes `expires_in` as a text, others `scope` as a list: what nobody reads stops no login.
            body.retain(|name, value| READ.contains(&name.as_str()) && value != "");
            (200, Value::Object(body).to_string().into_bytes())
        }
    }
}
