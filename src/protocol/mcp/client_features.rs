//! What a client can do for a server. [MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#capability-negotiation)

use serde_json::{Map, Value, json};

use crate::protocol::mcp::message::{Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;

/// What a client declared: in `capabilities` of `initialize`, or in the `_meta` of each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one a capability, as the protocol has them")]
pub struct ClientFeatures {
    /// `sampling`.
    pub sampling: bool,
    /// `sampling.tools`.
    pub sampling_tools: bool,
    /// `sampling.context`.
    pub sampling_context: bool,
    /// `elicitation`, with forms.
    pub elicitation_form: bool,
    /// `elicitation.url`.
    pub elicitation_url: bool,
    /// `roots`.
    pub roots: bool,
}

/// What a request of a server needs of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `sampling/createMessage`.
    Sampling,
    /// The same with tools.
    SamplingWithTools,
    /// `elicitation/create` with a form.
    Form,
    /// The same with a URL.
    Url,
    /// `roots/list`.
    Roots,
}

impl Need {
    /// What this request needs; `None` when no client can do it.
    #[must_use]
    pub fn of(message: &Message, method: &Method, params: &Params) -> Option<Self> {
        match method {
            Method::CreateMessage => {
                let params = params.whole().map_or("{}", |at| message.json(at));
                // What can be read in two ways may have tools.
                let has_tools = object::members(params, &["tools", "toolChoice"])
                    .map_or(true, |tools| tools.iter().flatten().any(|value| *value != "null"));
                Some(if has_tools { Self::SamplingWithTools } else { Self::Sampling })
            }
            Method::Elicit => {
                let is_url = params.get(Param::Mode).and_then(|at| message.string(at)).as_deref() == Some("url");
                Some(if is_url { Self::Url } else { Self::Form })
            }
            Method::RootsList => Some(Self::Roots),
            _ => None,
        }
    }

    /// The capability, as `capabilities` say it.
    #[must_use]
    pub fn json(self) -> Value {
        match self {
            Self::Sampling => json!({"sampling": {}}),
            Self::SamplingWithTools => json!({"sampling": {"tools": {}}}),
            Self::Form => json!({"elicitation": {}}),
            Self::Url => json!({"elicitation": {"url": {}}}),
            Self::Roots => json!({"roots": {}}),
        }
    }
}

impl ClientFeatures {
    /// Reads `capabilities`.
    #[must_use]
    pub fn read(capabilities: &str) -> Self {
        let Some([sampling, elicitation, roots]) = declared(capabilities, &["sampling", "elicitation", "roots"]) else {
            return Self::default();
        };
        let modes = elicitation.and_then(|modes| declared(modes, &["form", "url"]));
        let [form, url] = modes.map_or([false; 2], |modes| modes.map(|mode| mode.is_some()));
        let more = sampling.and_then(|sampling| declared(sampling, &["tools", "context"]));
        let [tools, context] = more.map_or([false; 2], |more| more.map(|one| one.is_some()));
        Self {
            sampling: sampling.is_some(),
            sampling_tools: tools,
            sampling_context: context,
            // MCP 2025-11-25, Elicitation: an empty object means forms alone.
            elicitation_form: modes.is_some() && (form || !url),
            elicitation_url: url,
            roots: roots.is_some(),
        }
    }

    /// Whether all that is needed was declared.
    #[must_use]
    pub const fn has(self, need: Need) -> bool {
        match need {
            Need::Sampling => self.sampling,
            // MCP 2025-11-25, Sampling, Tool Use: never without this capability.
            Need::SamplingWithTools => self.sampling_tools,
            Need::Form => self.elicitation_form,
            Need::Url => self.elicitation_url,
            Need::Roots => self.roots,
        }
    }

    /// As `capabilities` say it.
    #[must_use]
    pub fn json(self) -> Value {
        let declared = |parts: &[(&str, bool)]| {
            parts.iter().filter(|(_, can)| *can).map(|(name, _)| ((*name).to_owned(), json!({}))).collect()
        };
        let modes: Map<String, Value> = declared(&[("form", self.elicitation_form), ("url", self.elicitation_url)]);
        let mut all = Map::new();
        if !modes.is_empty() {
            all.insert("elicitation".to_owned(), Value::Object(modes));
        }
        all.extend(declared(&[("roots", self.roots)]));
        if self.sampling {
            let more = declared(&[("context", self.sampling_context), ("tools", self.sampling_tools)]);
            all.insert("sampling".to_owned(), Value::Object(more));
        }
        Value::Object(all)
    }
}

/// The capabilities of these names. `null` is how some clients write that they have none.
fn declared<'a, const N: usize>(all: &'a str, names: &[&'static str; N]) -> Option<[Option<&'a str>; N]> {
    let found = object::members(all, names).ok()?;
    Some(found.map(|one| one.filter(|one| *one != "null")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elicitation_without_modes_means_forms() {
        let read = |text: &str| ClientFeatures::read(text);
        assert!(read(r#"{"elicitation":{}}"#).elicitation_form && !read(r#"{"elicitation":{}}"#).elicitation_url);
        assert!(!read(r#"{"elicitation":{"url":{}}}"#).elicitation_form);
        assert_eq!(read(r#"{"elicitation":{"form":{},"url":null},"sampling":null}"#), read(r#"{"elicitation":{}}"#));
        assert!(read(r#"{"roots":{"listChanged":true},"sampling":{}}"#).roots);
        assert_eq!(read(r#"{"roots":{},"Roots":{}}"#), ClientFeatures::default());
        for all in [
            r#"{"elicitation":{"form":{},"url":{}},"roots":{},"sampling":{}}"#,
            r#"{"elicitation":{"url":{}}}"#,
            r#"{"sampling":{"context":{},"tools":{}}}"#,
            "{}",
        ] {
            assert_eq!(read(all).json().to_string(), all);
        }
    }

    #[test]
    fn d_24_sampling_with_tools_is_a_capability_of_its_own() {
        use crate::protocol::mcp::message::Kind;
        let need = |params: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{params}}}"#);
            let message = Message::parse(bytes::Bytes::from(text)).unwrap();
            let Kind::Request { method, params, .. } = message.kind() else { panic!() };
            Need::of(&message, method, params)
        };
        for plain in ["{}", r#"{"messages":[],"tools":null}"#] {
            assert_eq!(need(plain), Some(Need::Sampling), "{plain}");
        }
        for with_tools in [r#"{"tools":[]}"#, r#"{"toolChoice":{"mode":"auto"}}"#, r#"{"Tools":[]}"#] {
            assert_eq!(need(with_tools), Some(Need::SamplingWithTools), "{with_tools}");
        }
        let plain = ClientFeatures::read(r#"{"sampling":{}}"#);
        assert!(plain.has(Need::Sampling) && !plain.has(Need::SamplingWithTools));
    }
}
