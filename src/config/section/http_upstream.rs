//! The keys of an upstream that is a URL.

use std::time::Duration;

use crate::base::secret::Secret;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::value::header;
use crate::config::value::url::{ENDPOINT, is_loopback};

/// A Streamable HTTP server.
#[derive(Clone, Debug)]
pub struct HttpUpstream {
    /// `url`.
    pub url: url::Url,
    /// `connect_timeout`.
    pub connect_timeout: Duration,
    /// `headers`, sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// `auth`: the bridge's own credentials; never the client's token.
    pub auth: UpstreamAuth,
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
pub(super) const KEYS: [&str; 3] = ["connect_timeout", "headers", "auth"];

impl HttpUpstream {
    /// `None` when there is no `url`; the other keys are checked all the same.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.optional("url", &ENDPOINT, "A Streamable HTTP server.");
        let connect_timeout = reader.duration("connect_timeout", "10s", "For the connection, with TLS.");
        let headers = read_headers(reader);
        let auth =
            reader.section("auth", "The bridge's own credentials; never the client's token.", UpstreamAuth::read);
        let authorization = |(name, _): &(String, Secret)| name.eq_ignore_ascii_case("authorization");
        let secret = !matches!(auth, UpstreamAuth::None);
        if secret && headers.iter().any(authorization) {
            reader.fault("headers", Wrong::new("has Authorization, which auth sends too", "keep one of the two"));
        }
        let open = url.as_ref().is_some_and(|url| url.scheme() == "http" && !is_loopback(url));
        if open && (secret || !headers.is_empty()) {
            let problem = "is http: credentials for it can be read on the way";
            reader.warn("url", Wrong::new(problem, "write https://"));
        }
        Some(Self { url: url?, connect_timeout, headers, auth })
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
