//! How the upstreams stand, each place of the configuration for itself.

use crate::bridge::UpstreamStatus;
use crate::bridge::pool::{Place, Pool};
use crate::bridge::upstream::{State, Upstream};

impl Pool {
    /// How each of the configuration's upstreams stands.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let state = self.lock();
        let status = |(index, place): (usize, &Place)| match place {
            Place::Shared(upstream) => UpstreamStatus::of(upstream),
            Place::Isolated(settings) => {
                let own = state.isolated.iter().filter(|((_, place), _)| *place == index);
                let own: Vec<_> = own.map(|(_, tenancy)| UpstreamStatus::of(&tenancy.upstream)).collect();
                UpstreamStatus::of_several(&settings.name, &own)
            }
        };
        self.places.iter().enumerate().map(status).collect()
    }
}

impl UpstreamStatus {
    fn of(upstream: &Upstream) -> Self {
        Self {
            name: upstream.name().to_owned(),
            is_up: upstream.state() == State::Up,
            reason: match upstream.state() {
                State::Up => None,
                State::Starting => Some("it is starting".to_owned()),
                State::Down(reason) => Some(reason),
            },
            is_required: upstream.settings.required,
            is_busy: upstream.link().is_some_and(|link| !link.is_idle()),
            restarts: upstream.restarts(),
            dropped: upstream.dropped(),
            tenants: None,
        }
    }

    /// Of one that is isolated: up unless one of its tenants' is down. Nobody's is not there, which is no fault.
    fn of_several(name: &str, all: &[Self]) -> Self {
        let down: Vec<_> = all.iter().filter(|one| !one.is_up).collect();
        let reason = down.first().and_then(|one| one.reason.as_deref());
        Self {
            name: name.to_owned(),
            is_up: down.is_empty(),
            reason: reason.map(|reason| format!("{} of {}: {reason}", down.len(), all.len())),
            is_required: false,
            is_busy: all.iter().any(|one| one.is_busy),
            restarts: all.iter().map(|one| one.restarts).sum(),
            dropped: all.iter().map(|one| one.dropped).sum(),
            tenants: Some(all.len()),
        }
    }
}
