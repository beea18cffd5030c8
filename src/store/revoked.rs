//! What was revoked lately, in memory, so that every request can be checked against it.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::base::id::GrantId;

/// Grants and single access tokens whose access tokens may not have ended yet. Copies share one list.
#[derive(Clone, Debug, Default)]
pub struct Revoked(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lists: ArcSwap<Lists>,
    version: watch::Sender<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lists {
    grants: HashSet<GrantId>,
    tokens: HashSet<String>,
}

impl Revoked {
    /// Whether tokens of this grant are refused.
    #[must_use]
    pub fn has_grant(&self, grant: &GrantId) -> bool {
        self.0.lists.load().grants.contains(grant)
    }

    /// Whether the access token with this `jti` is refused.
    #[must_use]
    pub fn has_token(&self, jti: &str) -> bool {
        self.0.lists.load().tokens.contains(jti)
    }

    /// Told a new number whenever the lists have changed, so that streams opened earlier can be checked again.
    ///
    /// Subscribe first and check once then: what was revoked before is not told.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Replaces the lists by what the database says. Subscribers are told, unless nothing has changed.
    pub fn replace(&self, grants: HashSet<GrantId>, tokens: HashSet<String>) {
        let lists = Lists { grants, tokens };
        if **self.0.lists.load() == lists {
            return;
        }
        self.0.lists.store(Arc::new(lists));
        self.0.version.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribers_hear_of_changes_alone() {
        let revoked = Revoked::default();
        let mut versions = revoked.subscribe();
        let grants = HashSet::from([GrantId::new("g")]);
        revoked.replace(grants.clone(), HashSet::new());
        assert!(versions.has_changed().unwrap());
        assert!(revoked.has_grant(&GrantId::new("g")) && !revoked.has_token("g"));
        assert_eq!(*versions.borrow_and_update(), 1);
        revoked.clone().replace(grants, HashSet::new());
        assert!(!versions.has_changed().unwrap());
    }
}
