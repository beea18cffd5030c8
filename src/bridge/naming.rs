//! Names of several upstreams side by side: `prefix__name`, and back.

/// How one upstream's names are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    lead: String,
}

impl Naming {
    /// Names of an upstream: `prefix` if it is set, else its name when it is one of `several`.
    #[must_use]
    pub fn new(prefix: Option<&str>, name: &str, separator: &str, several: bool) -> Self {
        let prefix = prefix.unwrap_or(if several { name } else { "" });
        Self { lead: if prefix.is_empty() { String::new() } else { format!("{prefix}{separator}") } }
    }

    /// Whether names are shown as they are.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.lead.is_empty()
    }

    /// How a name is shown.
    #[must_use]
    pub fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.lead)
    }

    /// The name that is shown as `shown`; `None` when it is none of this upstream's.
    ///
    /// Only the lead is cut off, so names may hold the separator. Several upstreams may claim one shown name
    /// (`a` + `b__c`, `a__b` + `c`): who really has such a name decides, the first in the list when both do.
    #[must_use]
    pub fn original<'a>(&self, shown: &'a str) -> Option<&'a str> {
        shown.strip_prefix(self.lead.as_str())
    }
}

/// Whether a name fits one of the patterns, in which `*` is any run of characters.
#[must_use]
pub fn fits_any(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| fits(name, pattern))
}

fn fits(name: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').map_or((None, rest), |(middle, tail)| (Some(middle), tail));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        // The earliest place leaves the most for what follows.
        let Some(at) = name.find(part) else { return false };
        name = name.get(at + part.len()..).unwrap_or_default();
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcp_4_names_are_matched_exactly_and_come_back() {
        let naming = Naming::new(None, "files", "__", true);
        for name in ["read", "a__b", "files__x", "", "ünï"] {
            assert_eq!(naming.original(&naming.shown(name)), Some(name));
        }
        for other in ["FILES__read", "files_read", "files", " files__read", "ｆiles__read"] {
            assert_eq!(naming.original(other), None, "{other}");
        }
        assert!(Naming::new(None, "files", "__", false).is_plain());
        assert_eq!(Naming::new(Some("f"), "files", "/", false).shown("read"), "f/read");
        assert!(Naming::new(Some(""), "files", "__", true).is_plain());
    }

    #[test]
    fn mcp_4_patterns_match_exactly_but_for_the_star() {
        let fits_one = |name: &str, pattern: &str| fits_any(name, &[pattern.to_owned()]);
        for (name, pattern) in [
            ("x", "*"),
            ("", "*"),
            ("get_a", "get_*"),
            ("a_get", "*_get"),
            ("abcabc", "a*c*c"),
            ("ab", "a*b"),
            ("aXbYc", "a*b*c"),
        ] {
            assert!(fits_one(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [
            ("tool ", "tool"),
            ("TOOL", "tool"),
            ("a", "a*a"),
            ("get", "get_*"),
            ("xbYc", "a*b*c"),
            ("x", ""),
            ("aXc", "a*b*c"),
        ] {
            assert!(!fits_one(name, pattern), "{name} {pattern}");
        }
        assert!(!fits_any("x", &[]));
    }
}
