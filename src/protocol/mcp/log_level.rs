//! Severities of log messages. [MCP 2025-11-25, Logging](https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/logging#log-levels)

/// A severity, from the syslog's list (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogLevel(u8);

const NAMES: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl LogLevel {
    /// Whether a message of this level, if it says one, is wanted by who wants those of another level and above, if any.
    #[must_use]
    pub fn is_wanted(level: Option<Self>, wanted: Option<Self>) -> bool {
        // MCP 2026-07-28, Per-request log level: none for a request that asks for none.
        wanted.is_some_and(|wanted| level.is_none_or(|level| level >= wanted))
    }

    /// The rank that stands for no level.
    pub const UNSET: u8 = u8::MAX;

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).and_then(|rank| u8::try_from(rank).ok()).map(Self)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("debug")
    }

    /// Its place in the list, from the least severe.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self.0
    }

    /// The level at a place in the list.
    #[must_use]
    pub fn from_rank(rank: u8) -> Option<Self> {
        (usize::from(rank) < NAMES.len()).then_some(Self(rank))
    }
}
