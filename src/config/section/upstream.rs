//! `upstreams` (aliases `servers`, `mcpServers`) and `server.mcp_server`: the MCP servers behind the bridge.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;

/// One MCP server behind the bridge.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The key in `upstreams`; `default` for `server.mcp_server`.
    pub name: String,
    /// What it is and how it is reached.
    pub kind: UpstreamKind,
    /// `prefix` of its names. `None`: its name when there are several upstreams, nothing when it is the only one.
    pub prefix: Option<String>,
    /// `separator` between prefix and name.
    pub separator: String,
    /// `timeout` (`read_timeout` in `mcp_server`): for one answer; progress starts it anew.
    pub timeout: Duration,
    /// `required`: the bridge does not start without it.
    pub required: bool,
    /// `include_tools`: names of the upstream's tools, `*` for any run of characters. Empty: none.
    pub include_tools: Vec<String>,
    /// `exclude_tools`: the same, and stronger.
    pub exclude_tools: Vec<String>,
    /// `tools`: rules for single tools, by the upstream's name of them.
    pub tools: BTreeMap<String, ToolRule>,
}

/// What an upstream is.
#[derive(Clone, Debug)]
pub enum UpstreamKind {
    /// `builtin`: compiled in.
    Builtin(BuiltinServer),
    /// `command`: a child process that speaks on its standard input and output.
    Stdio(Command),
    /// `url`: Streamable HTTP.
    Http(HttpUpstream),
}

/// `builtin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltinServer {
    /// Tools `whoami`, `echo` and `time`.
    Whoami,
}

/// A child process.
#[derive(Clone, Debug)]
pub struct Command {
    /// `command`: a program, looked up in `PATH` when it has no slash. Never a shell line.
    pub command: String,
    /// `args`, passed as they are.
    pub args: Vec<String>,
    /// `env`: set for the child.
    pub env: BTreeMap<String, Secret>,
    /// `inherit_env`: what of the bridge's own environment the child sees.
    pub inherit_env: InheritEnv,
    /// `dir`, absolute here. `None`: the bridge's own.
    pub dir: Option<PathBuf>,
    /// `startup_timeout`: from start to the answer to `initialize`.
    pub startup_timeout: Duration,
    /// `graceful_shutdown_timeout`: from closing its standard input to SIGTERM, and again to SIGKILL.
    pub graceful_shutdown_timeout: Duration,
    /// How it is restarted.
    pub restart: RestartPolicy,
}

/// `inherit_env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InheritEnv {
    /// `true`: everything.
    All,
    /// These variables. The default is `PATH`, `HOME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR`, `USER`, `LOGNAME`, `SHELL`.
    Only(Vec<String>),
}

/// `restart_on_failure` and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// `restart_on_failure`.
    pub enabled: bool,
    /// `max_restarts` in a row without a minute's life. `None`: no bound.
    pub max_restarts: Option<u32>,
    /// `restart_delay`: the first; each further one is twice as long.
    pub delay: Duration,
    /// `max_restart_delay`.
    pub max_delay: Duration,
}

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

/// `tools.<name>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRule {
    /// `scopes` a caller needs for this tool, in place of what its annotations say.
    pub scopes: Option<Vec<String>>,
}
