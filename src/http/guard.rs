//! What comes before everything else, on every route: the `Host` and `Origin` headers, and CORS for the origins allowed.
//!
//! A page elsewhere that resolves its own name to this address (DNS rebinding) still sends its own name as `Host`.

use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use ipnet::IpNet;

use crate::http::answer;
use crate::http::state::State;

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

enum Refusal {
    BadHost,
    ForeignHost,
    ForeignOrigin,
}

impl Guard {
    fn check(&self, headers: &HeaderMap, version: Version, form: Form) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST);
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => self.check_host(host)?,
            // RFC 9112 §3.2: a request without Host, or with two, MUST be answered with 400.
            (None, None) if version == Version::HTTP_2 => {}
            _ => return Err(Refusal::BadHost),
        }
        let mut origins = headers.get_all(header::ORIGIN);
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            // MCP Streamable HTTP, "Security": an invalid Origin MUST be answered with 403.
            (Some(origin), None) if self.is_allowed_origin(origin) => Ok(()),
            // Our pages ask for no referrer, so browsers hide the origin of their forms, but not that it is the same.
            (Some(origin), None) if origin == "null" && form == Form::SameOrigin => Ok(()),
            _ => Err(Refusal::ForeignOrigin),
        }?;
        // A form of another site is refused even before its token is looked at.
        if form == Form::Foreign { Err(Refusal::ForeignOrigin) } else { Ok(()) }
    }

    fn check_host(&self, host: &HeaderValue) -> Result<(), Refusal> {
        let host = host.to_str().map_err(|_| Refusal::BadHost)?;
        let name = host_name(host).ok_or(Refusal::BadHost)?.to_ascii_lowercase();
        if self.hosts.contains(&name) { Ok(()) } else { Err(Refusal::ForeignHost) }
    }

    fn is_allowed_origin(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }

    /// The address of the client: the peer, unless the peer is a trusted proxy that says otherwise.
    #[must_use]
    pub fn client_address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
        crate::http::real_ip::client_address(&self.trusted_proxies, peer, headers)
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

/// Refuses foreign hosts and origins, answers preflights, and adds the headers that every answer has.
pub async fn middleware(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let Some(state) = state else { return next.call(request).await.map(ServiceResponse::map_into_boxed_body) };
    let is_page = state.is_page(request.path());
    let form = if is_page { Form::of(&request) } else { Form::None };
    if let Err(refusal) = state.guard.check(request.headers(), request.version(), form) {
        let response = refused(&refusal);
        return Ok(request.into_response(response).map_into_boxed_body());
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS && origin.is_some() && !is_page {
        request.into_response(preflight())
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    // OAuth 2.1 §3.1: the authorization endpoint MUST NOT support CORS.
    if let Some(origin) = origin.filter(|_| !is_page) {
        allow_origin(response.headers_mut(), origin);
    }
    add_common_headers(response.headers_mut(), state.guard.is_https);
    Ok(response)
}

/// Whether a request is a form, and whether the browser says that it came from one of our pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    None,
    SameOrigin,
    Unsaid,
    Foreign,
}

impl Form {
    /// Of a request to one of the pages.
    fn of(request: &ServiceRequest) -> Self {
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

fn refused(refusal: &Refusal) -> HttpResponse {
    match refusal {
        Refusal::BadHost => {
            let mut response = answer::message(
                StatusCode::BAD_REQUEST,
                "bad_request",
                "the Host header is missing, repeated or malformed",
            );
            response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
            response
        }
        Refusal::ForeignHost => answer::message(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "this host name is not served here; the operator can add it to server.allowed_hosts",
        ),
        Refusal::ForeignOrigin => answer::message(
            StatusCode::FORBIDDEN,
            "forbidden_origin",
            "requests from this origin are not allowed; the operator can add it to server.allowed_origins",
        ),
    }
}

const ALLOWED_HEADERS: &str =
    "Authorization, Content-Type, Accept, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID";

fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn add_common_headers(headers: &mut HeaderMap, is_https: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_https {
        let value = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        headers.insert(HeaderName::from_static("strict-transport-security"), value);
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
