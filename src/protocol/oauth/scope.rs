//! Scopes and their hierarchy: `mcp:read` ⊂ `mcp:write` ⊂ `mcp:admin`. [RFC 6749 §3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Listing and reading.
pub const READ: &str = "mcp:read";
/// Calling tools. Includes [`READ`].
pub const WRITE: &str = "mcp:write";
/// Administration. Includes [`WRITE`].
pub const ADMIN: &str = "mcp:admin";

/// A set of scopes, written in one order so that equal sets read the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(BTreeSet<String>);

impl ScopeSet {
    /// Every scope there is a rule for.
    #[must_use]
    pub fn everything() -> Self {
        [ADMIN, READ, WRITE].into_iter().collect()
    }

    /// Splits a `scope` parameter at its spaces.
    ///
    /// # Errors
    /// A character outside `%x21 / %x23-5B / %x5D-7E` (RFC 6749 §3.3).
    pub fn parse(value: &str) -> Result<Self, InvalidScope> {
        value.split(' ').filter(|scope| !scope.is_empty()).map(checked).collect()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `scope` itself was written, whatever includes it.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether this set gives `scope`, itself or by a scope that includes it.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        self.contains(scope)
            || (scope == READ && (self.contains(WRITE) || self.contains(ADMIN)))
            || (scope == WRITE && self.contains(ADMIN))
    }

    /// Whether this set gives every scope of `other`.
    #[must_use]
    pub fn allows_all(&self, other: &Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }

    /// What of this set `limit` gives: how a request is cut down to what a person may have.
    #[must_use]
    pub fn limited_to(&self, limit: &Self) -> Self {
        self.iter().filter(|scope| limit.allows(scope)).collect()
    }
}

fn checked(scope: &str) -> Result<String, InvalidScope> {
    // RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
    let legal = scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E));
    if legal { Ok(scope.to_owned()) } else { Err(InvalidScope) }
}

/// A `scope` value holds a character that scopes cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope holds printable ASCII characters other than space, quotation mark and backslash")]
pub struct InvalidScope;

impl<'a> FromIterator<&'a str> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(str::to_owned).collect())
    }
}

impl FromIterator<String> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = String>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for ScopeSet {
    /// Joined by spaces, as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_scope_includes_the_narrower() {
        let write = ScopeSet::parse("mcp:write").unwrap();
        assert!(write.allows(READ) && write.allows(WRITE) && !write.allows(ADMIN));
        assert_eq!(ScopeSet::parse("mcp:read mcp:write").unwrap().limited_to(&write).to_string(), "mcp:read mcp:write");
        assert!(ScopeSet::parse("mcp:admin").unwrap().limited_to(&write).is_empty());
    }

    #[test]
    fn quotation_marks_and_control_characters_are_no_scope() {
        for value in ["a\"b", "a\\b", "a\nb", "ä", "a\u{7f}"] {
            assert_eq!(ScopeSet::parse(value), Err(InvalidScope), "{value:?}");
        }
    }
}
