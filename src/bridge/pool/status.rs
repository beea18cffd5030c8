//! How the upstreams stand, each place of the configuration for itself.

use crate::bridge::UpstreamStatus;
use crate::bridge::pool::{Place, Pool};
use crate::bridge::upstream::{State, Upstream};

impl Pool {
    /// How each of the configuration's upstreams stands.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let state = self.lock();
        let status = |place: &Place| match place {
            Place::Shared(upstream) => UpstreamStatus::of(upstream),
            Place::Isolated(number, settings) => {
                let own = state.all.iter().filter(|((_, place), _)| place == number);
                let own: Vec<_> = own.map(|(_, tenancy)| &*tenancy.upstream).collect();
                UpstreamStatus::of_several(&settings.name, &own)
            }
        };
        self.places.iter().map(status).collect()
    }
}

impl UpstreamStatus {
    fn of(upstream: &Upstream) -> Self {
        Self {
            name: upstream.name().to_owned(),
            is_up: upstream.state() == State::Up,
            reason: match upstream.state() {
                State::Starting => Some("it is starting".to_owned()),
                state => state.reason(),
            },
            is_required: upstream.settings.required,
            is_busy: is_busy(upstream),
            restarts: upstream.restarts(),
            dropped: upstream.dropped(),
            tenants: None,
        }
    }

    /// Of one that is isolated: up unless one of its tenants' is down. Nobody's is not there, which is no fault.
    fn of_several(name: &str, all: &[&Upstream]) -> Self {
        let reasons: Vec<String> = all.iter().filter_map(|upstream| upstream.state().reason()).collect();
        Self {
            name: name.to_owned(),
            is_up: reasons.is_empty(),
            reason: reasons.first().map(|reason| format!("{} of {}: {reason}", reasons.len(), all.len())),
            is_required: false,
            is_busy: all.iter().any(|upstream| is_busy(upstream)),
            restarts: all.iter().map(|upstream| upstream.restarts()).sum(),
            dropped: all.iter().map(|upstream| upstream.dropped()).sum(),
            tenants: Some(all.len()),
        }
    }
}

impl State {
    /// Why it is down, if it is.
    fn reason(self) -> Option<String> {
        match self {
            Self::Down(reason) => Some(reason),
            Self::Starting | Self::Up => None,
        }
    }
}

fn is_busy(upstream: &Upstream) -> bool {
    upstream.link().is_some_and(|link| !link.calls.is_idle())
}
