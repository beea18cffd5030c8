//! How an upstream introduced itself: its answer to `initialize`. [MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization)

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::protocol::mcp::object;
use crate::protocol::mcp::splice::{self, Edit, Span};
use crate::protocol::mcp::version::ProtocolVersion;

/// The parameters of our own `initialize`.
pub const INITIALIZE: &str = concat!(
    r#"{"protocolVersion":"2025-11-25","capabilities":{"roots":{},"sampling":{},"elicitation":{"form":{},"url":{}}},"#,
    r#""clientInfo":{"name":"mcp-bridge","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}"#
);

/// An upstream's answer to `initialize`.
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
    server_info: Option<Arc<str>>,
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
        let declares = |of: Option<&RawValue>, member: &'static str| {
            of.and_then(|of| object::members(of.get(), &[member]).ok())
                .is_some_and(|[value]| value.is_some_and(|value| value.get() == "true"))
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
        let known = ["protocolVersion", "capabilities", "instructions", "serverInfo"];
        let [version, capabilities, instructions, server_info] =
            object::members(result, &known).map_err(|fault| format!("its answer to initialize is {fault}"))?;
        let version = version.ok_or("its answer to initialize has no protocolVersion")?;
        let name: String = serde_json::from_str(version.get()).map_err(|_| "its protocolVersion is not a string")?;
        let capabilities_json = capabilities.map_or("{}", RawValue::get);
        Ok(Self {
            version: ProtocolVersion::known(&name).ok_or_else(|| format!("it speaks protocol version {name:?}"))?,
            offers: Offers::read(capabilities_json).ok_or("its capabilities cannot be read")?,
            version_at: Span::of(version.get(), result).ok_or("its protocolVersion cannot be found")?,
            capabilities_at: capabilities.and_then(|value| Span::of(value.get(), result)),
            instructions: instructions.and_then(|text| serde_json::from_str(text.get()).ok()),
            server_info: server_info.and_then(|info| read_server_info(info.get())),
            result: result.to_owned(),
        })
    }

    /// `instructions`.
    #[must_use]
    pub fn instructions(&self) -> Option<&str> {
        self.instructions.as_deref()
    }

    /// `serverInfo`, JSON, if it says what it must.
    #[must_use]
    pub fn server_info(&self) -> Option<Arc<str>> {
        self.server_info.clone()
    }

    /// `capabilities` as they came, but for `tasks`.
    #[must_use]
    pub fn capabilities(&self) -> String {
        let json = self.capabilities_at.and_then(|at| self.result.get(at.start..at.end)).unwrap_or("{}");
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
        let capabilities =
            self.capabilities_at.and_then(|at| Some((at, without_tasks(self.result.get(at.start..at.end)?)?)));
        if let Some((at, json)) = &capabilities {
            edits.push(Edit { at: *at, with: json.as_bytes() });
        }
        splice::splice(self.result.as_bytes(), &mut edits, false)
    }
}

/// MCP 2026-07-28, `Implementation`: a name and a version. On one line, since it becomes part of others' messages.
fn read_server_info(json: &str) -> Option<Arc<str>> {
    let [name, version] = object::members(json, &["name", "version"]).ok()?;
    let is_sound = [name, version].iter().all(|text| text.is_some_and(|text| text.get().starts_with('"')));
    is_sound.then(|| json.replace(['\n', '\r'], " ").into())
}

/// The object without its member `tasks`; `None` when it has none.
fn without_tasks(capabilities: &str) -> Option<String> {
    let [tasks] = object::members(capabilities, &["tasks"]).ok()?;
    tasks?;
    let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(capabilities).ok()?;
    let kept: Vec<String> = members
        .iter()
        .filter(|(name, _)| *name != "tasks")
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_str()), value.get()))
        .collect();
    Some(format!("{{{}}}", kept.join(",")))
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
        assert_eq!(answered, r#"{"protocolVersion":"2025-11-25","capabilities":{"logging":{},"tools":{}}}"#);
    }

    #[test]
    fn what_it_speaks_must_be_known() {
        assert!(
            Hello::read(r#"{"protocolVersion":"2999-01-01","capabilities":{}}"#).unwrap_err().contains("2999-01-01")
        );
        assert!(Hello::read("[]").is_err() && Hello::read("{}").is_err());
    }
}
