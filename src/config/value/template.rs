//! `{{ user.email }}` and `{{ user.sub }}` in values of `env`, filled when a person's process is started.

use crate::config::fault::Wrong;

/// What a template may say of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `user.email`.
    Email,
    /// `user.sub`: the name of a built-in user, or issuer and subject at an identity provider.
    Sub,
}

impl Variable {
    const ALL: [(&'static str, Self); 2] = [("user.email", Self::Email), ("user.sub", Self::Sub)];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, variable)| variable)
    }
}

/// Why a template cannot be filled for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillFault {
    /// Nothing is known to put there.
    #[error("nothing is known of this person to put in the place of {}", name(.0))]
    Unknown(Variable),
    /// It could be taken for something else than a name.
    #[error("{} of this person holds what is not allowed there", name(.0))]
    Unsafe(Variable),
}

/// Whether the value uses this variable.
#[must_use]
pub fn uses(text: &str, variable: Variable) -> bool {
    parts(text).any(|part| matches!(part, Part::Variable(name) if Variable::parse(name) == Some(variable)))
}

/// Checks the variables in a value. Where there is no person, `{{ user.… }}` is a fault, and other braces are text.
///
/// # Errors
/// A variable that does not exist, or not there.
pub fn check(text: &str, has_person: bool) -> Result<(), Wrong> {
    for part in parts(text) {
        let Part::Variable(name) = part else { continue };
        if has_person && Variable::parse(name).is_none() {
            let known = Variable::ALL.map(|(name, _)| name).join(" and ");
            return Err(Wrong::new(format!("has the unknown variable `{name}`"), format!("there are {known}")));
        }
        if !has_person && name.starts_with("user.") {
            let problem = format!("has the variable `{name}`, but the process is not one person's");
            return Err(Wrong::new(problem, "write isolation: per_user"));
        }
    }
    Ok(())
}

/// The value for one person, of whom `find` tells.
///
/// # Errors
/// It cannot be filled so that it is safe to use.
pub fn fill(text: &str, find: impl Fn(Variable) -> Option<String>) -> Result<String, FillFault> {
    let mut filled = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Variable(name) => match Variable::parse(name) {
                Some(variable) => {
                    let value = find(variable).ok_or(FillFault::Unknown(variable))?;
                    if !is_safe(&value) {
                        return Err(FillFault::Unsafe(variable));
                    }
                    filled.push_str(&value);
                }
                // The configuration was checked; what is no variable of ours is text.
                None => filled.push_str(&format!("{{{{{name}}}}}")),
            },
        }
    }
    Ok(filled)
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// Text and variables, in their order. Only `{{ name }}` is a variable: JSON in a value has braces, too.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = variable(rest) {
            rest = after;
            return Some(Part::Variable(name));
        }
        let begins = rest.char_indices().skip(1).find(|(at, _)| variable(&rest[*at..]).is_some());
        let (text, after) = rest.split_at(begins.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(Part::Text(text))
    })
}

fn variable(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("{{")?.split_once("}}")?;
    let name = name.trim_matches(' ');
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    is_name.then_some((name, after))
}

/// security.md CHILD-2: a value that comes from a person adds no line, looks like no option and leads to no other folder.
fn is_safe(value: &str) -> bool {
    let has_dots = value.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
    !value.is_empty() && !value.starts_with('-') && !value.chars().any(char::is_control) && !has_dots
}

fn name(variable: &Variable) -> &'static str {
    Variable::ALL.into_iter().find(|(_, known)| known == variable).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, value: &str) -> Result<String, FillFault> {
        fill(text, |variable| (variable == Variable::Email).then(|| value.to_owned()))
    }

    #[test]
    fn variables_are_filled_and_all_else_stays() {
        for (text, expected) in [
            ("{{ user.email }}", "a@b"),
            ("x-{{user.email}}-{{  user.email }}", "x-a@b-a@b"),
            (r#"{"a":{"b":"{{ user.email }}"}}"#, r#"{"a":{"b":"a@b"}}"#),
            ("{{{{ user.email }}", "{{a@b"),
            ("é{{", "é{{"),
            ("", ""),
        ] {
            assert_eq!(filled(text, "a@b").as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(filled("{{ user.email }}", "{{ user.email }}").as_deref(), Ok("{{ user.email }}"), "filled once");
        assert!(uses("a{{ user.sub }}", Variable::Sub) && !uses("a{{ user.sub }}", Variable::Email));
    }

    #[test]
    fn child_2_what_could_be_more_than_a_name_is_refused() {
        for bad in ["a\nb", "a\0", "\u{85}", "-rf", "../b@c", "a/../b", "a\\..", ""] {
            assert_eq!(filled("{{ user.email }}", bad), Err(FillFault::Unsafe(Variable::Email)), "{bad:?}");
        }
        assert!(filled("{{ user.email }}", "https://idp.example.com#1..2").is_ok());
        assert_eq!(filled("{{ user.sub }}", "x"), Err(FillFault::Unknown(Variable::Sub)));
    }

    #[test]
    fn unknown_variables_are_faults_where_there_is_a_person() {
        assert!(check("{{ user.name }}", true).is_err() && check("{{ x }}", true).is_err());
        assert!(check("{{ user.email }}", false).is_err() && check("{{ x }}", false).is_ok());
        assert!(check("{{ user.email }}{{ user.sub }}{{}}{{\"a\"}}", true).is_ok());
    }
}
