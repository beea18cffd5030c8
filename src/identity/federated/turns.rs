//! One at a time per person: a refresh token that two present at once is taken for stolen by providers that rotate them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::base::id::UserId;

/// Above this many, people who are not being asked about are forgotten.
const MANY: usize = 1024;

/// Whose turn it is. `T` is what those who waited may share with the one they waited for.
pub struct Turns<T>(Mutex<HashMap<UserId, Arc<Person<T>>>>);

struct Person<T> {
    outcome: Arc<AsyncMutex<Option<T>>>,
    ended: AtomicU64,
}

/// Somebody's turn. The next one comes when it is dropped.
pub struct Turn<T> {
    person: Arc<Person<T>>,
    outcome: OwnedMutexGuard<Option<T>>,
    has_waited: bool,
}

impl<T: Clone> Turns<T> {
    /// Nobody yet.
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Waits for a turn about this person.
    pub async fn take(&self, user: &UserId) -> Turn<T> {
        let person = self.person(user);
        let before = person.ended.load(Ordering::Acquire);
        let outcome = Arc::clone(&person.outcome).lock_owned().await;
        let has_waited = person.ended.load(Ordering::Acquire) != before;
        Turn { person, outcome, has_waited }
    }

    fn person(&self, user: &UserId) -> Arc<Person<T>> {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= MANY {
            people.retain(|_, person| Arc::strong_count(person) > 1);
        }
        let new = || Arc::new(Person { outcome: Arc::new(AsyncMutex::new(None)), ended: AtomicU64::new(0) });
        Arc::clone(people.entry(user.clone()).or_insert_with(new))
    }
}

impl<T: Clone> Turn<T> {
    /// What came of the turn that ended while this one was waited for.
    pub fn shared(&self) -> Option<T> {
        self.outcome.as_ref().filter(|_| self.has_waited).cloned()
    }

    /// Ends the turn with something that those who wait may share.
    pub fn end(mut self, outcome: Option<T>) {
        *self.outcome = outcome;
        self.person.ended.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn who_waits_shares_and_who_comes_later_does_not() {
        let turns = Turns::new();
        let user = UserId::new("https://idp.example#1");
        let ask = || async {
            let turn = turns.take(&user).await;
            if let Some(shared) = turn.shared() {
                return (shared, false);
            }
            tokio::task::yield_now().await;
            turn.end(Some(1));
            (1, true)
        };
        let asked = join_all((0..20).map(|_| ask())).await;
        assert_eq!(asked.iter().filter(|(_, asked)| *asked).count(), 1);
        assert_eq!(ask().await, (1, true));
    }

    #[tokio::test]
    async fn a_turn_broken_off_is_the_next_ones() {
        let turns = Turns::<u32>::new();
        let user = UserId::new("https://idp.example#1");
        drop(turns.take(&user).await);
        assert_eq!(turns.take(&user).await.shared(), None);
    }

    #[tokio::test]
    async fn the_idle_are_forgotten() {
        let turns = Turns::<u32>::new();
        let held = turns.take(&UserId::new("held")).await;
        for number in 0..3 * MANY {
            turns.take(&UserId::new(number.to_string())).await.end(None);
        }
        let people = turns.0.lock().unwrap();
        assert!(people.len() <= MANY && people.contains_key(&UserId::new("held")));
        drop(held);
    }
}
