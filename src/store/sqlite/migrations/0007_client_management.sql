-- Registered clients that manage their registration (RFC 7592), sign with keys, or register the same again and again.

ALTER TABLE clients ADD COLUMN keys TEXT;                                               -- JSON; secret is then one that nobody has
ALTER TABLE clients ADD COLUMN management BLOB CHECK (length(management) = 32);         -- of the registration access token
ALTER TABLE clients ADD COLUMN fingerprint BLOB CHECK (length(fingerprint) = 32);       -- of the metadata and who sent them
CREATE INDEX clients_fingerprint ON clients (fingerprint) WHERE fingerprint IS NOT NULL AND last_granted_at IS NULL;

-- Documents that let nobody in any more are kept to be compared with the next.
ALTER TABLE client_documents ADD COLUMN refused_at INTEGER;
