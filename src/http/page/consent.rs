//! The page that asks whether a client may have access.
//! [OAuth 2.1 §7.9](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-v2-1)

use std::collections::BTreeMap;

use askama::Template;

use crate::authorization_server::authorize::Person;
use crate::config::section::Branding;
use crate::http::page::client_name::ClientName;
use crate::http::page::target::Target;
use crate::protocol::oauth::scope::{ADMIN, READ, ScopeSet, WRITE};

/// The consent page. Its form sends `csrf`, `decision`, which is `allow`, `deny` or `switch`, each `scope` that is ticked, and `stay`.
///
/// The destination stands larger than the name: whoever registers a client chooses its name, but not who receives the
/// answer. No button has the focus, so that a key pressed too long allows nothing.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct ConsentPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// Who is asked.
    pub person: &'a Person,
    /// The client that asks; `None` when it gave no name.
    pub client: Option<&'a ClientName>,
    /// The host at which the client publishes who it is.
    pub vouched_by: Option<&'a str>,
    /// Where the answer goes.
    pub target: &'a Target,
    /// The resource (RFC 8707) the tokens will be for.
    pub resource: &'a str,
    /// What is asked for; see [`scope_lines`].
    pub scopes: &'a [ScopeLine<'a>],
    /// Why the answer before was none.
    pub error: Option<&'a str>,
    /// Where the form is sent.
    pub action: &'a str,
    /// The value of the hidden field `csrf`.
    pub csrf: &'a str,
}

impl ConsentPage<'_> {
    /// Whether there is something to choose from.
    fn has_choice(&self) -> bool {
        self.scopes.len() > 1
    }
}

/// One scope in plain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeLine<'a> {
    /// The scope as the client asked for it.
    pub scope: &'a str,
    /// What it allows, as the answer to "What could it do there?".
    pub description: &'a str,
    /// Whether another scope of the page includes it.
    pub is_included: bool,
}

/// The lines for `scopes`: the operator's words (`scopes_supported`) where there are any, else ours.
#[must_use]
pub fn scope_lines<'a>(scopes: &'a ScopeSet, words: &'a BTreeMap<String, Option<String>>) -> Vec<ScopeLine<'a>> {
    let description = |scope| words.get(scope).and_then(Option::as_deref).unwrap_or_else(|| built_in_words(scope));
    let includes = |wider: &str, scope: &str| wider != scope && [wider].into_iter().collect::<ScopeSet>().allows(scope);
    let is_included = |scope| scopes.iter().any(|wider| includes(wider, scope));
    let line = |scope| ScopeLine { scope, description: description(scope), is_included: is_included(scope) };
    scopes.iter().map(line).collect()
}

fn built_in_words(scope: &str) -> &'static str {
    match scope {
        READ => "See the tools, prompts and data, and use tools that only read",
        WRITE => "Use every tool, including those that change or delete things",
        ADMIN => "Manage this server: its apps, users and permissions",
        _ => "Do what this server allows under the name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_words_come_before_ours() {
        let scopes = ScopeSet::parse("mcp:read mcp:write reports").unwrap();
        let words = BTreeMap::from([(READ.to_owned(), Some("look around".to_owned())), (WRITE.to_owned(), None)]);
        let lines = scope_lines(&scopes, &words);
        let shown: Vec<_> = lines.iter().map(|line| (line.scope, line.description)).collect();
        let others = "Do what this server allows under the name";
        assert_eq!(shown, [(READ, "look around"), (WRITE, built_in_words(WRITE)), ("reports", others)]);
    }
}
