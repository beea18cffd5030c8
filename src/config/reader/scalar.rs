//! Keys with a single value.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind};

impl Reader<'_> {
    /// `true` or `false`.
    pub fn boolean(&mut self, names: &'static str, default: bool, doc: &str) -> bool {
        self.value(names, &kind::BOOLEAN, default, doc)
    }

    /// A duration longer than zero.
    pub fn duration(&mut self, names: &'static str, default: &str, doc: &str) -> Duration {
        self.value(names, &kind::POSITIVE_DURATION, default, doc)
    }

    /// A number of bytes.
    pub fn size(&mut self, names: &'static str, default: &str, doc: &str) -> usize {
        self.value(names, &kind::SIZE, default, doc)
    }

    /// A whole number from 0.
    pub fn count(&mut self, names: &'static str, default: u32, doc: &str) -> u32 {
        self.value(names, &kind::COUNT, default, doc)
    }

    /// Text with something in it.
    pub fn text(&mut self, names: &'static str, default: &str, doc: &str) -> String {
        self.value(names, &kind::NONEMPTY, default, doc)
    }

    /// Text that may be left out.
    pub fn optional_text(&mut self, names: &'static str, doc: &str) -> Option<String> {
        self.optional(names, &kind::NONEMPTY, doc)
    }

    /// A path that may be left out, made absolute against the folder of the file.
    pub fn optional_path(&mut self, names: &'static str, doc: &str) -> Option<PathBuf> {
        let path = self.optional(names, &kind::NONEMPTY, doc)?;
        Some(self.shared.folder.join(path))
    }

    /// A path, made absolute against the folder of the file.
    pub fn path(&mut self, names: &'static str, default: &str, doc: &str) -> PathBuf {
        let path = self.value(names, &kind::NONEMPTY, default, doc);
        self.shared.folder.join(path)
    }

    /// A value of some kind, with a default.
    pub fn value<T>(&mut self, names: &'static str, kind: &Kind<T>, default: impl Into<Node>, doc: &str) -> T {
        let default = default.into();
        self.declare(names, (kind.schema)(), Some(&default), doc);
        let value = self.read(names, kind);
        let value = value.unwrap_or_else(|| (kind.parse)(&default).expect("a default is a legal value of its kind"));
        self.show(names, (kind.print)(&value));
        value
    }

    /// A value of some kind that may be left out.
    pub fn optional<T>(&mut self, names: &'static str, kind: &Kind<T>, doc: &str) -> Option<T> {
        self.declare(names, nullable((kind.schema)()), Some(&Node::Null), doc);
        let value = self.read(names, kind);
        self.show(names, value.as_ref().map_or(Node::Null, kind.print));
        value
    }

    /// A value of some kind that must be there. `None` when it is not, which is a fault by then.
    pub fn required<T>(&mut self, names: &'static str, kind: &Kind<T>, example: &str, doc: &str) -> Option<T> {
        self.declare(names, (kind.schema)(), None, doc);
        self.required.push(names);
        if self.take(names).is_none() {
            self.fault(names, Wrong::new("is missing", format!("write `{names}: {example}`")));
        }
        let value = self.read(names, kind)?;
        self.show(names, (kind.print)(&value));
        Some(value)
    }

    fn read<T>(&mut self, names: &'static str, kind: &Kind<T>) -> Option<T> {
        let (path, node) = self.take(names)?;
        self.parse_node(&path, node, kind)
    }

    /// The value of a node; `None` when it is wrong, which is a fault by then.
    pub(super) fn parse_node<T>(&self, path: &str, node: &Node, kind: &Kind<T>) -> Option<T> {
        if *node == Node::Faulty {
            return None;
        }
        (kind.parse)(node).map_err(|wrong| self.report(path, wrong)).ok()
    }
}

/// The schema that also takes `null`.
fn nullable(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}
