-- What people see of themselves: when an app was last at work, and in which browsers they are logged in.
-- Processes of earlier versions go on beside: they leave these columns as they are.

ALTER TABLE grants ADD COLUMN last_used_at INTEGER;                -- NULL: not since it was made; late by a minute at most
ALTER TABLE browser_sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';   -- in words, such as Firefox on Linux
ALTER TABLE browser_sessions ADD COLUMN used_at INTEGER;           -- NULL: not since it was made
