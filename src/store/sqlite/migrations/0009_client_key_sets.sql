-- Public keys that clients keep at an address (jwks_uri), as they last were found there.

CREATE TABLE client_key_sets (
    url        TEXT PRIMARY KEY,
    keys       BLOB NOT NULL,
    client_id  TEXT NOT NULL,       -- who came with one of them last
    fetched_at INTEGER NOT NULL
) STRICT;
