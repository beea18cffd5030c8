//! What a client can do for a server. [MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#capability-negotiation)

use serde_json::{Map, Value, json};

use crate::protocol::mcp::object;

/// What a client declared: in `capabilities` of `initialize`, or in the `_meta` of each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one a capability, as the protocol has them")]
pub struct ClientFeatures {
    /// `sampling`.
    pub sampling: bool,
    /// `elicitation`, with forms.
    pub elicitation_form: bool,
    /// `elicitation.url`.
    pub elicitation_url: bool,
    /// `roots`.
    pub roots: bool,
}

impl ClientFeatures {
    /// Reads `capabilities`.
    #[must_use]
    pub fn read(capabilities: &str) -> Self {
        let Ok([sampling, elicitation, roots]) = object::members(capabilities, &["sampling", "elicitation", "roots"])
        else {
            return Self::default();
        };
        let modes = elicitation.and_then(|modes| object::members(modes, &["form", "url"]).ok());
        let [form, url] = modes.map_or([false; 2], |modes| modes.map(|mode| mode.is_some()));
        Self {
            sampling: sampling.is_some(),
            // MCP 2025-11-25, Elicitation: an empty object means forms alone.
            elicitation_form: modes.is_some() && (form || !url),
            elicitation_url: url,
            roots: roots.is_some(),
        }
    }

    /// As `capabilities` say it.
    #[must_use]
    pub fn json(self) -> Value {
        let modes = [("form", self.elicitation_form), ("url", self.elicitation_url)];
        let modes: Map<String, Value> =
            modes.into_iter().filter(|(_, can)| *can).map(|(mode, _)| (mode.to_owned(), json!({}))).collect();
        let mut all = Map::new();
        if !modes.is_empty() {
            all.insert("elicitation".to_owned(), Value::Object(modes));
        }
        for (name, can) in [("roots", self.roots), ("sampling", self.sampling)] {
            if can {
                all.insert(name.to_owned(), json!({}));
            }
        }
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elicitation_without_modes_means_forms() {
        let read = |text: &str| ClientFeatures::read(text);
        assert!(read(r#"{"elicitation":{}}"#).elicitation_form && !read(r#"{"elicitation":{}}"#).elicitation_url);
        assert!(!read(r#"{"elicitation":{"url":{}}}"#).elicitation_form);
        assert!(read(r#"{"roots":{"listChanged":true},"sampling":{}}"#).roots);
        assert_eq!(read(r#"{"roots":{},"Roots":{}}"#), ClientFeatures::default());
        for all in
            [r#"{"elicitation":{"form":{},"url":{}},"roots":{},"sampling":{}}"#, r#"{"elicitation":{"url":{}}}"#, "{}"]
        {
            assert_eq!(read(all).json().to_string(), all);
        }
    }
}
