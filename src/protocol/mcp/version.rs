//! Revisions of the protocol. [MCP 2025-11-25, Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#version-negotiation)

use std::fmt;

/// A revision that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolVersion {
    /// 2024-11-05: spoken to upstreams only; its clients use a transport that is not offered.
    V2024_11_05,
    /// 2025-03-26: the one with JSON-RPC batches.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25.
    V2025_11_25,
    /// 2026-07-28: without sessions; every request says itself what is to be known of its client.
    V2026_07_28,
}

impl ProtocolVersion {
    /// The newest that has sessions.
    pub const LATEST: Self = Self::V2025_11_25;

    /// The one that has none.
    pub const STATELESS: Self = Self::V2026_07_28;

    /// What clients may speak in a session, newest first.
    pub const OFFERED: [Self; 3] = [Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26];

    /// What clients may speak, with a session or without, newest first.
    pub const SUPPORTED: [Self; 4] = [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26];

    /// The revision that a client is answered in: its own when it is offered, else the newest.
    #[must_use]
    pub fn negotiate(requested: &str) -> Self {
        // MCP 2025-11-25, Lifecycle: answer the requested version if it is supported, otherwise another one.
        Self::offered(requested).unwrap_or(Self::LATEST)
    }

    /// The revision of this name among those that clients may speak in a session.
    #[must_use]
    pub fn offered(name: &str) -> Option<Self> {
        Self::OFFERED.into_iter().find(|version| version.as_str() == name)
    }

    /// The revision of this name among those that upstreams may speak.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        Self::offered(name).or_else(|| (name == Self::V2024_11_05.as_str()).then_some(Self::V2024_11_05))
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether several messages may come as one array: JSON-RPC batches came with 2025-03-26 and left after it.
    #[must_use]
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2024_11_05 | Self::V2025_03_26)
    }

    /// Whether a stream begins with an event without data, which came with 2025-11-25 (SEP-1699). SDKs of before take
    /// it for a message that is no JSON.
    #[must_use]
    pub const fn has_priming(self) -> bool {
        matches!(self, Self::V2025_11_25)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_is_answered_with_the_newest() {
        assert_eq!(ProtocolVersion::negotiate("2025-03-26"), ProtocolVersion::V2025_03_26);
        for unknown in ["2024-11-05", "2026-07-28", "", "2025-11-25 "] {
            assert_eq!(ProtocolVersion::negotiate(unknown), ProtocolVersion::LATEST, "{unknown:?}");
        }
        assert_eq!(ProtocolVersion::known("2024-11-05"), Some(ProtocolVersion::V2024_11_05));
    }
}
