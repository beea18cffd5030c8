//! A write between two moments: it has run, and it is on disk.

use tokio::sync::oneshot;

use crate::store::StoreError;

/// What a write came to, while the disk is still waited for. Nobody learns it before it is there, but whoever waits knows that
/// it is time to prepare the answer: the disk takes as long as a signature.
#[must_use = "what is not on disk yet may be lost"]
#[derive(Debug)]
pub struct Underway<T> {
    outcome: T,
    committed: oneshot::Receiver<Result<(), StoreError>>,
}

impl<T> Underway<T> {
    pub(super) const fn new(outcome: T, committed: oneshot::Receiver<Result<(), StoreError>>) -> Self {
        Self { outcome, committed }
    }

    /// What it came to, when it is on disk.
    ///
    /// # Errors
    /// It could not be written, and nothing has changed.
    pub async fn on_disk(self) -> Result<T, StoreError> {
        let ended = |_| StoreError::Broken("the thread that serves the database has ended".to_owned());
        self.committed.await.map_err(ended)?.map(|()| self.outcome)
    }
}
