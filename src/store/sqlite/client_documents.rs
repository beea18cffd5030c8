//! The documents of clients that are named by an address.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::writer::Writing;
use crate::store::sqlite::{clients, grants};
use crate::store::{ClientDocuments, DocumentChange, KeptDocument, StoreError};

/// How many documents are kept.
const MOST: u32 = 1000;

#[async_trait]
impl ClientDocuments for Sqlite {
    async fn find_document(&self, client: &ClientId) -> Result<Option<KeptDocument>, StoreError> {
        let client = client.clone();
        self.read(move |connection| {
            let sql = "SELECT document, refused_at IS NOT NULL FROM client_documents WHERE client_id = ?1";
            let read = |row: &Row<'_>| Ok(KeptDocument { body: row.get(0)?, is_refused: row.get(1)? });
            connection.prepare_cached(sql)?.query_row([&client], read).optional()
        })
        .await
    }

    async fn record_document(
        &self,
        client: &ClientId,
        document: &[u8],
        change: DocumentChange,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let (client, document) = (client.clone(), document.to_vec());
        self.write_at(now, move |writing| {
            if change != DocumentChange::None {
                clients::end_pending(writing, &client)?;
            }
            let ended = match change {
                DocumentChange::Authentication => grants::revoke_of_client(writing, &client, now)?,
                DocumentChange::None | DocumentChange::Destinations => 0,
            };
            writing.change(
                "INSERT INTO client_documents (client_id, document, fetched_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (client_id) DO UPDATE
                 SET document = excluded.document, fetched_at = excluded.fetched_at, refused_at = NULL",
                params![client, document, now],
            )?;
            make_room(writing)?;
            Ok(ended)
        })
        .await
    }

    async fn refuse_document(&self, client: &ClientId, now: Timestamp) -> Result<(), StoreError> {
        // Most often there is none, and a stranger may ask again and again: then nothing is written.
        if self.find_document(client).await?.is_none_or(|kept| kept.is_refused) {
            return Ok(());
        }
        let client = client.clone();
        let sql = "UPDATE client_documents SET refused_at = ?2 WHERE client_id = ?1";
        self.write(move |writing| writing.change(sql, params![client, now]).map(drop)).await
    }
}

/// With a document goes the memory of what it said, so that no change of it would be noticed: consents go too.
fn make_room(writing: &Writing<'_>) -> rusqlite::Result<()> {
    let sql = "DELETE FROM client_documents WHERE client_id IN
                 (SELECT client_id FROM client_documents AS kept
                  ORDER BY EXISTS (SELECT 1 FROM grants WHERE client_id = kept.client_id AND revoked_at IS NULL), fetched_at
                  LIMIT max((SELECT count(*) FROM client_documents) - ?1, 0))
               RETURNING client_id";
    let gone: Vec<ClientId> =
        writing.prepare_cached(sql)?.query_map([MOST], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    gone.iter().try_for_each(|client| clients::end_pending(writing, client))
}
