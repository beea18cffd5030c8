//! `server`: the listener, its limits, and what guards every route.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// `server`.
#[derive(Clone, Debug)]
pub struct Server {
    /// `listen`. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// `public_url`: the origin people type, without a trailing slash. `None`: that of the issuer, or of the listener.
    pub public_url: Option<String>,
    /// `root_endpoint`: MCP is answered at `/` too.
    pub root_endpoint: bool,
    /// `read_timeout`: for the head and the body of a request; never cuts a call short.
    pub read_timeout: Duration,
    /// `idle_timeout`: how long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// `write_timeout`: how long a client that does not read may hold up its stream.
    pub write_timeout: Duration,
    /// `request_timeout`: for one MCP request; progress starts it anew.
    pub request_timeout: Duration,
    /// `sse_keepalive_interval`: between comments on a silent stream.
    pub sse_keepalive_interval: Duration,
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
    /// `rate_limit.login`: per client address, for login, token and registration, each counted apart.
    pub login_rate_limit: RateLimit,
}

/// `server.session`: MCP sessions of the session era.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// `timeout`: how long a session without a request or an open stream lives.
    pub timeout: Duration,
    /// `max_sessions` in all; 0: no bound.
    pub max_sessions: usize,
    /// `max_per_principal`; 0: no bound. The least recently used makes room.
    pub max_per_principal: usize,
}

/// So many in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// `limit`; 0: no bound.
    pub limit: u32,
    /// `interval`.
    pub interval: Duration,
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
