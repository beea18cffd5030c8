//! `isolation`: who shares a connection to an upstream, and with it the process or the upstream's session behind it.

use crate::config::reader::Reader;

/// `isolation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everybody shares one.
    #[default]
    Shared,
    /// Each person has one, for all their sessions and for requests without a session.
    PerUser,
    /// Each session has one. Requests without a session have none.
    PerSession,
}

impl Isolation {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let words = [("shared", Self::Shared), ("per_user", Self::PerUser), ("per_session", Self::PerSession)];
        reader.choice("isolation", &words, Self::Shared, "Who shares one process, or one connection to a URL.")
    }
}
