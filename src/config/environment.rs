//! Environment variables in parsed values: `${VAR}`, `${VAR:-default}`, `{{ env.VAR }}`, and `$VAR` as a whole value.
//!
//! Expansion happens after parsing, never on the text of the file, so that no variable can add a key or a list element.

use std::collections::BTreeMap;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::lines::{element_path, key_path};

/// Where variables are looked up: this process's environment, or a table in tests.
#[derive(Clone, Debug)]
pub struct Environment(Source);

#[derive(Clone, Debug)]
enum Source {
    Process,
    Table(BTreeMap<String, String>),
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub const fn process() -> Self {
        Self(Source::Process)
    }

    /// These variables and no others.
    #[must_use]
    pub fn table(variables: &[(&str, &str)]) -> Self {
        Self(Source::Table(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()))
    }

    /// The value of a variable. One that is not UTF-8 counts as unset.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<String> {
        match &self.0 {
            Source::Process => process_variable(name),
            Source::Table(table) => table.get(name).cloned(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A scalar that could not be expanded, with its path.
pub type Failure = (String, Wrong);

/// Expands every scalar of a mapping, in place. A scalar that fails becomes [`Node::Faulty`].
pub fn expand(entries: &mut [(String, Node)], path: &str, environment: &Environment) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (key, value) in entries {
        // A bcrypt hash is full of dollar signs and is never a variable (config.md 1.2).
        if key != "password_hash" && key != "hash" {
            expand_node(value, &key_path(path, key), environment, &mut failures);
        }
    }
    failures
}

fn expand_node(node: &mut Node, path: &str, environment: &Environment, failures: &mut Vec<Failure>) {
    match node {
        Node::Mapping(entries) => failures.extend(expand(entries, path, environment)),
        Node::Sequence(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                expand_node(element, &element_path(path, index), environment, failures);
            }
        }
        Node::String(text) => match expand_text(text, environment) {
            Ok(expanded) => *node = expanded,
            Err(wrong) => {
                failures.push((path.to_owned(), wrong));
                *node = Node::Faulty;
            }
        },
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::OtherNumber | Node::Expanded(_) | Node::Faulty => {}
    }
}

fn expand_text(text: &str, environment: &Environment) -> Result<Node, Wrong> {
    if let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) {
        let fix = format!("set it, or write `$${name}` for the text itself");
        let value = environment.find(name).ok_or_else(|| unset(name, fix))?;
        return Ok(Node::Expanded(value));
    }
    let mut expanded = String::new();
    let mut variables = false;
    let mut rest = text;
    while let Some(start) = rest.find(['$', '{']) {
        expanded.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = after.find('}').ok_or_else(|| malformed("`${` has no `}`"))?;
            expanded.push_str(&braced(&after[..end], environment)?);
            variables = true;
            rest = &after[end + 1..];
        } else if let Some((name, after)) = templated(rest) {
            expanded.push_str(&environment.find(name).ok_or_else(|| unset(name, "set it".to_owned()))?);
            variables = true;
            rest = after;
        } else {
            expanded.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    expanded.push_str(rest);
    Ok(if variables { Node::Expanded(expanded) } else { Node::String(expanded) })
}

/// What stands between `${` and `}`.
fn braced(inner: &str, environment: &Environment) -> Result<String, Wrong> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err(malformed(&format!("`${{{inner}}}` names no variable")));
    }
    // As in a shell, `:-` stands in for an empty variable too.
    let value = environment.find(name).filter(|value| default.is_none() || !value.is_empty());
    match (value, default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(unset(name, format!("set it, or write `${{{name}:-a default}}`"))),
    }
}

/// `{{ env.NAME }}` at the start of `text`, and what follows. Other words between double braces are left alone.
fn templated(text: &str) -> Option<(&str, &str)> {
    let (inner, after) = text.strip_prefix("{{")?.split_once("}}")?;
    let name = inner.trim().strip_prefix("env.")?;
    is_name(name).then_some((name, after))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn unset(name: &str, fix: String) -> Wrong {
    Wrong::new(format!("the environment variable {name} is not set"), fix)
}

fn malformed(problem: &str) -> Wrong {
    Wrong::new(problem, "write `${NAME}`, or `$$` for a dollar sign")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<Node, String> {
        let environment = Environment::table(&[("NAME", "value"), ("EMPTY", ""), ("LIST", "a, b: c")]);
        expand_text(text, &environment).map_err(|wrong| wrong.problem)
    }

    #[test]
    fn every_form_of_a_variable_is_replaced() {
        for text in ["$NAME", "${NAME}", "{{ env.NAME }}", "{{env.NAME}}", "${UNSET:-value}", "${EMPTY:-value}"] {
            assert_eq!(expanded(text), Ok(Node::Expanded("value".to_owned())), "{text}");
        }
        assert_eq!(expanded("a${NAME}-{{ env.NAME }}b"), Ok(Node::Expanded("avalue-valueb".to_owned())));
        assert_eq!(expanded("${LIST}"), Ok(Node::Expanded("a, b: c".to_owned())));
    }

    #[test]
    fn what_is_no_variable_stays() {
        for text in ["a$NAME", "$", "5$", "{{ user.email }}", "{NAME}", "$1", "ü{ü$"] {
            assert_eq!(expanded(text), Ok(Node::String(text.to_owned())), "{text}");
        }
        assert_eq!(expanded("$$NAME"), Ok(Node::String("$NAME".to_owned())));
        assert_eq!(expanded("$${NAME}"), Ok(Node::String("${NAME}".to_owned())));
    }

    #[test]
    fn an_unset_variable_is_never_left_as_text() {
        for text in ["$UNSET", "${UNSET}", "{{ env.UNSET }}"] {
            assert_eq!(expanded(text), Err("the environment variable UNSET is not set".to_owned()), "{text}");
        }
        assert_eq!(expanded("${NAME"), Err("`${` has no `}`".to_owned()));
        assert_eq!(expanded("${NAME-x}"), Err("`${NAME-x}` names no variable".to_owned()));
    }
}
