//! What no section can know alone: who may call, and whether what is public is safe to be.

use url::Url;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::section::{EndpointAuth, Isolation, ServerSection, Upstream, UpstreamKind};
use crate::config::value::url::{is_loopback, secure};

/// Whose word is taken on the endpoint: what is written, else our own tokens when we make any, else everybody's.
pub fn endpoint_auth(reader: &Reader<'_>, section: &ServerSection) -> EndpointAuth {
    let auth = match (section.auth, &section.oauth_server) {
        (Some(auth), _) => auth,
        (None, Some(_)) => EndpointAuth::Builtin,
        (None, None) => EndpointAuth::None,
    };
    if auth == EndpointAuth::Builtin && section.oauth_server.is_none() {
        let problem = "is builtin, but server.oauth_server is not enabled, so that nobody could get a token";
        let key = if reader.is_set("auth") { "auth.type" } else { "server.auth.type" };
        reader.fault(key, Wrong::new(problem, "write server.oauth_server.enabled: true, or type: none"));
    }
    if auth == EndpointAuth::None && !section.server.listen.ip().is_loopback() {
        let problem = format!("everybody who reaches {} may call every tool", section.server.listen);
        let fix = "enable server.oauth_server, or listen on 127.0.0.1";
        reader.warn("server.auth", Wrong::new(problem, fix));
    }
    auth
}

/// Where everybody is nobody in particular, nothing can be kept apart for each person.
pub fn isolation(reader: &Reader<'_>, auth: EndpointAuth, upstreams: &[Upstream]) {
    if auth != EndpointAuth::None {
        return;
    }
    let is_concerned = |upstream: &&Upstream| {
        upstream.isolation == Isolation::PerUser && !matches!(upstream.kind, UpstreamKind::Builtin(_))
    };
    for upstream in upstreams.iter().filter(is_concerned) {
        let problem = "is isolated per_user, but without server.auth nobody is known";
        let wrong = Wrong::new(problem, "enable server.oauth_server, or write isolation: per_session");
        if upstream.name == "default" && reader.is_set_at(&["server", "mcp_server"]) {
            reader.fault("server.mcp_server.isolation", wrong);
        } else {
            reader.fault_below("upstreams|servers|mcpServers", &upstream.name, wrong);
        }
    }
}

/// The issuer is what clients are told to trust: it has to be reachable, secure, and ours.
pub fn issuer(reader: &Reader<'_>, section: &ServerSection) {
    let Some(oauth_server) = &section.oauth_server else { return };
    let listens_to_all = !section.server.listen.ip().is_loopback();
    let (key, issuer) = match (&oauth_server.issuer, &section.server.public_url) {
        (Some(issuer), _) => ("server.oauth_server.issuer", issuer),
        (None, Some(public_url)) => ("server.public_url", public_url),
        (None, None) => {
            // A key that is there but wrong has its fault already.
            if listens_to_all && !reader.is_set_at(&["server", "oauth_server", "issuer"]) {
                let problem = format!("is missing, and {} is no address for clients", section.server.listen);
                let fix = "write the https URL that clients reach, such as https://mcp.example.com";
                reader.fault("server.oauth_server.issuer", Wrong::new(problem, fix));
            }
            return;
        }
    };
    let Ok(url) = Url::parse(issuer) else { return };
    if let Err(wrong) = secure(&url, issuer) {
        reader.fault(key, wrong);
    } else if url.scheme() == "http" && listens_to_all {
        http_on_every_address(reader, section);
    }
    if let Some(public_url) = section.server.public_url.as_ref().and_then(|url| Url::parse(url).ok()) {
        let known = |host: &str| section.server.allowed_hosts.iter().any(|allowed| allowed == host);
        let both_here = is_loopback(&public_url) && is_loopback(&url);
        if public_url.host_str() != url.host_str() && !both_here && !url.host_str().is_some_and(known) {
            let problem = "has another host than server.public_url, and requests to it are refused";
            reader.fault(key, Wrong::new(problem, "use one host, or add this one to server.allowed_hosts"));
        }
    }
}

/// Passwords would cross the network in the clear (MCP, Security Best Practices; security.md HOST-6).
fn http_on_every_address(reader: &Reader<'_>, section: &ServerSection) {
    let listen = section.server.listen;
    if section.danger_http {
        let problem = format!("is on: passwords and tokens can be read on the way to {listen}");
        reader.warn("server.danger_http", Wrong::new(problem, "use https, or listen on 127.0.0.1"));
        return;
    }
    let problem = format!("{listen} is reachable from other machines, and the issuer is http");
    let fix = "write an https issuer and let a reverse proxy do TLS, or listen on 127.0.0.1 (server.danger_http: true if \
               you must, such as in a container whose port is published on loopback only)";
    reader.fault("server.listen", Wrong::new(problem, fix));
}
