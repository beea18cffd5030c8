//! From the upstreams of one configuration to those of the next: what did not change is not touched.

use std::sync::{Arc, Mutex};

use crate::bridge::hub::Hub;
use crate::bridge::pool::{Making, Place, Pool, Tenancies, lock};
use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::lists;
use crate::config::section;

/// How the upstreams of a configuration differ from those of the one before, by the numbers of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// New ones, and those whose settings changed.
    pub begun: Vec<usize>,
    /// Those that are not wanted any more, and the former selves of those whose settings changed.
    pub gone: Vec<usize>,
    /// Former selves, and what came in their place.
    pub replaced: Vec<(usize, usize)>,
}

impl Pool {
    /// The upstreams of another configuration. New ones are begun at once.
    #[must_use]
    pub fn reloaded(&self, all: &[section::Upstream], making: Making) -> Self {
        Self::make(all, &self.places, making, Arc::clone(&self.state))
    }

    /// How they differ from those of before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Difference {
        let missing = |places: &[Place], others: &[Place]| -> Vec<usize> {
            let is_missing = |place: &&Place| !others.iter().any(|other| other.number() == place.number());
            places.iter().filter(is_missing).map(Place::number).collect()
        };
        let (begun, gone) = (missing(&self.places, &before.places), missing(&before.places, &self.places));
        let name_of = |places: &[Place], number| {
            let place = places.iter().find(|place| place.number() == number);
            place.map(|place| place.settings().name.clone())
        };
        let heir = |old: &usize| {
            let name = name_of(&before.places, *old);
            begun.iter().find(|new| name_of(&self.places, **new) == name).map(|new| (*old, *new))
        };
        let replaced = gone.iter().filter_map(heir).collect();
        Difference { begun, gone, replaced }
    }

    /// Those that everybody shares and that have one of these numbers.
    pub fn shared_of(&self, numbers: &[usize]) -> impl Iterator<Item = &Arc<Upstream>> {
        self.shared().filter(|upstream| numbers.contains(&upstream.index))
    }

    /// Shows the names of all as it is right for so many. True: some look different now.
    pub fn rename(&self) -> bool {
        let state = self.lock();
        let mut is_different = false;
        for place in &self.places {
            let naming = self.naming(place.settings());
            let own = state.all.iter().filter(|((_, number), _)| *number == place.number());
            for (_, tenancy) in own {
                is_different |= tenancy.upstream.rename(&naming);
            }
        }
        is_different
    }

    /// What clients who knew these have to hear of.
    #[must_use]
    pub fn lists_of(&self, numbers: &[usize]) -> u8 {
        let state = self.lock();
        let own = state.all.iter().filter(|((_, number), _)| numbers.contains(number));
        let offers = own.filter_map(|(_, tenancy)| Some(tenancy.upstream.hello()?.offers));
        offers.fold(0, |lists, offers| lists | lists::all_changes(offers))
    }

    /// The lists that any of all has.
    #[must_use]
    pub fn all_lists(&self) -> u8 {
        self.lists_of(&self.places.iter().map(Place::number).collect::<Vec<_>>())
    }

    /// What has no place any more.
    #[must_use]
    pub fn leaving(&self, numbers: Vec<usize>) -> Leaving {
        Leaving { numbers, hub: Arc::clone(&self.making.hub), state: Arc::clone(&self.state) }
    }
}

/// What has no place in the configuration any more, and is still there.
#[derive(Debug)]
pub struct Leaving {
    numbers: Vec<usize>,
    hub: Arc<Hub>,
    state: Arc<Mutex<Tenancies>>,
}

impl Leaving {
    /// Whether nobody waits for any of it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        let mut own = state.all.iter().filter(|((_, number), _)| self.numbers.contains(number));
        own.all(|(_, tenancy)| tenancy.upstream.link().is_none_or(|link| link.calls.is_idle()))
    }

    /// Ends it, whosever it is.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        let ended = state.take(|number, _| self.numbers.contains(&number));
        for tenancy in &ended {
            tenancy.end();
            self.hub.drop_subscriptions(tenancy.upstream.index);
        }
        state.ending.extend(ended);
    }
}
