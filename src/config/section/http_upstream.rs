//! The keys of an upstream that is a URL.

use std::time::Duration;

use crate::base::secret::Secret;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::section::tls::UpstreamTls;
use crate::config::value::header;
use crate::config::value::url::{ENDPOINT, PROXY, is_loopback};

/// A server behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUpstream {
    /// `url`.
    pub url: url::Url,
    /// `protocol`, or what `type` says of it.
    pub protocol: HttpProtocol,
    /// `message_url`: where messages are sent in place of what an HTTP+SSE server's `endpoint` event says.
    pub message_url: Option<url::Url>,
    /// `connect_timeout`.
    pub connect_timeout: Duration,
    /// `proxy_url`: http, https, socks5 or socks5h, with its credentials.
    pub proxy_url: Option<Secret>,
    /// `tls`.
    pub tls: UpstreamTls,
    /// `headers`, sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// `auth`: the bridge's own credentials; never the client's token.
    pub auth: UpstreamAuth,
}

/// `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpProtocol {
    /// `auto`: Streamable HTTP, or HTTP+SSE when the server refuses that.
    Auto,
    /// `streamable-http`: 2025-03-26 and later.
    StreamableHttp,
    /// `sse`: HTTP+SSE, 2024-11-05.
    Sse,
}

/// `auth` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAuth {
    /// `none`.
    None,
    /// `bearer`, or the short form `auth: {token: …}`.
    Bearer(Secret),
}

/// Keys that mean nothing to other kinds of upstreams.
pub(super) const KEYS: [&str; 7] =
    ["protocol", "message_url", "connect_timeout", "proxy_url", "tls", "headers", "auth"];

const PROTOCOLS: [(&str, HttpProtocol); 3] =
    [("auto", HttpProtocol::Auto), ("streamable-http", HttpProtocol::StreamableHttp), ("sse", HttpProtocol::Sse)];

impl HttpUpstream {
    /// `None` when there is no `url`; the other keys are checked all the same.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.optional("url", &ENDPOINT, "A server that speaks Streamable HTTP, or HTTP+SSE.");
        let (protocol, message_url) = read_protocol(reader);
        let connect_timeout = reader.duration("connect_timeout", "10s", "For the connection, with TLS.");
        let doc = "http, https, socks5 or socks5h; proxy variables are not listened to.";
        let proxy_url = reader.optional("proxy_url", &PROXY, doc);
        let tls = reader.section("tls", "Whom it is believed to be, and by what it believes us.", UpstreamTls::read);
        let headers = read_headers(reader);
        let auth =
            reader.section("auth", "The bridge's own credentials; never the client's token.", UpstreamAuth::read);
        let authorization = |(name, _): &(String, Secret)| name.eq_ignore_ascii_case("authorization");
        let secret = !matches!(auth, UpstreamAuth::None);
        if secret && headers.iter().any(authorization) {
            reader.fault("headers", Wrong::new("has Authorization, which auth sends too", "keep one of the two"));
        }
        for (key, url) in [("url", &url), ("message_url", &message_url)] {
            let open = url.as_ref().is_some_and(|url| url.scheme() == "http" && !is_loopback(url));
            if open && (secret || !headers.is_empty()) {
                let problem = "is http: credentials for it can be read on the way";
                reader.warn(key, Wrong::new(problem, "write https://"));
            }
        }
        let url = url?;
        let http = Self { url, protocol, message_url, connect_timeout, proxy_url, tls, headers, auth };
        http.check_tls(reader);
        Some(http)
    }

    fn check_tls(&self, reader: &mut Reader<'_>) {
        if self.url.scheme() == "http" {
            if reader.is_set("tls") {
                reader.fault("tls", Wrong::new("means nothing to url, which is http", "write https://, or remove it"));
            }
            reader.hide(&["tls"]);
        }
        let others = [("proxy_url", self.proxy_url.is_some()), ("message_url", self.message_url.is_some())];
        for (key, _) in others.iter().filter(|(_, is_set)| *is_set && self.tls.server_name.is_some()) {
            reader.fault(key, Wrong::new("does not go with tls.server_name", "remove one of the two"));
        }
    }

    /// Takes over what `type` says of the protocol.
    pub(super) fn is_said_to_speak(&mut self, said: HttpProtocol, reader: &Reader<'_>) {
        if self.protocol == HttpProtocol::Auto {
            self.protocol = said;
        }
        if self.protocol != said {
            reader.fault("type", Wrong::new("says another protocol than protocol does", "remove one of the two"));
        }
        if said == HttpProtocol::StreamableHttp && self.message_url.is_some() {
            refuse_message_url(reader);
        }
    }
}

fn read_protocol(reader: &mut Reader<'_>) -> (HttpProtocol, Option<url::Url>) {
    let doc = "auto tries Streamable HTTP, then HTTP+SSE (2024-11-05).";
    let protocol = reader.choice("protocol", &PROTOCOLS, HttpProtocol::Auto, doc);
    let doc = "HTTP+SSE: where messages are sent, when it is not the origin of url. The session is added as its query.";
    let message_url = reader.optional("message_url", &ENDPOINT, doc);
    if protocol == HttpProtocol::StreamableHttp && message_url.is_some() {
        refuse_message_url(reader);
    }
    (protocol, message_url)
}

fn refuse_message_url(reader: &Reader<'_>) {
    reader.fault("message_url", Wrong::new("means nothing to Streamable HTTP, which has one URL", "remove it"));
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
