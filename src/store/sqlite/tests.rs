//! What only SQLite has to show.
