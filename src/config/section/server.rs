//! `server`: the listener, its limits, and what guards every route.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;

use crate::config::document::Node;
use crate::config::reader::kind::{self, Kind, expected};
use crate::config::reader::{Hoisted, Reader};
use crate::config::section::oauth_server::OauthServer;
use crate::config::section::rate_limit::RateLimit;
use crate::config::section::upstream::Upstream;
use crate::config::value::name::{HOST, PATH};
use crate::config::value::url::ORIGIN;

/// `server`.
#[derive(Clone, Debug)]
pub struct Server {
    /// `listen`. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// `public_url`: the origin people type, without a trailing slash. `None`: that of the issuer, or of the listener.
    pub public_url: Option<String>,
    /// `root_endpoint`: MCP is answered at `/` too.
    pub root_endpoint: bool,
    /// `read_timeout`: for the head of a request, and the longest pause in its body; never cuts a call short.
    pub read_timeout: Duration,
    /// `idle_timeout`: how long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// `write_timeout`: how long a client that does not read may hold up its stream.
    pub write_timeout: Duration,
    /// `request_timeout`: for one MCP request; progress starts it anew.
    pub request_timeout: Duration,
    /// `sse_keepalive_interval`: between comments on a silent stream.
    pub sse_keepalive_interval: Duration,
    /// `pre_stop_delay`: how long new connections are still taken after the bridge was told to stop and `/readyz` says so.
    pub pre_stop_delay: Duration,
    /// `shutdown_timeout`: for requests under way when the bridge is told to stop.
    pub shutdown_timeout: Duration,
    /// `max_request_body` of MCP requests, in bytes.
    pub max_request_body: usize,
    /// `max_connections`.
    pub max_connections: usize,
    /// `workers`. `None`: one a core.
    pub workers: Option<usize>,
    /// `trusted_proxies`: only from these is `X-Forwarded-For` believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `allowed_hosts`: names (without port) accepted in `Host` beside that of the public URL and, on a loopback
    /// listener, the loopback names.
    pub allowed_hosts: Vec<String>,
    /// `allowed_origins`: accepted in `Origin` beside that of the public URL.
    pub allowed_origins: Vec<String>,
    /// `session`.
    pub session: Session,
    /// `tool_search`: tools are found with `search` and called with `execute`, in place of a list of them all.
    pub tool_search: ToolSearch,
    /// `rate_limit.login`: per client address, for login, token and registration, each counted apart.
    pub login_rate_limit: RateLimit,
}

/// `server.session`: MCP sessions of the session era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// `timeout`: how long a session without a request or an open stream lives.
    pub timeout: Duration,
    /// `max_sessions` in all; 0: no bound.
    pub max_sessions: usize,
    /// `max_per_principal`; 0: no bound. The least recently used makes room.
    pub max_per_principal: usize,
    /// `max_streams_per_user`: how many streams that stay open one person may have, with whatever apps; 0: no bound.
    pub max_streams_per_user: usize,
    /// `replay_events`: how many events of a stream are kept for a client that comes back; 0: none.
    pub replay_events: usize,
}

/// `server.tool_search`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolSearch {
    /// `enabled`.
    pub enabled: bool,
    /// `results`: so many tools, at most, come of one search.
    pub results: usize,
}

/// Where MCP is served, and to whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `server.mcp_path`, beginning with a slash.
    pub path: String,
    /// `server.auth.type`.
    pub auth: EndpointAuth,
}

/// `server.auth`: whose word is taken for who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointAuth {
    /// `none`: everybody may call.
    None,
    /// `builtin`: access tokens of our own authorization server.
    Builtin,
}

/// `server` with everything that stands in it.
pub(in crate::config) struct ServerSection {
    pub server: Server,
    pub mcp_path: String,
    pub auth: Option<EndpointAuth>,
    pub oauth_server: Option<OauthServer>,
    pub mcp_server: Option<Upstream>,
    pub danger_http: bool,
}

impl ServerSection {
    /// `auth` is what stands at the top of the file instead of here.
    pub(in crate::config) fn read<'a>(reader: &mut Reader<'a>, auth: Option<Hoisted<'a>>) -> Self {
        Self {
            server: Server::read(reader),
            mcp_path: reader.value("mcp_path", &PATH, "/mcp", "Where MCP is served."),
            auth: reader.section_or("auth", auth, "Whose word is taken for who is calling.", read_auth),
            oauth_server: reader.section("oauth_server", "The authorization server.", OauthServer::read),
            mcp_server: reader.optional_section(
                "mcp_server",
                "The only MCP server behind the bridge: the same keys as one of upstreams.",
                Upstream::read_only_one,
            ),
            danger_http: reader.boolean(
                "danger_http",
                false,
                "Allows an http issuer on a listener that other machines can reach: passwords and tokens can be read on the way.",
            ),
        }
    }
}

impl Server {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            listen: reader.value("listen", &kind::LISTEN, "127.0.0.1:8080", "Address and port. :8080: every address."),
            public_url: reader.optional(
                "public_url",
                &ORIGIN,
                "Scheme and host that people type. Default: the issuer's.",
            ),
            root_endpoint: reader.boolean("root_endpoint", true, "MCP is answered at / too."),
            read_timeout: reader.duration(
                "read_timeout",
                "30s",
                "For a request's head, and between pieces of its body; never cuts a call.",
            ),
            idle_timeout: reader.duration("idle_timeout", "120s", "How long a connection without a request is kept."),
            write_timeout: reader.duration("write_timeout", "60s", "How long a client may not read its stream."),
            request_timeout: reader.duration("request_timeout", "300s", "For an MCP request; progress starts it anew."),
            sse_keepalive_interval: reader.duration(
                "sse_keepalive_interval",
                "30s",
                "Between comments on a silent stream.",
            ),
            pre_stop_delay: reader.value(
                "pre_stop_delay",
                &kind::DURATION,
                "0s",
                "New connections are still taken so long after /readyz began to say 503 at a stop.",
            ),
            shutdown_timeout: reader.duration("shutdown_timeout", "30s", "For requests under way when told to stop."),
            max_request_body: reader.size("max_request_body", "10MiB", "Of an MCP request."),
            max_connections: to_usize(reader.value("max_connections", &kind::POSITIVE_COUNT, 10_000, "At one time.")),
            workers: reader.value("workers", &WORKERS, "auto", "Threads that serve requests; auto is one a core."),
            trusted_proxies: reader.list(
                "trusted_proxies",
                &kind::NETWORK,
                &[],
                "Address ranges of reverse proxies whose X-Forwarded-For is believed.",
            ),
            allowed_hosts: reader.list(
                "allowed_hosts",
                &HOST,
                &[],
                "Names accepted in Host beside that of public_url and, on a loopback listener, localhost.",
            ),
            allowed_origins: reader.list("allowed_origins", &ORIGIN, &[], "Accepted in Origin beside public_url."),
            session: reader.section("session", "MCP sessions.", Session::read),
            tool_search: reader.section("tool_search", "For very many tools.", ToolSearch::read),
            login_rate_limit: reader.section("rate_limit", "How often one address may ask.", |reader| {
                reader.section("login", "For login, token and registration, each counted apart.", RateLimit::read)
            }),
        }
    }
}

impl Session {
    fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "For one person; the least recently used makes room. 0: no bound.";
        let streams = "That stay open, with all apps of one person. 0: no bound.";
        let replay = "Of a stream, kept for a client whose connection broke. 0: none, and no stream can be resumed.";
        Self {
            timeout: reader.duration("timeout", "30m", "How long a session without a request or open stream lives."),
            max_sessions: to_usize(reader.count("max_sessions", 10_000, "In all. 0: no bound.")),
            max_per_principal: to_usize(reader.count("max_per_principal", 64, doc)),
            max_streams_per_user: to_usize(reader.count("max_streams_per_user", 256, streams)),
            replay_events: to_usize(reader.count("replay_events", 100, replay)),
        }
    }
}

impl ToolSearch {
    fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "Clients are given two tools, search and execute, in place of the list.";
        let results = reader.value("results", &kind::POSITIVE_COUNT, 10, "What one search gives, at most.");
        Self { enabled: reader.boolean("enabled", false, doc), results: to_usize(results) }
    }
}

fn read_auth(reader: &mut Reader<'_>) -> Option<EndpointAuth> {
    reader.optional_choice(
        "type|strategy",
        &[("none", EndpointAuth::None), ("builtin", EndpointAuth::Builtin)],
        "none lets everybody call; builtin takes tokens of oauth_server, and is the default when that is enabled.",
    )
}

const WORKERS: Kind<Option<usize>> = Kind {
    schema: || json!({"anyOf": [{"const": "auto"}, {"$ref": "#/$defs/positive_count"}]}),
    parse: |node| match node {
        Node::String(text) | Node::Expanded(text) if text == "auto" => Ok(None),
        node => match (kind::COUNT.parse)(node) {
            Ok(count @ 1..=1024) => Ok(Some(to_usize(count))),
            _ => Err(expected(node, "auto or a number from 1 to 1024", "write auto")),
        },
    },
    print: |workers| match workers {
        None => Node::from("auto"),
        Some(workers) => Node::Integer(i64::try_from(*workers).unwrap_or(i64::MAX)),
    },
};

/// No loss on the 32-bit and 64-bit machines there are.
fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
