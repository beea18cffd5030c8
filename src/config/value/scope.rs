//! Scopes (RFC 6749 §3.3).

use std::collections::BTreeMap;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::{Kind, pattern, shortened, text};
use crate::protocol::oauth::scope::{ADMIN, READ, ScopeSet, WRITE};

/// One scope.
pub const SCOPE: Kind<String> = Kind {
    schema: || pattern(r"^[\x21\x23-\x5B\x5D-\x7E]+$"),
    parse: |node| {
        let text = text(node)?;
        check(&text)?;
        Ok(text.into_owned())
    },
    print: |scope| Node::String(scope.clone()),
};

/// # Errors
/// A text that is not one scope.
pub fn check(text: &str) -> Result<(), Wrong> {
    // RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
    if !text.is_empty() && !text.contains(' ') && ScopeSet::parse(text).is_ok() {
        return Ok(());
    }
    let problem = format!("`{}` is no scope", shortened(text));
    Err(Wrong::new(problem, "write one word for each, without quotation marks inside, such as mcp:read"))
}

/// What is wrong with each scope that no rule exists for.
pub fn unknown(scopes: &ScopeSet, supported: &BTreeMap<String, Option<String>>) -> Vec<Wrong> {
    let unknown = scopes.iter().filter(|scope| !is_known(scope, supported.keys()));
    unknown
        .map(|scope| {
            let fix = format!("add `{scope}` there, or remove it here");
            Wrong::new(format!("`{scope}` is not in scopes_supported"), fix)
        })
        .collect()
}

/// Whether a rule for `scope` exists: it is offered, or one of ours.
pub fn is_known<'s>(scope: &str, mut supported: impl Iterator<Item = &'s String>) -> bool {
    [READ, WRITE, ADMIN].contains(&scope) || supported.any(|known| known == scope)
}
