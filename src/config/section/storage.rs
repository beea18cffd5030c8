//! `storage`: where clients, grants, consents and users are kept.

use std::path::PathBuf;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;

/// `storage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// `type: sqlite`: one file, absolute here, made with mode 0600.
    Sqlite {
        /// `path`.
        path: PathBuf,
    },
    /// `type: memory`: lost at exit.
    Memory,
}

impl Storage {
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Self {
        let sqlite = reader.choice(
            "type",
            &[("sqlite", true), ("memory", false)],
            true,
            "sqlite keeps everything in one file; memory forgets it at exit.",
        );
        let written = reader.is_set("path");
        let path = reader.path("path", "data/mcp-bridge.db", "The file of type sqlite (made with mode 0600).");
        if sqlite {
            return Self::Sqlite { path };
        }
        if written {
            reader.fault("path", Wrong::new("means nothing to type memory", "remove it, or write type: sqlite"));
        }
        reader.hide(&["path"]);
        Self::Memory
    }
}
