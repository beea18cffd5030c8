//! How an upstream introduced itself: its answer to `initialize` ([MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization))
//! or to `server/discover` ([MCP 2026-07-28, Discovery](https://modelcontextprotocol.io/specification/2026-07-28/server/discover)).

use bytes::Bytes;

use crate::protocol::mcp::completion::Identity;
use crate::protocol::mcp::meta;
use crate::protocol::mcp::object;
use crate::protocol::mcp::splice::{self, Edit, Span};
use crate::protocol::mcp::version::ProtocolVersion;

/// The parameters of our own `initialize`. It declares what clients can: which of them can is seen when one is asked.
pub const INITIALIZE: &str = concat!(
    r#"{"protocolVersion":"2025-11-25","capabilities":{"roots":{},"sampling":{"tools":{},"context":{}},"#,
    r#""elicitation":{"form":{},"url":{}}},"#,
    r#""clientInfo":{"name":"mcp-bridge","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}"#
);

/// Tasks, since 2026-07-28.
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Which era an upstream speaks: what decides everywhere how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// 2024-11-05 to 2025-11-25: `initialize` begins a session.
    Sessions,
    /// 2026-07-28: every request stands alone.
    Stateless,
}

/// An upstream's answer to `initialize` or `server/discover`.
#[derive(Clone, Debug)]
pub struct Hello {
    /// What was negotiated with it.
    pub version: ProtocolVersion,
    /// What it can do.
    pub offers: Offers,
    result: String,
    version_at: Span,
    capabilities_at: Option<Span>,
    instructions: Option<String>,
    identity: Option<Identity>,
}

/// The capabilities that the bridge acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one a capability, as the protocol has them")]
pub struct Offers {
    /// `tools`.
    pub tools: bool,
    /// `tools.listChanged`.
    pub tools_changed: bool,
    /// `prompts`.
    pub prompts: bool,
    /// `prompts.listChanged`.
    pub prompts_changed: bool,
    /// `resources`.
    pub resources: bool,
    /// `resources.listChanged`.
    pub resources_changed: bool,
    /// `resources.subscribe`.
    pub subscribe: bool,
    /// `logging`.
    pub logging: bool,
    /// `completions`.
    pub completions: bool,
}

impl Offers {
    /// What either can do.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            tools_changed: self.tools_changed || other.tools_changed,
            prompts: self.prompts || other.prompts,
            prompts_changed: self.prompts_changed || other.prompts_changed,
            resources: self.resources || other.resources,
            resources_changed: self.resources_changed || other.resources_changed,
            subscribe: self.subscribe || other.subscribe,
            logging: self.logging || other.logging,
            completions: self.completions || other.completions,
        }
    }

    fn read(capabilities: &str) -> Option<Self> {
        let known = ["tools", "prompts", "resources", "logging", "completions"];
        let [tools, prompts, resources, logging, completions] = object::members(capabilities, &known).ok()?;
        let declares = |of: Option<&str>, member: &'static str| {
            of.and_then(|of| object::members(of, &[member]).ok()).is_some_and(|[value]| value == Some("true"))
        };
        Some(Self {
            tools: tools.is_some(),
            tools_changed: declares(tools, "listChanged"),
            prompts: prompts.is_some(),
            prompts_changed: declares(prompts, "listChanged"),
            resources: resources.is_some(),
            resources_changed: declares(resources, "listChanged"),
            subscribe: declares(resources, "subscribe"),
            logging: logging.is_some(),
            completions: completions.is_some(),
        })
    }
}

impl Hello {
    /// Reads a result of `initialize`.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn read(result: &str) -> Result<Self, String> {
        let [version] = object::members(result, &["protocolVersion"])
            .map_err(|fault| format!("its answer to initialize is {fault}"))?;
        let version = version.ok_or("its answer to initialize has no protocolVersion")?;
        let name: String = serde_json::from_str(version).map_err(|_| "its protocolVersion is not a string")?;
        let version = ProtocolVersion::known(&name).ok_or_else(|| format!("it speaks protocol version {name:?}"))?;
        Self::introduced(result, version)
    }

    /// Reads a result of `server/discover` of the upstream `name`, as if it had been one of `initialize`.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn discovered(result: &str, name: &str) -> Result<Self, String> {
        let known = ["capabilities", "instructions", "_meta"];
        let [capabilities, instructions, own_meta] =
            object::members(result, &known).map_err(|fault| format!("its answer to server/discover is {fault}"))?;
        let capabilities = capabilities.ok_or("its answer to server/discover has no capabilities")?;
        let identity = own_meta
            .and_then(|own| object::members(own, &[meta::SERVER_INFO]).ok())
            .and_then(|[server_info]| read_server_info(server_info?));
        let version = ProtocolVersion::STATELESS;
        // In a session every server says what it is; one that did not say goes by the name it has here.
        let shown = identity.as_ref().map_or_else(
            || format!(r#"{{"name":{},"version":"unknown"}}"#, serde_json::Value::from(name)),
            |identity| identity.json().to_owned(),
        );
        let mut text = format!(r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{shown}"#);
        if let Some(instructions) = instructions {
            text.push_str(&format!(r#","instructions":{instructions}"#));
        }
        text.push('}');
        Ok(Self { identity, ..Self::introduced(&text, version)? })
    }

    /// Which era it speaks.
    #[must_use]
    pub fn speaks(&self) -> Speaks {
        if self.version == ProtocolVersion::STATELESS { Speaks::Stateless } else { Speaks::Sessions }
    }

    fn introduced(result: &str, version_spoken: ProtocolVersion) -> Result<Self, String> {
        let known = ["protocolVersion", "capabilities", "instructions", "serverInfo"];
        let [version, capabilities, instructions, server_info] =
            object::members(result, &known).map_err(|fault| format!("its answer to initialize is {fault}"))?;
        let version = version.ok_or("its answer to initialize has no protocolVersion")?;
        let capabilities_json = capabilities.unwrap_or("{}");
        Ok(Self {
            version: version_spoken,
            offers: Offers::read(capabilities_json).ok_or("its capabilities cannot be read")?,
            version_at: Span::of(version, result).ok_or("its protocolVersion cannot be found")?,
            capabilities_at: capabilities.and_then(|value| Span::of(value, result)),
            instructions: instructions.and_then(|text| serde_json::from_str(text).ok()),
            identity: server_info.and_then(read_server_info),
            result: result.to_owned(),
        })
    }

    /// `instructions`.
    #[must_use]
    pub fn instructions(&self) -> Option<&str> {
        self.instructions.as_deref()
    }

    /// What its `serverInfo` says it is, if that says what it must.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.identity.clone()
    }

    /// `capabilities` as they came, but for `tasks`.
    #[must_use]
    pub fn capabilities(&self) -> String {
        let json = self.capabilities_at.and_then(|at| self.result.get(at.range())).unwrap_or("{}");
        without_tasks(json).unwrap_or_else(|| json.to_owned())
    }

    /// The result as it came, but for the version, and without the capability `tasks`.
    ///
    /// Tasks outlive the request that made them and are found by id alone, which on a connection that several callers
    /// share would let one read another's; so they are not offered.
    #[must_use]
    pub fn answered_as(&self, version: ProtocolVersion) -> Bytes {
        let version = format!("\"{version}\"");
        let mut edits = vec![Edit { at: self.version_at, with: version.as_bytes() }];
        let capabilities = self.capabilities_at.and_then(|at| Some((at, without_tasks(self.result.get(at.range())?)?)));
        if let Some((at, json)) = &capabilities {
            edits.push(Edit { at: *at, with: json.as_bytes() });
        }
        splice::splice(self.result.as_bytes(), &mut edits, false)
    }
}

/// What a server says it is, if it says what it must. On one line, since it becomes part of others' messages.
fn read_server_info(json: &str) -> Option<Identity> {
    is_implementation(json).then(|| Identity::new(&json.replace(['\n', '\r'], " ")))
}

/// MCP 2026-07-28, `Implementation`: an object with a name and a version.
#[must_use]
pub fn is_implementation(json: &str) -> bool {
    let members = object::members(json, &["name", "version"]);
    members.is_ok_and(|all| all.iter().all(|text| text.is_some_and(|text| text.starts_with('"'))))
}

/// The capabilities without tasks: the capability of 2025-11-25, and the extension of 2026-07-28. `None` when it has none.
#[must_use]
pub fn without_tasks(capabilities: &str) -> Option<String> {
    let [tasks, extensions] = object::members(capabilities, &["tasks", "extensions"]).ok()?;
    let whole = Span::new(0, capabilities.len());
    let mut edits = Vec::new();
    if tasks.is_some() {
        edits.extend(object::without(capabilities, whole, |name| name == "tasks"));
    }
    if let Some((extensions, at)) = extensions.and_then(|own| Some((own, Span::of(own, capabilities)?))) {
        edits.extend(object::without(extensions, at, |name| name == TASKS_EXTENSION));
    }
    if edits.is_empty() {
        return None;
    }
    Some(String::from_utf8_lossy(&splice::splice(capabilities.as_bytes(), &mut edits, true)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_only_upstreams_own_words_pass() {
        let result = r#"{ "serverInfo":{"name":"x","extra":1.0},"protocolVersion" : "2024-11-05","capabilities":{"z":{},"tools":{"listChanged":true}},"instructions":"do"}"#;
        let hello = Hello::read(result).unwrap();
        assert_eq!(hello.version, ProtocolVersion::V2024_11_05);
        assert!(hello.offers.tools && hello.offers.tools_changed && !hello.offers.prompts);
        assert_eq!(hello.instructions(), Some("do"));
        assert_eq!(hello.answered_as(ProtocolVersion::V2025_06_18), result.replace("2024-11-05", "2025-06-18"));
    }

    #[test]
    fn tasks_are_not_offered() {
        let result = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"tasks":{"list":{}},"logging":{}}}"#;
        let answered = Hello::read(result).unwrap().answered_as(ProtocolVersion::LATEST);
        assert_eq!(answered, r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}}}"#);
        let of = |capabilities: &str| without_tasks(capabilities);
        assert_eq!(
            of(r#"{"extensions":{"a":1.0,"io.modelcontextprotocol/tasks":{}}}"#).unwrap(),
            r#"{"extensions":{"a":1.0}}"#
        );
        assert_eq!(
            of(r#"{"tasks":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#).unwrap(),
            r#"{"extensions":{}}"#
        );
        assert_eq!(of(r#"{"extensions":{"a":1.0}}"#), None);
    }

    #[test]
    fn what_was_discovered_is_told_to_sessions() {
        let result = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{ "tools":{"listChanged":true},"z":1.0},"instructions":"do \u0041","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","version":"2","x":1.50}},"ttlMs":0,"cacheScope":"public"}"#;
        let hello = Hello::discovered(result, "up").unwrap();
        assert_eq!(hello.speaks(), Speaks::Stateless);
        assert!(hello.offers.tools_changed && !hello.offers.resources);
        assert_eq!(
            hello.answered_as(ProtocolVersion::V2025_06_18),
            r#"{"protocolVersion":"2025-06-18","capabilities":{ "tools":{"listChanged":true},"z":1.0},"serverInfo":{"name":"n","version":"2","x":1.50},"instructions":"do \u0041"}"#
        );
        let nameless = Hello::discovered(r#"{"capabilities":{}}"#, "up").unwrap();
        assert_eq!(nameless.identity(), None);
        assert!(
            String::from_utf8_lossy(&nameless.answered_as(ProtocolVersion::LATEST))
                .contains(r#"{"name":"up","version":"unknown"}"#)
        );
        assert!(Hello::discovered("{}", "up").is_err());
    }

    #[test]
    fn what_it_speaks_must_be_known() {
        assert!(
            Hello::read(r#"{"protocolVersion":"2999-01-01","capabilities":{}}"#).unwrap_err().contains("2999-01-01")
        );
        assert!(Hello::read("[]").is_err() && Hello::read("{}").is_err());
    }
}
