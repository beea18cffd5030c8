-- Clients that the operator added at the command line: unlike those that registered themselves they never make room.

ALTER TABLE clients ADD COLUMN by_operator INTEGER NOT NULL DEFAULT 0;
