//! People known from identity providers.

use async_trait::async_trait;

use crate::base::id::UserId;
use crate::model::account::Account;
use crate::store::sqlite::Sqlite;
use crate::store::{Accounts, StoreError};

#[async_trait]
impl Accounts for Sqlite {
    async fn find_account(&self, _: &UserId) -> Result<Option<Account>, StoreError> {
        Err(StoreError::Broken("skeleton".to_owned()))
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, StoreError> {
        Err(StoreError::Broken("skeleton".to_owned()))
    }

    async fn record_account(&self, _: Account) -> Result<bool, StoreError> {
        Err(StoreError::Broken("skeleton".to_owned()))
    }
}
