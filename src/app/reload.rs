//! Another configuration comes into force while the bridge answers: all of it, or nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::made::{Before, Made};
use crate::app::tasks::Retention;
use crate::app::{Ground, Running, StartError, absent, restart};
use crate::audit::Audit;
use crate::base::clock::Clock;
use crate::base::id::UserId;
use crate::config::Config;
use crate::http::state::State;
use crate::store::{Present, Store, StoreError};

/// How long requests that came before the reload may make grants of somebody whose password has changed.
const SOON: Duration = Duration::from_secs(2);
/// How long they are waited for at most, before the last look for grants of those who were removed.
const AT_LAST: Duration = Duration::from_secs(600);
/// How often it is asked whether they have been answered, and the store again that did not answer.
const INTERVAL: Duration = Duration::from_millis(100);

impl Running {
    /// Puts another configuration in force. Gives the keys whose change needs a restart: they stay what they were.
    ///
    /// # Errors
    /// Something of it cannot be had. Everything is as it was then.
    pub async fn reload(&mut self, mut config: Config) -> Result<Vec<&'static str>, StartError> {
        let kept = restart::keep(&mut config, &self.config);
        let in_force = self.live.current();
        let before = Before { config: &self.config, state: &in_force, behind: &self.behind };
        let made = Made::of(&config, &self.ground, Some(before)).await?;
        let leavers = match self.prepare_store(&config, &made).await {
            Ok(leavers) => leavers,
            Err(error) => {
                made.state.bridge.give_up(&in_force.bridge);
                return Err(StartError::Io(error.to_string()));
            }
        };
        let is_stricter = self.config.endpoint.auth != config.endpoint.auth || !made.behind.has_keys_of(&self.behind);
        drop(in_force);
        self.put_in_force(config, made, leavers);
        if is_stricter {
            // Who opened them may have a token that is good no more, or none; whoever may comes back.
            self.live.current().bridge.end_streams();
        }
        Ok(kept)
    }

    /// Before anything is in force: a store that does not take it leaves everything as it was.
    async fn prepare_store(&self, config: &Config, made: &Made) -> Result<Leavers, StoreError> {
        let (store, now) = (&self.ground.store, self.ground.surroundings.clock.now());
        let lifetime = |config: &Config| config.oauth_server.as_ref().map(|section| section.token_lifetime);
        if let Some(new) = lifetime(config).filter(|new| lifetime(&self.config) != Some(*new)) {
            store.expect_lifetime(new, now).await?;
        }
        let (before, present) = (self.behind.present(&self.config), made.behind.present(config));
        let Some(present) = present.filter(|present| before.as_ref() != Some(present)) else {
            return Ok(Leavers::default());
        };
        let mut changed = absent::look(&self.ground, (present.clone(), before.clone()), now).await?;
        // What was in force before gives a client that acts for itself nothing any more, as the store says (`add_grant`): all that
        // one has by the end of the last request of before is by what is in force now.
        changed.retain(|user| !user.is_client());
        Ok(Leavers { before, present: Some(present), changed })
    }

    fn put_in_force(&mut self, config: Config, made: Made, leavers: Leavers) {
        let before = self.live.replace(made.state);
        self.live.current().bridge.succeed(&before.bridge);
        if let Some((section, retention)) = config.oauth_server.as_ref().zip(self.retention.as_ref()) {
            retention.send_replace(Retention::of(section));
        }
        self.config = config;
        self.behind = made.behind;
        self.late.add(leavers, Arc::downgrade(&before), &self.ground);
    }
}

/// Whose grants end with a reload.
#[derive(Default)]
struct Leavers {
    /// Those of these
    before: Option<Present>,
    /// who are not, or not as before, among these; `None` when nobody left.
    present: Option<Present>,
    /// Who has another password, may do less, or is somebody else.
    changed: Vec<UserId>,
}

impl Leavers {
    async fn log_out(&self, audit: &Audit, store: &dyn Store, clock: &Clock) -> Result<(), StoreError> {
        for user in &self.changed {
            absent::revoke(store, audit, user, clock.now()).await?;
        }
        if let Some(present) = self.present.clone().filter(|_| self.before.is_some()) {
            absent::review(store, audit, (present, self.before.clone()), clock.now()).await?;
        }
        Ok(())
    }
}

/// What requests that came before a reload still granted to those who leave is found afterwards. Ends with whoever holds it.
#[derive(Default)]
pub(super) struct Late {
    tasks: JoinSet<()>,
    /// Who may hold grants by the configuration in force.
    present: watch::Sender<Option<Present>>,
}

impl Late {
    fn add(&mut self, mut leavers: Leavers, before: Weak<State>, ground: &Ground) {
        while self.tasks.try_join_next().is_some() {}
        if leavers.present.is_some() {
            self.present.send_replace(leavers.present.clone());
        }
        let present = self.present.subscribe();
        let (store, audit, clock) =
            (Arc::clone(&ground.store), ground.audit.clone(), ground.surroundings.clock.clone());
        self.tasks.spawn(async move {
            for patience in [SOON, AT_LAST] {
                let end = Instant::now() + patience;
                while before.strong_count() > 0 && Instant::now() < end {
                    tokio::time::sleep(INTERVAL).await;
                }
                // Another reload may have come since. Who is there is said by the last one; but the requests of before the
                // first are waited for here and nowhere else.
                leavers.present.clone_from(&present.borrow());
                while let Err(error) = leavers.log_out(&audit, store.as_ref(), &clock).await {
                    tracing::error!(%error, "who left the configuration could not be looked for once more; trying again");
                    tokio::time::sleep(INTERVAL * 10).await;
                }
                // They may have logged in again since.
                leavers.changed.clear();
            }
        });
    }
}
