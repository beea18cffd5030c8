//! The upstreams of one caller.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::bridge::Refusal;
use crate::bridge::naming::Naming;
use crate::bridge::upstream::Upstream;

/// For `Retry-After`, where all processes are taken.
const ROOM_AFTER: Duration = Duration::from_secs(30);

/// What a caller has, in the order of the configuration, and what it does not have.
#[derive(Clone, Debug, Default)]
pub struct Own {
    upstreams: Arc<[Arc<Upstream>]>,
    left_out: Arc<[LeftOut]>,
}

/// An upstream that a caller does not have.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// How its names would be shown.
    pub naming: Naming,
    /// Why.
    pub lack: Lack,
}

/// Why a caller does not have an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is each session's own, and there is no session.
    Session,
    /// It is each person's own, and nobody is known.
    Person,
    /// There are as many as there may be.
    Room,
    /// Its process cannot be started for this person; for the person's eyes.
    Unfit(String),
}

impl Own {
    /// These, without those.
    #[must_use]
    pub fn new(upstreams: Vec<Arc<Upstream>>, left_out: Vec<LeftOut>) -> Self {
        Self { upstreams: upstreams.into(), left_out: left_out.into() }
    }

    /// Why there is nothing at all that could serve the caller.
    #[must_use]
    pub fn nothing(&self) -> Option<Refusal> {
        self.left_out.first().filter(|_| self.upstreams.is_empty()).map(LeftOut::refusal)
    }

    /// Why there is no tool or prompt that would be shown under this name.
    #[must_use]
    pub fn missing(&self, shown: &str) -> Option<Refusal> {
        self.left_out.iter().find(|left_out| left_out.naming.original(shown).is_some()).map(LeftOut::refusal)
    }

    /// Why there may be a resource that is not found. Its URI does not tell whose it would be.
    #[must_use]
    pub fn missing_resource(&self) -> Option<Refusal> {
        self.left_out.first().map(LeftOut::refusal)
    }
}

impl Deref for Own {
    type Target = [Arc<Upstream>];

    fn deref(&self) -> &Self::Target {
        &self.upstreams
    }
}

impl LeftOut {
    fn refusal(&self) -> Refusal {
        let upstream = self.name.clone();
        match &self.lack {
            Lack::Session => Refusal::SessionOnly { upstream },
            Lack::Person => {
                Refusal::Unfit { upstream, reason: "it is each person's own, and nobody is known".to_owned() }
            }
            Lack::Room => Refusal::Full { upstream, retry_after: ROOM_AFTER },
            Lack::Unfit(reason) => Refusal::Unfit { upstream, reason: reason.clone() },
        }
    }
}
