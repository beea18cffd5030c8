//! Which hosts and origins may be named in a request.
//!
//! A page elsewhere that resolves its own name to this address (DNS rebinding) still sends its own name as `Host`.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, Version};
use ipnet::IpNet;

use crate::http::real_ip;

/// What may stand in `Host` and `Origin`, and whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Host names, in lower case, without port.
    pub hosts: Vec<String>,
    /// Origins, as browsers write them.
    pub origins: Vec<String>,
    /// Peers that are proxies of the operator.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the public address is https.
    pub is_https: bool,
}

/// Why a request is not looked at.
pub enum Refusal {
    /// `Host` is missing, repeated or malformed.
    BadHost,
    /// `Host` is somebody else's name.
    ForeignHost,
    /// `Origin` is somebody else's, or a form comes from somebody else's page.
    ForeignOrigin,
}

impl Guard {
    /// Checks what a request says of where it goes and where it comes from.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, request: &ServiceRequest, form: Form) -> Result<(), Refusal> {
        let headers = request.headers();
        let mut hosts = headers.get_all(header::HOST);
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => self.check_host(host.to_str().map_err(|_| Refusal::BadHost)?)?,
            // RFC 9112 §3.2: a request without Host, or with two, MUST be answered with 400.
            (None, None) if request.version() == Version::HTTP_2 => {}
            _ => return Err(Refusal::BadHost),
        }
        // RFC 9112 §3.2.2: a host in the request target counts instead of `Host`.
        if let Some(target) = request.uri().authority() {
            self.check_host(target.as_str())?;
        }
        let mut origins = headers.get_all(header::ORIGIN);
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            // MCP Streamable HTTP, "Security": an invalid Origin MUST be answered with 403.
            (Some(origin), None) if self.is_allowed_origin(origin) => Ok(()),
            // Our pages ask for no referrer, so browsers hide the origin of their forms. Newer ones say that it is the
            // same; with older ones the form's token and the cookie, which no other site's form brings along, decide.
            (Some(origin), None) if origin == "null" && matches!(form, Form::SameOrigin | Form::Unsaid) => Ok(()),
            _ => Err(Refusal::ForeignOrigin),
        }?;
        // A form of another site is refused even before its token is looked at.
        if form == Form::Foreign { Err(Refusal::ForeignOrigin) } else { Ok(()) }
    }

    fn check_host(&self, host: &str) -> Result<(), Refusal> {
        let name = host_name(host).ok_or(Refusal::BadHost)?.to_ascii_lowercase();
        if self.hosts.contains(&name) { Ok(()) } else { Err(Refusal::ForeignHost) }
    }

    fn is_allowed_origin(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }

    /// The address of the client: the peer, unless the peer is a trusted proxy that says otherwise.
    #[must_use]
    pub fn client_address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
        real_ip::client_address(&self.trusted_proxies, peer, headers)
    }
}

/// The name in `Host`, without its port. `None` when it is not `host` or `host:port` (RFC 9110 §7.2).
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            host.split_at_checked(end)?
        }
        None => host.split_at_checked(host.find(':').unwrap_or(host.len()))?,
    };
    let port_is_good = port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    (port_is_good && !name.is_empty() && name.bytes().all(legal)).then_some(name)
}

/// Whether a request is a form, and whether the browser says that it came from one of our pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It is none.
    None,
    /// It comes from a page of ours.
    SameOrigin,
    /// The browser does not say.
    Unsaid,
    /// It comes from somebody else's page.
    Foreign,
}

impl Form {
    /// Of a request to one of the pages.
    pub fn of(request: &ServiceRequest) -> Self {
        if request.method() != Method::POST {
            return Self::None;
        }
        match request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(b"same-origin") => Self::SameOrigin,
            Some(b"none") | None => Self::Unsaid,
            Some(_) => Self::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port() {
        assert_eq!(host_name("a.example:8080"), Some("a.example"));
        assert_eq!(host_name("[::1]:8080"), Some("[::1]"));
        assert_eq!(host_name("127.0.0.1"), Some("127.0.0.1"));
        for host in ["", "a b", "user@h", "a:b:c", "a:99999", "[::1", "a/b", "ä"] {
            assert_eq!(host_name(host), None, "{host}");
        }
    }
}
