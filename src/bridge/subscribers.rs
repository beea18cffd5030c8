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
    /// Each with how many of its own requests the upstream has still to answer.
    all: Vec<(Subscriber, usize)>,
    /// The upstream agreed to tell.
    is_agreed: bool,
    /// How many requests it has still to answer, those of who has left included.
    asking: usize,
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
    /// Takes somebody in. False when the upstream has to be asked; then [`Self::settle`] has to follow.
    pub fn begin(&mut self, subscriber: &Subscriber) -> bool {
        let asks = usize::from(!self.is_agreed);
        self.asking += asks;
        match self.all.iter_mut().find(|(known, _)| known.key() == subscriber.key()) {
            Some((_, asking)) => *asking += asks,
            None => self.all.push((subscriber.clone(), asks)),
        }
        self.is_agreed
    }

    /// A request for somebody is over. Who has left meanwhile stays out; who was refused goes if no other request may bring it.
    pub fn settle(&mut self, subscriber: &Subscriber, outcome: Outcome) {
        self.asking = self.asking.saturating_sub(1);
        self.is_agreed |= outcome == Outcome::Agreed;
        if let Some((_, asking)) = self.all.iter_mut().find(|(known, _)| known.key() == subscriber.key()) {
            *asking = asking.saturating_sub(1);
            if *asking == 0 && outcome == Outcome::Refused && !self.is_agreed {
                self.remove(subscriber);
            }
        }
    }

    /// Takes somebody out.
    pub fn remove(&mut self, subscriber: &Subscriber) {
        self.all.retain(|(known, _)| known.key() != subscriber.key());
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
        self.all.iter().map(|(subscriber, _)| subscriber)
    }

    /// The same people at another upstream, which is asked for all of them when it is up.
    pub fn moved(mut self) -> Self {
        self.asking = 0;
        self.all.iter_mut().for_each(|(_, asking)| *asking = 0);
        self
    }
}
