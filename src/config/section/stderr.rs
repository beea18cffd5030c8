//! `stderr` of a child process: where what it says of itself goes.

use std::fmt;
use std::path::PathBuf;

use serde_json::json;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{Kind, expected, text};

/// Where a child's standard error goes. It is read all the while, wherever that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stderr {
    /// `log`: into the log, line by line.
    #[default]
    Log,
    /// `null`: nowhere.
    Null,
    /// `inherit`: to the bridge's own standard error.
    Inherit,
    /// `file`, made with mode 0600 and appended to. Absolute here.
    File(PathBuf),
}

impl Stderr {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "Where its standard error goes: log, null, inherit (the bridge's own), or {file: path} (made with mode 0600).";
        // Everywhere else `null` is the same as no key. Here it is a word, and people write it without quotes.
        let default = if reader.is_null("stderr") { "null" } else { "log" };
        let written = reader.value("stderr", &STDERR, default, doc);
        let Self::File(path) = written else { return written };
        let path = reader.folder().join(path);
        let folder = path.parent().unwrap_or(&path);
        if path.is_dir() {
            reader.fault("stderr", Wrong::new(format!("{} is a folder", path.display()), "name a file in it"));
        } else if !folder.is_dir() {
            let wrong = Wrong::new(format!("{} is no folder", folder.display()), "make it, or name a file elsewhere");
            reader.fault("stderr", wrong);
        }
        Self::File(path)
    }
}

impl fmt::Display for Stderr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Null => f.write_str("null"),
            Self::Inherit => f.write_str("inherit"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

const FIX: &str = "write log, null, inherit, or {file: path}";

const STDERR: Kind<Stderr> = Kind {
    schema: || {
        let file = json!({"type": "object", "additionalProperties": false, "required": ["file"],
            "properties": {"file": {"type": "string", "minLength": 1, "description": "Appended to, made with mode 0600."}}});
        json!({"anyOf": [{"enum": ["log", "null", null, "inherit"]}, file, {"$ref": "#/$defs/variable"}]})
    },
    parse: |node| match node {
        Node::Mapping(entries) => match entries.as_slice() {
            [(key, path)] if key == "file" => match text(path)?.trim() {
                "" => Err(Wrong::new("has an empty file", "name one")),
                path => Ok(Stderr::File(PathBuf::from(path))),
            },
            _ => Err(Wrong::new("has other keys than file", FIX)),
        },
        node => match text(node).as_deref() {
            Ok("log") => Ok(Stderr::Log),
            Ok("null") => Ok(Stderr::Null),
            Ok("inherit") => Ok(Stderr::Inherit),
            _ => Err(expected(node, "log, null, inherit or {file: path}", FIX)),
        },
    },
    print: |stderr| match stderr {
        Stderr::File(path) => Node::Mapping(vec![("file".to_owned(), Node::String(path.display().to_string()))]),
        word => Node::String(word.to_string()),
    },
};
