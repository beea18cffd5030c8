//! What a `subscriptions/listen` wants to hear of.
//! [MCP 2026-07-28, Notification Filter](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions#notification-filter)

use serde_json::{Value, json};

use crate::base::limit::Limit;
use crate::bridge::upstream::hello::Offers;
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::object;

/// How many resources one listener may be subscribed to.
const MAX_RESOURCES: usize = 100;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("resources of one subscriptions/listen", MAX_RESOURCES, "400")];

/// What a listener wants to hear of: `params.notifications`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// `resourceSubscriptions`.
    pub uris: Vec<String>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// It is none, or asks for too much.
    pub fn read(json: &str) -> Result<Self, Fault> {
        let filter = Self::read_any(json)?;
        if filter.uris.len() > MAX_RESOURCES {
            return Err(Fault::invalid(format!("notifications: at most {MAX_RESOURCES} resources")));
        }
        Ok(filter)
    }

    /// The same, however many resources it names: what an upstream agreed to is no more than what it was asked.
    ///
    /// # Errors
    /// It is none.
    pub fn read_any(json: &str) -> Result<Self, Fault> {
        let known = ["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"];
        let fault = |text: &str| Fault::invalid(format!("notifications: {text}"));
        let [tools, prompts, resources, uris] =
            object::members(json, &known).map_err(|error| fault(&error.to_string()))?;
        let flag = |value: Option<&str>| match value {
            Some("true") => Ok(true),
            None | Some("false") => Ok(false),
            Some(_) => Err(fault("what is not a list of resources is true or false")),
        };
        let uris = uris.map(serde_json::from_str).transpose();
        let mut uris: Vec<String> =
            uris.map_err(|_| fault("resourceSubscriptions is not a list of URIs"))?.unwrap_or_default();
        uris.sort_unstable();
        uris.dedup();
        Ok(Self { tools: flag(tools)?, prompts: flag(prompts)?, resources: flag(resources)?, uris })
    }

    /// What of it there is to hear, without the resources.
    #[must_use]
    pub const fn of_lists(&self, offers: Offers) -> Self {
        Self {
            tools: self.tools && offers.tools_changed,
            prompts: self.prompts && offers.prompts_changed,
            resources: self.resources && offers.resources_changed,
            uris: Vec::new(),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut all = serde_json::Map::new();
        let flags = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        all.extend(
            flags.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| (name.to_owned(), Value::from(true))),
        );
        if !self.uris.is_empty() {
            all.insert("resourceSubscriptions".to_owned(), json!(self.uris));
        }
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mcp::reply;

    #[test]
    fn a_filter_that_is_none_is_refused() {
        for bad in
            ["[]", r#"{"toolsListChanged":1}"#, r#"{"resourceSubscriptions":"x"}"#, r#"{"resourceSubscriptions":[1]}"#]
        {
            assert_eq!(Filter::read(bad).unwrap_err().code, reply::INVALID_PARAMS, "{bad}");
        }
        let many: Vec<String> = (0..=MAX_RESOURCES).map(|number| format!("x:{number}")).collect();
        assert!(Filter::read(&json!({"resourceSubscriptions": many}).to_string()).is_err());
    }
}
