//! Which grants clients have come with lately, in memory until it is written down: no request waits for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::Timestamp;
use crate::base::id::GrantId;

/// Grants and when they were last used. Copies share one list, which is as long as there are grants in use between two writes.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<HashMap<GrantId, Timestamp>>>);

impl Calls {
    /// Notes that a grant was used.
    pub fn note(&self, grant: &GrantId, now: Timestamp) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get_mut(grant) {
            Some(last) => *last = now.max(*last),
            None => drop(calls.insert(grant.clone(), now)),
        }
    }

    /// Everything noted, which is forgotten here.
    #[must_use]
    pub fn take(&self) -> Vec<(GrantId, Timestamp)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }
}
