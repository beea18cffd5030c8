//! What clients keep elsewhere: the documents of those that are named by an address, and key sets.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};
use url::Url;

use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::writer::Writing;
use crate::store::sqlite::{clients, grants};
use crate::store::{ClientDocuments, DocumentChange, KeptDocument, StoreError};

/// How many documents are kept.
const MOST: u32 = 1000;
/// How many key sets are kept; one may be 64 KiB.
const MOST_KEY_SETS: u32 = 200;

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

    async fn find_key_set(&self, url: &Url) -> Result<Option<Vec<u8>>, StoreError> {
        let url = url.to_string();
        self.read(move |connection| {
            let sql = "SELECT keys FROM client_key_sets WHERE url = ?1";
            connection.prepare_cached(sql)?.query_row([url], |row| row.get(0)).optional()
        })
        .await
    }

    async fn record_key_set(
        &self,
        url: &Url,
        keys: &[u8],
        client: &ClientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (url, keys, client) = (url.to_string(), keys.to_vec(), client.clone());
        self.write(move |writing| {
            writing.change(
                "INSERT INTO client_key_sets (url, keys, client_id, fetched_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (url) DO UPDATE
                 SET keys = excluded.keys, client_id = excluded.client_id, fetched_at = excluded.fetched_at",
                params![url, keys, client, now],
            )?;
            make_room_for_keys(writing)
        })
        .await
    }
}

/// Of clients without a grant first: anybody can name keys, and come with one of them.
fn make_room_for_keys(writing: &Writing<'_>) -> rusqlite::Result<()> {
    let sql = "DELETE FROM client_key_sets WHERE url IN
                 (SELECT url FROM client_key_sets AS kept
                  ORDER BY EXISTS (SELECT 1 FROM grants WHERE client_id = kept.client_id AND revoked_at IS NULL), fetched_at
                  LIMIT max((SELECT count(*) FROM client_key_sets) - ?1, 0))";
    writing.change(sql, [MOST_KEY_SETS]).map(drop)
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
