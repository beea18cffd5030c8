//! Work that no request waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::authorization_server::{client_bounds, refresh_policy};
use crate::base::clock::Clock;
use crate::config::section::OauthServer;
use crate::identity::Identity;
use crate::model::grant::RefreshPolicy;
use crate::store::{ClientBounds, Store};

/// How often what has expired is removed.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    tokens: RefreshPolicy,
    clients: Option<ClientBounds>,
}

impl Retention {
    /// As this configuration wants it.
    pub fn of(section: &OauthServer) -> Self {
        Self { tokens: refresh_policy(section), clients: client_bounds(section) }
    }
}

/// Removes what has expired, until the process ends.
pub(super) async fn clean_up(store: Arc<dyn Store>, retention: watch::Receiver<Retention>, clock: Clock) {
    let mut interval = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        interval.tick().await;
        let Retention { tokens, clients } = *retention.borrow();
        let removed = async {
            store.remove_expired(tokens, clock.now()).await?;
            match clients {
                Some(bounds) => store.remove_expired_clients(bounds, clock.now()).await,
                None => Ok(()),
            }
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "could not remove what has expired; trying again later");
        }
    }
}

/// Learns of every identity provider what is needed to send people there.
pub(super) async fn warm_up(identity: Arc<Identity>, clock: Clock) {
    let warming = identity.providers().iter().map(|provider| async {
        if let Err(failure) = provider.warm_up(clock.now()).await {
            let provider = provider.name();
            tracing::warn!(%provider, %failure, "nobody can log in at this identity provider yet; it is asked again then");
        }
    });
    futures_util::future::join_all(warming).await;
}
