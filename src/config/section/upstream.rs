//! `upstreams` (aliases `servers`, `mcpServers`) and `server.mcp_server`: the MCP servers behind the bridge.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;
use crate::config::section::command::{self, Command};
use crate::config::section::http_upstream::{self, HttpProtocol, HttpUpstream};
use crate::config::section::isolation::Isolation;
use crate::config::value::name::{PREFIX, check_upstream};
use crate::config::value::scope::SCOPE;
use crate::config::value::template;

/// One MCP server behind the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The key in `upstreams`; `default` for `server.mcp_server`.
    pub name: String,
    /// What it is and how it is reached.
    pub kind: UpstreamKind,
    /// `era` of the protocol that it speaks. `None`: it is asked.
    pub era: Option<UpstreamEra>,
    /// `prefix` of its names. `None`: its name when there are several upstreams, nothing when it is the only one.
    pub prefix: Option<String>,
    /// `separator` between prefix and name.
    pub separator: String,
    /// `timeout` (`read_timeout` in `mcp_server`): for one answer; progress starts it anew.
    pub timeout: Duration,
    /// `isolation`.
    pub isolation: Isolation,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// `builtin`: compiled in.
    Builtin(BuiltinServer),
    /// `command`: a child process that speaks on its standard input and output.
    Stdio(Command),
    /// `url`: Streamable HTTP, or HTTP+SSE.
    Http(HttpUpstream),
}

/// `era`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamEra {
    /// 2024-11-05 to 2025-11-25.
    Session,
    /// 2026-07-28.
    Stateless,
}

/// `builtin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltinServer {
    /// Tools `whoami`, `echo` and `time`.
    Whoami,
}

/// `tools.<name>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRule {
    /// `scopes` a caller needs for this tool, in place of what its annotations say.
    pub scopes: Option<Vec<String>>,
}

/// The name of `server.mcp_server`.
const ONLY_ONE: &str = "default";
/// A second spelling of the kind, which files written for clients have.
const TYPES: [(&str, (&str, Option<HttpProtocol>)); 5] = [
    ("stdio", ("command", None)),
    ("http", ("url", None)),
    ("streamable-http", ("url", Some(HttpProtocol::StreamableHttp))),
    ("streamable_http", ("url", Some(HttpProtocol::StreamableHttp))),
    ("sse", ("url", Some(HttpProtocol::Sse))),
];

/// `era`, as it is written.
const ERAS: [(&str, Option<UpstreamEra>); 3] =
    [("auto", None), ("session", Some(UpstreamEra::Session)), ("stateless", Some(UpstreamEra::Stateless))];

/// Everything behind the bridge: `upstreams`, and `mcp_server` before them.
pub(in crate::config) fn read_all(reader: &mut Reader<'_>, mcp_server: Option<Upstream>) -> Vec<Upstream> {
    let names = "upstreams|servers|mcpServers";
    let doc = "The MCP servers behind the bridge: a mapping from name to server, or a list with `name`.";
    let named = reader.named_sections(names, doc, |name, reader| {
        if let Err(wrong) = check_upstream(name) {
            reader.fault("", wrong);
        }
        Upstream::read(name, reader)
    });
    let mut upstreams: Vec<Upstream> = mcp_server.into_iter().collect();
    if !upstreams.is_empty() && named.iter().any(|(name, _)| name == ONLY_ONE) {
        let wrong = Wrong::new("has the name of server.mcp_server", "give it another name");
        reader.fault_below(names, ONLY_ONE, wrong);
    }
    upstreams.extend(named.into_iter().map(|(_, upstream)| upstream));
    check_prefixes(reader, names, &upstreams);
    upstreams
}

/// Two upstreams with one prefix would answer for each other's tools.
fn check_prefixes(reader: &Reader<'_>, names: &'static str, upstreams: &[Upstream]) {
    let full = |upstream: &Upstream| match upstream.prefix.as_deref() {
        Some("") => String::new(),
        prefix => format!("{}{}", prefix.unwrap_or(&upstream.name), upstream.separator),
    };
    for (index, upstream) in upstreams.iter().enumerate() {
        let clashes = |other: &&Upstream| full(other) == full(upstream) && other.name != upstream.name;
        if let Some(other) = upstreams[..index].iter().find(clashes) {
            let problem = match full(upstream).as_str() {
                "" => format!("has no prefix, as {} has none", other.name),
                prefix => format!("has the prefix `{prefix}`, as {} has", other.name),
            };
            reader.fault_below(names, &upstream.name, Wrong::new(problem, "give one of them another prefix"));
        }
    }
}

impl Upstream {
    /// `server.mcp_server`: the bridge is nothing without it, and its tools keep their names.
    pub(in crate::config) fn read_only_one(reader: &mut Reader<'_>) -> Self {
        let upstream = Self::read(ONLY_ONE, reader);
        let is_there = upstream.isolation == Isolation::Shared;
        let required = upstream.required || is_there && !reader.is_set("required");
        let prefix = upstream.prefix.or_else(|| Some(String::new()));
        Self { required, prefix, ..upstream }
    }

    fn read(name: &str, reader: &mut Reader<'_>) -> Self {
        let kind = read_kind(reader);
        let era = read_era(reader);
        let is_old = matches!(&kind, UpstreamKind::Http(http) if http.protocol == HttpProtocol::Sse);
        if is_old && era == Some(UpstreamEra::Stateless) {
            reader
                .fault("era", Wrong::new("does not go with HTTP+SSE, which was gone by then", "remove one of the two"));
        }
        let upstream = Self {
            name: name.to_owned(),
            kind,
            era,
            prefix: reader.optional(
                "prefix",
                &PREFIX,
                "Before the names of its tools. Without it, its name when there are several upstreams.",
            ),
            separator: read_separator(reader),
            timeout: reader.duration("timeout|read_timeout", "300s", "For one answer; progress starts it anew."),
            isolation: Isolation::read(reader),
            required: reader.boolean("required", false, "The bridge does not start without it. mcp_server: true."),
            include_tools: reader.list(
                "include_tools",
                &kind::NONEMPTY,
                &["*"],
                "Its tools; * is any run of characters.",
            ),
            exclude_tools: reader.list("exclude_tools", &kind::NONEMPTY, &[], "Tools to leave out, stronger."),
            tools: reader
                .named_sections("tools", "Rules for single tools, by the upstream's name of them.", |_, reader| {
                    ToolRule::read(reader)
                })
                .into_iter()
                .collect(),
        };
        check_isolation(reader, &upstream);
        upstream
    }
}

impl ToolRule {
    fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "Scopes a caller needs, in place of mcp:write, or mcp:read for a tool that only reads.";
        Self { scopes: reader.optional_list("scopes", &SCOPE, doc) }
    }
}

/// Asks for the keys of every kind, then insists on exactly one of them.
fn read_kind(reader: &mut Reader<'_>) -> UpstreamKind {
    let doc = "Compiled in. whoami has the tools whoami, echo and time.";
    let builtin = reader.optional_choice("builtin", &[("whoami", BuiltinServer::Whoami)], doc);
    let stdio = Command::read(reader);
    let mut http = HttpUpstream::read(reader);
    let doc = "stdio or http, which the other keys say already; sse and streamable-http are also what protocol says.";
    let said = reader.optional_choice("type", &TYPES, doc);
    reader.exactly_one(&["builtin", "command", "url"]);
    for (kind, keys) in
        [("builtin", [].as_slice()), ("command", command::KEYS.as_slice()), ("url", http_upstream::KEYS.as_slice())]
    {
        if !reader.is_set(kind) {
            refuse_keys_of(kind, keys, reader);
        }
    }
    match (said, &mut http) {
        (Some((kind, _)), _) if !reader.is_set(kind) => {
            reader.fault("type", Wrong::new(format!("goes with {kind}, which is not there"), "remove it"));
        }
        (Some((_, Some(protocol))), Some(http)) => http.is_said_to_speak(protocol, reader),
        _ => {}
    }
    match (builtin, stdio, http) {
        (_, Some(command), _) => UpstreamKind::Stdio(command),
        (_, _, Some(http)) => UpstreamKind::Http(http),
        (builtin, None, None) => UpstreamKind::Builtin(builtin.unwrap_or(BuiltinServer::Whoami)),
    }
}

/// Keys that belong to a kind which this upstream is not.
fn refuse_keys_of(kind: &str, keys: &[&str], reader: &mut Reader<'_>) {
    for key in keys.iter().filter(|key| reader.is_set(key)) {
        let problem = format!("means nothing without {kind}");
        reader.fault(key, Wrong::new(problem, format!("remove it, or write {kind}")));
    }
    reader.hide(keys);
    reader.hide(&[kind]);
}

fn read_era(reader: &mut Reader<'_>) -> Option<UpstreamEra> {
    let doc = "auto asks it; session: up to 2025-11-25; stateless: 2026-07-28.";
    let era = reader.choice("era", &ERAS, None, doc);
    if era.is_some() && reader.is_set("builtin") {
        reader.fault("era", Wrong::new("means nothing with builtin", "remove it"));
    }
    era
}

fn read_separator(reader: &mut Reader<'_>) -> String {
    let separator = reader.value("separator", &PREFIX, "__", "Between prefix and name.");
    if separator.is_empty() {
        let wrong = Wrong::new("is empty, so that prefix and name run together", "write \"__\", or prefix: \"\"");
        reader.fault("separator", wrong);
    }
    separator
}

/// What goes together with `isolation`, and what does not.
fn check_isolation(reader: &Reader<'_>, upstream: &Upstream) {
    if let UpstreamKind::Stdio(command) = &upstream.kind {
        for (name, value) in &command.env {
            if let Err(wrong) = template::check(value.expose(), upstream.isolation == Isolation::PerUser) {
                reader.fault(&format!("env.{name}"), wrong);
            }
        }
    }
    if upstream.isolation == Isolation::Shared {
        return;
    }
    if matches!(upstream.kind, UpstreamKind::Builtin(_)) && reader.is_set("builtin") {
        let problem = "means nothing to builtin, which keeps nothing that could be mixed up";
        reader.fault("isolation", Wrong::new(problem, "remove it"));
    }
    if upstream.required {
        // Rejected: one for nobody, as a trial. Its environment may need a person, and what it did would be nobody's.
        let problem = "is true, but with isolation there is nothing to start before somebody comes";
        reader.fault("required", Wrong::new(problem, "remove it, or write isolation: shared"));
    }
}
