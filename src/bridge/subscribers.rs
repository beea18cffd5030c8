//! Who hears of a resource, and who is about to: while the upstream is asked, people come and leave.

use std::sync::Arc;

use crate::bridge::session::Session;
use crate::bridge::stateless::listener::Listener;

/// A resource: the upstream's number, and its URI.
pub type Subscription = (usize, String);

/// Who is subscribed to a resource.
#[derive(Clone, Debug)]
pub enum Subscriber {
    /// A session.
    Session(Arc<Session>),
    /// A `subscriptions/listen` of the stateless era.
    Listener(Arc<Listener>),
}

impl Subscriber {
    /// Tells one from another.
    #[must_use]
    pub fn key(&self) -> usize {
        match self {
            Self::Session(session) => Arc::as_ptr(session).addr(),
            Self::Listener(listener) => Arc::as_ptr(listener).addr(),
        }
    }
}

/// Those of one resource.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    all: Vec<Stay>,
    /// The upstream agreed to tell.
    is_agreed: bool,
    /// How many requests it has still to answer, those of who has left included.
    asking: usize,
}

/// Somebody who is there, until leaving. Who comes back stays anew, and what was asked for the first time is nothing to the second.
#[derive(Debug)]
struct Stay {
    number: u64,
    subscriber: Subscriber,
    /// How many requests for it the upstream has still to answer.
    asking: usize,
    /// It was said to hear.
    is_told: bool,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The upstream tells.
    Agreed,
    /// It does not.
    Refused,
    /// Nobody waited for its answer.
    Unknown,
}

impl Subscribers {
    /// Takes somebody in, under this number if it was not there. Gives the number of the stay when the upstream has to be asked;
    /// then [`Self::settle`] has to follow.
    pub fn begin(&mut self, subscriber: &Subscriber, number: u64) -> Option<u64> {
        let asks = usize::from(!self.is_agreed);
        self.asking += asks;
        let known = self.all.iter_mut().find(|stay| stay.subscriber.key() == subscriber.key());
        let number = match known {
            Some(stay) => {
                stay.asking += asks;
                stay.is_told |= self.is_agreed;
                stay.number
            }
            None => {
                let (subscriber, is_told) = (subscriber.clone(), self.is_agreed);
                self.all.push(Stay { number, subscriber, asking: asks, is_told });
                number
            }
        };
        (!self.is_agreed).then_some(number)
    }

    /// A request for a stay is over. Who has left meanwhile stays out; who was told to hear nothing goes, unless by another request.
    pub fn settle(&mut self, number: u64, outcome: Outcome) {
        self.asking = self.asking.saturating_sub(1);
        self.is_agreed |= outcome == Outcome::Agreed;
        let Some(stay) = self.all.iter_mut().find(|stay| stay.number == number) else { return };
        stay.asking = stay.asking.saturating_sub(1);
        stay.is_told |= outcome == Outcome::Agreed;
        if outcome == Outcome::Refused && stay.asking == 0 && !stay.is_told {
            self.all.retain(|stay| stay.number != number);
        }
    }

    /// Takes somebody out.
    pub fn remove(&mut self, subscriber: &Subscriber) {
        self.all.retain(|stay| stay.subscriber.key() != subscriber.key());
    }

    /// Whether somebody is there.
    pub const fn is_wanted(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether nobody is there, and nothing under way for which the upstream would begin to tell.
    pub const fn is_over(&self) -> bool {
        self.all.is_empty() && self.asking == 0
    }

    /// Whether the upstream agreed to tell.
    pub const fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    /// Who is there.
    pub fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        self.all.iter().map(|stay| &stay.subscriber)
    }

    /// Takes in who was at another upstream; this one is asked for all of them when it is up.
    pub fn join(&mut self, moved: Self) {
        self.is_agreed |= moved.is_agreed;
        for stay in moved.all {
            if self.iter().all(|known| known.key() != stay.subscriber.key()) {
                self.all.push(Stay { asking: 0, ..stay });
            }
        }
    }
}
