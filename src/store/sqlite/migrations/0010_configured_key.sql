-- Of the secret that went into a credential, which cannot be compared with one that another went into; NULL: none, or not noted yet.
ALTER TABLE configured ADD COLUMN key BLOB CHECK (key IS NULL OR length(key) = 32);
