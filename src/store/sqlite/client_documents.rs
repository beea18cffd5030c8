//! The documents of clients that are named by an address.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};

use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::store::sqlite::Sqlite;
use crate::store::{ClientDocuments, StoreError};

/// How many documents are kept.
const MOST: u32 = 1000;

#[async_trait]
impl ClientDocuments for Sqlite {
    async fn find_document(&self, client: &ClientId) -> Result<Option<Vec<u8>>, StoreError> {
        let client = client.clone();
        self.read(move |connection| {
            let sql = "SELECT document FROM client_documents WHERE client_id = ?1";
            connection.prepare_cached(sql)?.query_row([&client], |row| row.get(0)).optional()
        })
        .await
    }

    async fn record_document(&self, client: &ClientId, document: &[u8], now: Timestamp) -> Result<(), StoreError> {
        let (client, document) = (client.clone(), document.to_vec());
        self.write(move |writing| {
            writing.change(
                "INSERT INTO client_documents (client_id, document, fetched_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (client_id) DO UPDATE SET document = excluded.document, fetched_at = excluded.fetched_at",
                params![client, document, now],
            )?;
            writing.change(
                "DELETE FROM client_documents WHERE client_id IN
                   (SELECT client_id FROM client_documents AS kept
                    ORDER BY EXISTS (SELECT 1 FROM grants WHERE client_id = kept.client_id AND revoked_at IS NULL), fetched_at
                    LIMIT max((SELECT count(*) FROM client_documents) - ?1, 0))",
                [MOST],
            )?;
            Ok(())
        })
        .await
    }

    async fn remove_document(&self, client: &ClientId) -> Result<(), StoreError> {
        // Most often there is none, and a stranger may ask again and again: then nothing is written.
        if self.find_document(client).await?.is_none() {
            return Ok(());
        }
        let client = client.clone();
        self.write(move |writing| {
            writing.change("DELETE FROM client_documents WHERE client_id = ?1", [&client]).map(drop)
        })
        .await
    }
}
