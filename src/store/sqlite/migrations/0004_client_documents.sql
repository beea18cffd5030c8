-- Clients that are named by the address of their metadata: the document, as it last let the client in.

CREATE TABLE client_documents (
    client_id  TEXT PRIMARY KEY,
    document   BLOB NOT NULL,
    fetched_at INTEGER NOT NULL
) STRICT;
CREATE INDEX client_documents_age ON client_documents (fetched_at);
