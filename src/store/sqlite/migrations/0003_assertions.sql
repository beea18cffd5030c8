-- Client authentication by signed assertions: each is good once (RFC 7523 §3, 7).

CREATE TABLE spent_assertions (
    client_id  TEXT NOT NULL,
    digest     BLOB NOT NULL CHECK (length(digest) = 32),  -- of its jti
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_assertions_expiry ON spent_assertions (expires_at);
