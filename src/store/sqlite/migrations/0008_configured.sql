-- Who is in the configuration, as grants were last made by it: a start finds what has changed since the process before ended.

CREATE TABLE configured (
    id         TEXT PRIMARY KEY,                -- of a user, or of a client that acts for itself
    credential BLOB NOT NULL CHECK (length(credential) = 32),
    scopes     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- When a client last came with a token of it; NULL: not since this was noted.
ALTER TABLE grants ADD COLUMN called_at INTEGER;
