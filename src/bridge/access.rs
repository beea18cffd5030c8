//! What a caller needs for what: reading, or writing, or what a rule for the tool says.

use crate::bridge::answer::Refusal;
use crate::config::section::ToolRule;
use crate::model::principal::Principal;
use crate::protocol::mcp::method::Method;
use crate::protocol::oauth::scope;

/// The scopes that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed<'a> {
    /// None.
    Nothing,
    /// This one.
    One(&'static str),
    /// All of these.
    All(&'a [String]),
}

impl<'a> Needed<'a> {
    /// For any request but `tools/call`.
    #[must_use]
    pub const fn by_method(method: &Method) -> Self {
        match method {
            // A caller that may do nothing may still introduce itself.
            Method::Initialize | Method::Discover => Self::Nothing,
            Method::Ping
            | Method::ToolsList
            | Method::PromptsList
            | Method::PromptsGet
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::CompletionComplete
            | Method::LoggingSetLevel
            | Method::Listen
            | Method::Initialized
            | Method::Cancelled
            | Method::Progress
            | Method::RootsChanged => Self::One(scope::READ),
            // What is not known may change something.
            _ => Self::One(scope::WRITE),
        }
    }

    /// For a call of a tool.
    #[must_use]
    pub fn by_tool(rule: Option<&'a ToolRule>, is_read_only: bool) -> Self {
        match rule.and_then(|rule| rule.scopes.as_ref()) {
            Some(scopes) => Self::All(scopes),
            None if is_read_only => Self::One(scope::READ),
            None => Self::One(scope::WRITE),
        }
    }

    /// Whether the caller has all of them.
    ///
    /// # Errors
    /// Names them all, so that one step up is enough.
    pub fn check(self, principal: &Principal) -> Result<(), Refusal> {
        let allows = |scope: &str| principal.scopes.allows(scope);
        let needed = match self {
            Self::One(scope) if !allows(scope) => vec![scope.to_owned()],
            Self::All(scopes) if !scopes.iter().all(|scope| allows(scope)) => scopes.to_vec(),
            Self::Nothing | Self::One(_) | Self::All(_) => return Ok(()),
        };
        Err(Refusal::InsufficientScope { needed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::oauth::scope::ScopeSet;

    fn with(scopes: &str) -> Principal {
        Principal { scopes: ScopeSet::parse(scopes).unwrap(), ..Principal::anonymous() }
    }

    #[test]
    fn reading_needs_read_and_the_unknown_needs_write() {
        for method in ["ping", "tools/list", "resources/read", "prompts/get", "completion/complete"] {
            let needed = Needed::by_method(&Method::parse(method));
            assert!(needed.check(&with("mcp:read")).is_ok() && needed.check(&with("other")).is_err(), "{method}");
        }
        for method in ["tools/call", "vendor/drop", "Tools/list", "sampling/createMessage"] {
            let needed = Needed::by_method(&Method::parse(method));
            assert!(needed.check(&with("mcp:write")).is_ok(), "{method}");
            let missing = Refusal::InsufficientScope { needed: vec!["mcp:write".to_owned()] };
            assert_eq!(needed.check(&with("mcp:read")), Err(missing), "{method}");
        }
    }

    #[test]
    fn a_rule_overrides_what_the_tool_says_of_itself() {
        let rule = ToolRule { scopes: Some(vec!["mcp:read".to_owned(), "files".to_owned()]) };
        assert!(Needed::by_tool(Some(&rule), true).check(&with("mcp:admin")).is_err());
        assert!(Needed::by_tool(Some(&rule), false).check(&with("mcp:read files")).is_ok());
        assert!(Needed::by_tool(Some(&ToolRule::default()), true).check(&with("mcp:read")).is_ok());
        assert!(Needed::by_tool(None, false).check(&with("mcp:read")).is_err());
    }
}
