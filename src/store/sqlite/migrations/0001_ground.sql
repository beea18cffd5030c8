-- The ground: clients, flows, codes, grants, refresh tokens, revocations, consents, users.
-- Times are seconds since 1970. Codes, tokens, secrets and cookies are SHA-256 digests of 32 bytes; nothing here can be presented.

CREATE TABLE clients (
    id              TEXT PRIMARY KEY,
    name            TEXT,
    redirect_uris   TEXT NOT NULL,              -- JSON array
    secret          BLOB CHECK (length(secret) = 32),
    may_refresh     INTEGER NOT NULL,
    metadata        TEXT NOT NULL,              -- JSON object
    registered_at   INTEGER NOT NULL,
    last_granted_at INTEGER                     -- NULL: never used, may be evicted
) STRICT;
CREATE INDEX clients_unused ON clients (registered_at) WHERE last_granted_at IS NULL;
CREATE INDEX clients_used ON clients (last_granted_at) WHERE last_granted_at IS NOT NULL;

CREATE TABLE flows (
    id         TEXT PRIMARY KEY,
    browser    BLOB NOT NULL CHECK (length(browser) = 32),
    client_id  TEXT NOT NULL,
    user_id    TEXT,                            -- who has logged in, repeated from the stage
    request    TEXT NOT NULL,                   -- JSON
    stage      TEXT NOT NULL,                   -- JSON
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX flows_client ON flows (client_id);
CREATE INDEX flows_user ON flows (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX flows_expiry ON flows (expires_at);

CREATE TABLE grants (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    resource   TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_creation ON grants (created_at);
CREATE INDEX grants_revocation ON grants (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE codes (
    digest            BLOB PRIMARY KEY CHECK (length(digest) = 32),
    grant_id          TEXT NOT NULL,            -- the grant that redemption makes
    redeemed_grant_id TEXT REFERENCES grants (id) ON DELETE CASCADE, -- the grant it made; a redeemed code is kept as long as that
    client_id         TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    redirect_uri      TEXT NOT NULL,
    code_challenge    TEXT NOT NULL,
    resource          TEXT NOT NULL,
    scopes            TEXT NOT NULL,
    issued_at         INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_client ON codes (client_id);
CREATE INDEX codes_user ON codes (user_id);
CREATE INDEX codes_redeemed ON codes (redeemed_grant_id) WHERE redeemed_grant_id IS NOT NULL;
CREATE INDEX codes_unredeemed ON codes (expires_at) WHERE redeemed_grant_id IS NULL;

CREATE TABLE refresh_tokens (
    digest     BLOB PRIMARY KEY CHECK (length(digest) = 32),
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,                -- never later than the successor's
    rotated_at INTEGER,
    successor  BLOB CHECK (length(successor) = 32),
    CHECK ((rotated_at IS NULL) = (successor IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE revoked_access_tokens (
    jti        TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_access_tokens_expiry ON revoked_access_tokens (expires_at);

-- A token lives as long as was configured when it was issued, so what was configured before still counts for a while.
CREATE TABLE access_token_lifetimes (
    seconds    INTEGER PRIMARY KEY,
    used_until INTEGER                          -- NULL: in use
) STRICT;

CREATE TABLE consents (
    user_id      TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    resource     TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    granted_at   INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id, redirect_uri, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX consents_client ON consents (client_id);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    email         TEXT,
    disabled      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
