//! The keys of an upstream that is a URL.

use std::time::Duration;

use crate::base::secret::Secret;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::section::upstream_tls::UpstreamTls;
use crate::config::value::header;
use crate::config::value::proxy::{PROXY, Proxy};
use crate::config::value::url::{ENDPOINT, is_loopback};

/// A server behind a URL.
#[derive(Clone, Debug)]
pub struct HttpUpstream {
    /// `url`.
    pub url: url::Url,
    /// `protocol`.
    pub transport: Transport,
    /// `message_url`, for HTTP+SSE: where messages are sent, whatever the server's `endpoint` event says; with the path of
    /// the event when it has none of its own, and always with the query of the event.
    pub message_url: Option<url::Url>,
    /// `connect_timeout`: for the connection, TLS and a proxy included.
    pub connect_timeout: Duration,
    /// `tls`.
    pub tls: UpstreamTls,
    /// `proxy_url`. Variables such as `HTTPS_PROXY` count for nothing.
    pub proxy: Option<Proxy>,
    /// `headers`, sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// `auth`: the bridge's own credentials; never the client's token.
    pub auth: UpstreamAuth,
}

/// `protocol`: how MCP is carried over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `auto`: Streamable HTTP, or what is older when the server knows nothing of that.
    Auto,
    /// `streamable-http`, since 2025-03-26.
    StreamableHttp,
    /// `sse`: HTTP+SSE of 2024-11-05.
    Sse,
}

/// `auth` of an upstream.
#[derive(Clone, Debug)]
pub enum UpstreamAuth {
    /// `none`.
    None,
    /// `bearer`, or the short form `auth: {token: …}`.
    Bearer(Secret),
}

/// Keys that mean nothing to other kinds of upstreams.
pub(super) const KEYS: [&str; 7] =
    ["protocol", "message_url", "connect_timeout", "tls", "proxy_url", "headers", "auth"];

const PROTOCOLS: [(&str, Transport); 3] =
    [("auto", Transport::Auto), ("streamable-http", Transport::StreamableHttp), ("sse", Transport::Sse)];

impl HttpUpstream {
    /// `None` when there is no `url`; the other keys are checked all the same. `said` is what `type` says of the transport.
    pub(super) fn read(reader: &mut Reader<'_>, said: Option<Transport>) -> Option<Self> {
        let url = reader.optional("url", &ENDPOINT, "A server that speaks MCP over HTTP.");
        let doc = "Streamable HTTP, or the older HTTP+SSE. auto tries the first and falls back to the second.";
        let transport = reader.choice("protocol", &PROTOCOLS, said.unwrap_or(Transport::Auto), doc);
        if said.is_some_and(|said| said != transport) {
            reader.fault("protocol", Wrong::new("is another one than type says", "remove type"));
        }
        let message_url = read_message_url(reader, transport);
        let connect_timeout = reader.duration("connect_timeout", "10s", "For the connection, with TLS and any proxy.");
        let tls = reader.section("tls", "How an https server is known, and the bridge by it.", UpstreamTls::read);
        if tls != UpstreamTls::default() && url.as_ref().is_some_and(|url| url.scheme() == "http") {
            reader.fault("tls", Wrong::new("means nothing when url is http", "remove it, or write https://"));
        }
        let proxy = read_proxy(reader, &tls);
        let headers = read_headers(reader);
        let auth =
            reader.section("auth", "The bridge's own credentials; never the client's token.", UpstreamAuth::read);
        let authorization = |(name, _): &(String, Secret)| name.eq_ignore_ascii_case("authorization");
        let secret = !matches!(auth, UpstreamAuth::None);
        if secret && headers.iter().any(authorization) {
            reader.fault("headers", Wrong::new("has Authorization, which auth sends too", "keep one of the two"));
        }
        if secret || !headers.is_empty() {
            warn_of_http(reader, "url", url.as_ref());
            warn_of_http(reader, "message_url", message_url.as_ref());
        }
        Some(Self { url: url?, transport, message_url, connect_timeout, tls, proxy, headers, auth })
    }
}

fn read_message_url(reader: &mut Reader<'_>, transport: Transport) -> Option<url::Url> {
    let doc = "For HTTP+SSE: where messages go, in place of where the server says. Its query is the server's; without a \
               path, that is too.";
    let message_url = reader.optional("message_url", &ENDPOINT, doc);
    if message_url.is_some() && transport == Transport::StreamableHttp {
        let problem = "means nothing to streamable-http, which has one URL for everything";
        reader.fault("message_url", Wrong::new(problem, "remove it, or write protocol: sse"));
    }
    if message_url.as_ref().is_some_and(|url| url.query().is_some()) {
        reader.fault("message_url", Wrong::new("has a query, which is the server's to give", "remove it"));
    }
    message_url
}

fn read_proxy(reader: &mut Reader<'_>, tls: &UpstreamTls) -> Option<Proxy> {
    let doc = "A proxy: http, https, socks5 or socks5h. HTTPS_PROXY and its like are not looked at.";
    let proxy = reader.optional("proxy_url", &PROXY, doc);
    if proxy.is_some() && tls.server_name.is_some() {
        // The proxy would have to be asked for the other name.
        let problem = "does not go together with tls.server_name";
        reader.fault("proxy_url", Wrong::new(problem, "write the server's name into url, and keep one of the two"));
    }
    proxy
}

fn warn_of_http(reader: &Reader<'_>, key: &str, url: Option<&url::Url>) {
    if url.is_some_and(|url| url.scheme() == "http" && !is_loopback(url)) {
        let problem = "is http: credentials for it can be read on the way";
        reader.warn(key, Wrong::new(problem, "write https://"));
    }
}

impl UpstreamAuth {
    fn read(reader: &mut Reader<'_>) -> Self {
        let none = reader.optional_choice(
            "type|strategy",
            &[("none", true), ("bearer", false)],
            "none, or bearer; bearer when a token is written.",
        );
        let short = reader.optional_secret("token", "Short for bearer: {token: …}.");
        let long = reader.section("bearer", "A fixed token.", read_token);
        if short.is_some() && long.is_some() {
            reader.fault("token", Wrong::new("says the same as bearer", "keep one of the two"));
        }
        let written = reader.is_set("token") || reader.is_set("bearer");
        match none {
            Some(true) if written => {
                reader.fault("type|strategy", Wrong::new("is none, but a token is written", "write bearer"));
            }
            Some(false) if !written => {
                reader.fault("type|strategy", Wrong::new("is bearer, but no token is written", "add token, or bearer"));
            }
            _ => {}
        }
        short.or(long).map_or(Self::None, |token| Self::Bearer(without_scheme(&token)))
    }
}

fn read_token(reader: &mut Reader<'_>) -> Option<Secret> {
    let token = reader.optional_secret("token", "The token.");
    let variable = reader.secret_from_environment("token_env", "A variable with the token.");
    let file = reader.secret_from_file("token_file", "A file with the token.");
    reader.at_most_one(&["token", "token_env", "token_file"]);
    let token = token.or(variable).or(file);
    // RFC 6750 §2.1: b64token; whatever else is in it would break the header.
    if token.as_ref().is_some_and(|token| header::check_value(token.expose()).is_err()) {
        let wrong = Wrong::new("holds a line end, control character or space around it", "remove it");
        reader.fault("token|token_env|token_file", wrong);
    }
    token
}

/// Configurations made for other bridges say `Bearer …`, which would be sent twice.
fn without_scheme(token: &Secret) -> Secret {
    let text = token.expose();
    Secret::new(text.strip_prefix("Bearer ").unwrap_or(text))
}

fn read_headers(reader: &mut Reader<'_>) -> Vec<(String, Secret)> {
    let headers = reader.map("headers", &kind::HIDDEN_TEXT, "Sent with every request.");
    for (index, (name, value)) in headers.iter().enumerate() {
        let twice = headers[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let wrong = if twice {
            Err(Wrong::new("is there already, in other case", "keep one of the two"))
        } else {
            header::check_name(name).and_then(|()| header::check_value(value.expose()))
        };
        if let Err(wrong) = wrong {
            reader.fault(&format!("headers.{name}"), wrong);
        }
    }
    headers
}
