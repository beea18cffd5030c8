//! Reads sections: each section is one function that asks a [`Reader`] for its keys, and that is its whole definition.
//!
//! From the same questions come the values, every fault with its line, the canonical form for `config show`, and the
//! JSON schema for `config schema`. What was never asked for is an unknown key.

mod choice;
mod collection;
pub mod kind;
mod scalar;
mod secret;
mod shared;
mod unknown;

pub use shared::Shared;
pub use unknown::nearest;

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::lines::{element_path, key_path};

/// Reads one mapping. Keys are named `canonical` or `canonical|alias|…`; a value of `null` counts as absent.
#[derive(Debug)]
pub struct Reader<'a> {
    shared: &'a Shared,
    entries: &'a [(String, Node)],
    /// The path as written, for messages.
    path: String,
    /// The canonical path.
    place: String,
    names: Vec<&'static str>,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    shown: Vec<(String, Node)>,
    /// Whom the section is about, for messages.
    subject: Option<String>,
}

/// A value found outside of the section it belongs to.
pub struct Hoisted<'a> {
    path: String,
    node: &'a Node,
}

impl<'a> Reader<'a> {
    /// Reads the whole file.
    pub fn new(shared: &'a Shared, entries: &'a [(String, Node)]) -> Self {
        Self {
            shared,
            entries,
            path: String::new(),
            place: String::new(),
            names: Vec::new(),
            properties: Map::new(),
            required: Vec::new(),
            shown: Vec::new(),
            subject: None,
        }
    }

    /// The folder of the file.
    pub fn folder(&self) -> &'a Path {
        &self.shared.folder
    }

    /// Names in every later message of this section whom it is about: ``user `admin` ``.
    pub fn speak_of(&mut self, subject: String) {
        self.subject = Some(subject);
    }

    /// Whether the key is there with a value, be it right or wrong.
    pub fn is_set(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node)| key == name && *node != Node::Null)
    }

    /// Whether the key is there with nothing as its value, for the one key where that says something.
    pub fn is_null(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node)| key == name && *node == Node::Null)
    }

    /// Whether the key is there as a list or mapping with nothing in it.
    pub fn is_empty(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node)| key == name && node.is_empty())
    }

    /// [`Reader::is_set`] for a path of sections and a key.
    pub fn is_set_at(&self, path: &[&str]) -> bool {
        let mut entries = self.entries;
        for (index, name) in path.iter().enumerate() {
            match entries.iter().find(|(key, _)| key == name) {
                Some((_, Node::Mapping(inner))) => entries = inner,
                Some((_, node)) => return index + 1 == path.len() && *node != Node::Null,
                None => return false,
            }
        }
        true
    }

    /// Reports what is wrong with the value of a key; with the section itself when `key` is empty.
    pub fn fault(&self, key: &str, wrong: Wrong) {
        self.report(&self.path_of(key), wrong);
    }

    /// Leaves keys out of the canonical form, because they mean nothing beside the others.
    pub fn hide(&mut self, keys: &[&str]) {
        self.shown.retain(|(key, _)| !keys.contains(&key.as_str()));
    }

    /// Goes on as if `name` were the only key, and gives the others: for a key that makes a section another one.
    pub fn keep_only(&mut self, name: &str) -> Vec<&'a str> {
        let beside = self.entries.iter().filter(|(key, node)| key != name && *node != Node::Null);
        let beside = beside.map(|(key, _)| key.as_str()).collect();
        let kept = self.entries.iter().find(|(key, _)| key == name);
        self.entries = kept.map(std::slice::from_ref).unwrap_or_default();
        beside
    }

    /// Reports what is wrong with an element of a key that has named sections.
    pub fn fault_below(&self, key: &str, name: &str, wrong: Wrong) {
        self.report(&key_path(&self.path_of(key), name), wrong);
    }

    /// Reports what is legal but unwise.
    pub fn warn(&self, key: &str, wrong: Wrong) {
        let path = self.path_of(key);
        let line = self.shared.lines.find(&path);
        self.shared.warnings.borrow_mut().push(self.about(wrong).at(path, line));
    }

    /// A section: the keys under `names`, read by `read`. A missing section is an empty one.
    pub fn section<T>(&mut self, names: &'static str, doc: &str, read: impl FnOnce(&mut Reader<'a>) -> T) -> T {
        let found = self.take(names).map(|(path, node)| Hoisted { path, node });
        self.enter(names, found, doc, read)
    }

    /// A section that may stand elsewhere instead, but not as well.
    pub fn section_or<T>(
        &mut self,
        names: &'static str,
        elsewhere: Option<Hoisted<'a>>,
        doc: &str,
        read: impl FnOnce(&mut Reader<'a>) -> T,
    ) -> T {
        let here = self.take(names).map(|(path, node)| Hoisted { path, node });
        if let (Some(here), Some(elsewhere)) = (&here, &elsewhere) {
            let problem = format!("says the same as {}", here.path);
            self.report(&elsewhere.path, Wrong::new(problem, "keep one of the two"));
        }
        self.enter(names, here.or(elsewhere), doc, read)
    }

    /// A section that means something only when it is written.
    pub fn optional_section<T>(
        &mut self,
        names: &'static str,
        doc: &str,
        read: impl FnOnce(&mut Reader<'a>) -> T,
    ) -> Option<T> {
        let found = self.take(names).map(|(path, node)| Hoisted { path, node });
        if found.is_none() && !self.shared.describing {
            self.names.extend(names.split('|'));
            return None;
        }
        Some(self.enter(names, found, doc, read))
    }

    /// A key whose value belongs into a section read later: hand it to [`Reader::section_or`] there.
    pub fn hoist(&mut self, name: &'static str) -> Option<Hoisted<'a>> {
        self.names.push(name);
        self.take(name).map(|(path, node)| Hoisted { path, node })
    }

    /// Says of a hoisted key that it has the schema of `parent.name`, where it belongs.
    pub fn describe_hoisted(&mut self, name: &str, parent: &str) {
        let description = format!("Another place for `{parent}.{name}`.");
        let pointer = format!("#/properties/{parent}/properties/{name}");
        self.properties.insert(name.to_owned(), json!({"$ref": pointer, "description": description}));
    }

    /// Reports every key that was never asked for; gives the canonical form and the JSON schema.
    pub fn finish(self) -> (Node, Value) {
        for (key, _) in self.entries {
            if !self.names.contains(&key.as_str()) {
                self.report_unknown(key);
            }
        }
        let mut schema = json!({
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": Value::Object(self.properties),
        });
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        (Node::Mapping(self.shown), schema)
    }

    /// Reads a section from what was found, and takes over its canonical form and schema.
    fn enter<T>(
        &mut self,
        names: &'static str,
        found: Option<Hoisted<'a>>,
        doc: &str,
        read: impl FnOnce(&mut Reader<'a>) -> T,
    ) -> T {
        let canonical = canonical(names);
        let path = found.as_ref().map_or_else(|| key_path(&self.path, canonical), |found| found.path.clone());
        let mut child = self.child(path, key_path(&self.place, canonical), found.map(|found| found.node));
        let value = read(&mut child);
        let (shown, schema) = child.finish();
        self.declare(names, schema, None, doc);
        self.show(names, shown);
        value
    }

    /// A reader of what lies below.
    fn child(&self, path: String, place: String, node: Option<&'a Node>) -> Reader<'a> {
        let entries: &[(String, Node)] = match node {
            Some(Node::Mapping(entries)) => entries,
            None | Some(Node::Null | Node::Faulty) => &[],
            Some(other) => {
                self.report(&path, kind::expected(other, "a section", "write `key: value` lines below it"));
                &[]
            }
        };
        Reader { path, place, ..Reader::new(self.shared, entries) }
    }

    /// The value written under one of the names, with its path. Two names at once are a fault.
    fn take(&self, names: &'static str) -> Option<(String, &'a Node)> {
        let mut found: Option<(&'a String, &'a Node)> = None;
        for name in names.split('|') {
            for (key, node) in self.entries.iter().filter(|(key, node)| key == name && *node != Node::Null) {
                match found {
                    None => found = Some((key, node)),
                    Some((first, _)) => {
                        let wrong = Wrong::new(format!("is another name of {first}"), "keep one of the two");
                        self.report(&key_path(&self.path, key), wrong);
                    }
                }
            }
        }
        found.map(|(key, node)| (key_path(&self.path, key), node))
    }

    /// Takes note that a key exists, with its schema.
    fn declare(&mut self, names: &'static str, schema: Value, default: Option<&Node>, doc: &str) {
        let canonical = canonical(names);
        self.names.extend(names.split('|'));
        self.shared.places.borrow_mut().push(key_path(&self.place, canonical));
        if !self.shared.describing {
            return;
        }
        let mut schema = schema;
        schema["description"] = Value::String(doc.to_owned());
        if let Some(default) = default {
            schema["default"] = json!(default);
        }
        for alias in names.split('|').skip(1) {
            let mut same = self.pointer(canonical).map_or_else(|| schema.clone(), |pointer| json!({"$ref": pointer}));
            same["description"] = Value::String(format!("Another name of `{canonical}`."));
            self.properties.insert(alias.to_owned(), same);
        }
        self.properties.insert(canonical.to_owned(), schema);
    }

    /// Where the schema of a key stands (RFC 6901). `None` below elements, whose schemas stand in several places.
    fn pointer(&self, key: &str) -> Option<String> {
        let place = key_path(&self.place, key);
        (!place.contains('*')).then(|| format!("#/properties/{}", place.replace('.', "/properties/")))
    }

    /// Reports a fault at an absolute path.
    fn report(&self, path: &str, wrong: Wrong) {
        self.shared.fault(path, self.about(wrong));
    }

    fn about(&self, wrong: Wrong) -> Wrong {
        match &self.subject {
            Some(subject) => Wrong { problem: format!("({subject}) {}", wrong.problem), fix: wrong.fix },
            None => wrong,
        }
    }

    fn show(&mut self, names: &'static str, value: Node) {
        self.shown.push((canonical(names).to_owned(), value));
    }

    /// The path of a key as it is written here, be it by an alias or not at all.
    fn path_of(&self, key: &str) -> String {
        if key.is_empty() {
            return self.path.clone();
        }
        let written = key.split('|').find(|name| self.is_set(name)).unwrap_or_else(|| canonical_of(key));
        key_path(&self.path, written)
    }

    fn element(&self, path: &str, index: usize) -> String {
        element_path(path, index)
    }
}

fn canonical(names: &'static str) -> &'static str {
    canonical_of(names)
}

fn canonical_of(names: &str) -> &str {
    names.split('|').next().unwrap_or(names)
}
