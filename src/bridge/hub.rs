//! What the sessions and the upstreams' connections share: who is there, and who wants to hear of what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::base::clock::Clock;
use crate::bridge::load::Unread;
use crate::bridge::mailbox::Item;
use crate::bridge::session::Session;
use crate::bridge::sessions::Sessions;
use crate::bridge::stateless::listener::{Listener, Listeners};
use crate::bridge::stateless::parked::Parked;
use crate::bridge::subscribers::{Outcome, Subscriber, Subscribers, Subscription};
use crate::bridge::tenant::Tenant;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::stateless::state::Seal;
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::reply;

/// Shared by everything in the bridge.
#[derive(Debug)]
pub struct Hub {
    /// The sessions.
    pub sessions: Sessions,
    /// Calls of the stateless era whose client has to come back.
    pub parked: Parked,
    /// Under which clients of the stateless era are given what upstreams of it want back.
    pub seal: Seal,
    /// Which era upstreams were found to speak, by their names.
    pub found: Found,
    /// Who listens without a session.
    pub listeners: Listeners,
    /// Large answers that wait to be read.
    pub unread: Unread,
    /// Where background work runs, whatever runtime a request came on.
    pub runtime: Handle,
    /// The time.
    pub clock: Clock,
    asks: AtomicU64,
    stays: AtomicU64,
    subscribers: Mutex<HashMap<Subscription, Subscribers>>,
}

/// What was found of upstreams, so that none is asked each time it is connected to.
#[derive(Debug, Default)]
pub struct Found(Mutex<HashMap<String, Speaks>>);

impl Found {
    /// What this one was found to speak.
    #[must_use]
    pub fn of(&self, upstream: &str) -> Option<Speaks> {
        self.lock().get(upstream).copied()
    }

    /// Notes it.
    pub fn note(&self, upstream: &str, speaks: Speaks) {
        self.lock().insert(upstream.to_owned(), speaks);
    }

    /// It was wrong.
    pub fn forget(&self, upstream: &str) {
        self.lock().remove(upstream);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Speaks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request to an upstream to tell somebody of a resource. Dropped without an outcome, nobody knows what came of it.
#[derive(Debug)]
pub struct Asking {
    hub: Arc<Hub>,
    subscription: Subscription,
    stay: u64,
    is_settled: bool,
}

impl Asking {
    /// The upstream agreed. True: nobody wants to hear of it any more, which it has to be told.
    #[must_use]
    pub fn agreed(self) -> bool {
        self.settle(Outcome::Agreed)
    }

    /// It did not. True: it tells all the same, for another request, and nobody wants to hear of it any more.
    #[must_use]
    pub fn refused(self) -> bool {
        self.settle(Outcome::Refused)
    }

    fn settle(mut self, outcome: Outcome) -> bool {
        self.is_settled = true;
        self.hub.settle(&self.subscription, self.stay, outcome)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_settled {
            // Who left it so is there until it is forgotten, and the upstream then told if nobody else is.
            let _agreed = self.hub.settle(&self.subscription, self.stay, Outcome::Unknown);
        }
    }
}

/// Whom a change of a list concerns.
#[derive(Debug)]
pub struct Audience {
    sessions: Vec<Arc<Session>>,
    listeners: Vec<Arc<Listener>>,
}

impl Audience {
    /// Tells them that a list changed.
    pub fn list_changed(&self, method: &Method) {
        self.listeners.iter().for_each(|listener| listener.list_changed(method));
        let notification = reply::notification(method.as_str(), None);
        for session in &self.sessions {
            // A session that just ended need not hear of it.
            let _ended = session.mailbox.push(Item::Notification(notification.clone()));
        }
    }
}

impl Hub {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(sessions: Sessions, runtime: Handle, clock: Clock) -> Self {
        Self {
            sessions,
            listeners: Listeners::default(),
            unread: Unread::default(),
            parked: Parked::default(),
            seal: Seal::new(),
            found: Found::default(),
            runtime,
            clock,
            asks: AtomicU64::new(1),
            stays: AtomicU64::new(1),
            subscribers: Mutex::default(),
        }
    }

    /// A new id for a request to a client. No two sessions are ever asked under the same one.
    #[must_use]
    pub fn next_ask(&self) -> u64 {
        self.asks.fetch_add(1, Ordering::Relaxed)
    }

    /// Who of a tenant's sessions and listeners were told what there is, and so have to hear when it changes.
    #[must_use]
    pub fn audience(&self, tenant: &Tenant) -> Audience {
        let mut sessions = self.sessions.list();
        sessions.retain(|session| session.is_introduced() && tenant.has_session(session));
        Audience { sessions, listeners: self.listeners.of(tenant) }
    }

    /// Whether somebody is subscribed to a resource, or about to be.
    #[must_use]
    pub fn is_wanted(&self, subscription: &Subscription) -> bool {
        self.subscribers().get(subscription).is_some_and(Subscribers::is_wanted)
    }

    /// Notes a subscriber, before the upstream is asked: it may tell of a change with the same breath with which it agrees.
    /// `None` when it agreed before and need not be asked.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, subscription: Subscription, subscriber: &Subscriber) -> Option<Asking> {
        let mut all = self.subscribers();
        if self.has_gone(subscriber) {
            return None;
        }
        let number = self.stays.fetch_add(1, Ordering::Relaxed);
        let stay = all.entry(subscription.clone()).or_default().begin(subscriber, number)?;
        drop(all);
        Some(Asking { hub: Arc::clone(self), subscription, stay, is_settled: false })
    }

    /// True: the upstream tells, and nobody wants to hear of it any more.
    fn settle(&self, subscription: &Subscription, stay: u64, outcome: Outcome) -> bool {
        let mut all = self.subscribers();
        // Its upstream may have gone.
        let Some(subscribers) = all.get_mut(subscription) else { return false };
        subscribers.settle(stay, outcome);
        subscribers.is_over() && all.remove(subscription).is_some_and(|subscribers| subscribers.is_agreed())
    }

    /// Forgets a subscriber. True when it was the last one.
    #[must_use]
    pub fn unsubscribe(&self, subscription: &Subscription, subscriber: &Subscriber) -> bool {
        let mut all = self.subscribers();
        let Some(subscribers) = all.get_mut(subscription) else { return false };
        subscribers.remove(subscriber);
        subscribers.is_over() && all.remove(subscription).is_some()
    }

    /// Forgets a subscriber altogether. Gives the subscriptions that nobody has any more.
    #[must_use]
    pub fn forget(&self, subscriber: &Subscriber) -> Vec<Subscription> {
        let mut all = self.subscribers();
        for subscribers in all.values_mut() {
            subscribers.remove(subscriber);
        }
        all.extract_if(|_, subscribers| subscribers.is_over()).map(|(subscription, _)| subscription).collect()
    }

    /// What was subscribed to at one upstream is from now on at another. True: there was something.
    pub fn move_subscriptions(&self, from: usize, to: usize) -> bool {
        let mut all = self.subscribers();
        let moved: Vec<_> = all.extract_if(|(index, _), _| *index == from).collect();
        let moves = moved.iter().any(|(_, subscribers)| subscribers.is_wanted());
        for ((_, uri), subscribers) in moved {
            if subscribers.is_wanted() {
                all.entry((to, uri)).or_default().join(subscribers);
            }
        }
        moves
    }

    /// What was subscribed to at an upstream that is no more.
    pub fn drop_subscriptions(&self, of: usize) {
        self.subscribers().retain(|(index, _), _| *index != of);
    }

    /// The resources of one upstream that somebody is subscribed to.
    #[must_use]
    pub fn subscriptions_of(&self, upstream: usize) -> Vec<String> {
        let all = self.subscribers();
        let own = all.iter().filter(|((index, _), subscribers)| *index == upstream && subscribers.is_wanted());
        own.map(|((_, uri), _)| uri.clone()).collect()
    }

    /// Who is to hear that a resource, or a part of one they subscribed to, was updated.
    #[must_use]
    pub fn subscribers_of(&self, upstream: usize, uri: &str) -> Vec<Subscriber> {
        let all = self.subscribers();
        let concerned = all.iter().filter(|((index, subscribed), _)| *index == upstream && is_part(uri, subscribed));
        let mut found: Vec<Subscriber> = concerned.flat_map(|(_, subscribers)| subscribers.iter().cloned()).collect();
        found.sort_unstable_by_key(Subscriber::key);
        found.dedup_by_key(|subscriber| subscriber.key());
        found
    }

    /// Whether it is a session that has ended. What is noted of it after it was forgotten would stay for ever, so that this is
    /// asked while nobody can be forgotten.
    fn has_gone(&self, subscriber: &Subscriber) -> bool {
        matches!(subscriber, Subscriber::Session(session) if !self.sessions.has(&session.id))
    }

    fn subscribers(&self) -> MutexGuard<'_, HashMap<Subscription, Subscribers>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// MCP 2025-11-25, `ResourceUpdatedNotification`: it may name a sub-resource of what was subscribed to.
fn is_part(uri: &str, subscribed: &str) -> bool {
    uri.strip_prefix(subscribed)
        .is_some_and(|rest| rest.is_empty() || subscribed.ends_with('/') || rest.starts_with(['/', '#', '?']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_resource_belongs_to_its_parent() {
        assert!(is_part("file:///a/b", "file:///a") && is_part("file:///a", "file:///a") && is_part("x:a/b", "x:a/"));
        assert!(!is_part("file:///ab", "file:///a") && !is_part("file:///", "file:///a"));
    }
}
