//! `isolation`: who shares a connection to an upstream, and with it the process or the upstream's session behind it.

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::section::upstream::{Upstream, UpstreamKind};
use crate::config::value::template;

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

/// What goes together with `isolation`, and what does not.
pub(super) fn check(reader: &Reader<'_>, upstream: &Upstream) {
    if let UpstreamKind::Stdio(command) = &upstream.kind {
        for (name, value) in &command.env {
            if let Err(wrong) = template::check(value.expose(), upstream.isolation == Isolation::PerUser) {
                reader.fault(&format!("env.{name}"), wrong);
            }
        }
    }
    if upstream.isolation == Isolation::Shared {
        return;
    }
    if matches!(upstream.kind, UpstreamKind::Builtin(_)) && reader.is_set("builtin") {
        let problem = "means nothing to builtin, which keeps nothing that could be mixed up";
        reader.fault("isolation", Wrong::new(problem, "remove it"));
    }
    if upstream.required {
        // Rejected: one for nobody, as a trial. Its environment may need a person, and what it did would be nobody's.
        let problem = "is true, but with isolation there is nothing to start before somebody comes";
        reader.fault("required", Wrong::new(problem, "remove it, or write isolation: shared"));
    }
}
