//! `server.oauth_server.consent`: the question whether a client may act.

use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::reader::kind;

/// `consent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// `mode`: about which clients a person is asked.
    pub mode: ConsentMode,
    /// `remember`: how long a consent answers for later requests. Zero: not at all.
    pub remember: Duration,
}

/// `consent.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentMode {
    /// `always`: about every client.
    Always,
    /// `always_for_dynamic`: about all that introduced themselves, and those of the configuration without `skip_consent`.
    AlwaysForDynamic,
    /// `never`: about none; only where every client is of the configuration.
    Never,
}

impl ConsentMode {
    /// As it is written.
    const WORDS: [(&'static str, Self); 3] =
        [("always", Self::Always), ("always_for_dynamic", Self::AlwaysForDynamic), ("never", Self::Never)];
}

impl Consent {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "About which clients a person is asked: always, about all; always_for_dynamic, not about those with skip_consent; never, about none.";
        Self {
            mode: reader.choice("mode", &ConsentMode::WORDS, ConsentMode::AlwaysForDynamic, doc),
            remember: reader.value(
                "remember",
                &kind::DURATION,
                "30d",
                "How long a yes counts for later requests of the same client. 0: never.",
            ),
        }
    }
}
