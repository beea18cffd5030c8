//! Browsers in which somebody has logged in.

use async_trait::async_trait;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::model::browser_session::BrowserSession;
use crate::store::sqlite::Sqlite;
use crate::store::{BrowserSessions, StoreError};

#[async_trait]
impl BrowserSessions for Sqlite {
    async fn add_session(&self, _: BrowserSession) -> Result<(), StoreError> {
        Err(StoreError::Broken("skeleton".to_owned()))
    }

    async fn find_session(&self, _: &Digest, _: Timestamp) -> Result<Option<BrowserSession>, StoreError> {
        Ok(None)
    }

    async fn remove_session(&self, _: &Digest) -> Result<bool, StoreError> {
        Err(StoreError::Broken("skeleton".to_owned()))
    }
}
