-- Federated login: people of identity providers, and the browsers in which somebody has logged in.

CREATE TABLE accounts (
    user_id       TEXT PRIMARY KEY,             -- issuer and subject; shares no value with users.id
    issuer        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    profile       TEXT NOT NULL,                -- JSON
    refresh_token TEXT,                         -- the provider's, sealed with a key that is not here
    disabled      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    confirmed_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE browser_sessions (
    digest     BLOB PRIMARY KEY CHECK (length(digest) = 32),
    user_id    TEXT NOT NULL,                   -- of users, accounts or the configuration
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX browser_sessions_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_expiry ON browser_sessions (expires_at);
