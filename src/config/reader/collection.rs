//! Keys with many values: lists, mappings of free names, lists of sections, named sections.

use serde_json::{Value, json};

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::lines::key_path;
use crate::config::reader::kind::{self, Kind};
use crate::config::reader::{Reader, canonical};

impl<'a> Reader<'a> {
    /// A list of values of one kind.
    pub fn list<T>(&mut self, names: &'static str, kind: &Kind<T>, default: &[&str], doc: &str) -> Vec<T> {
        let default = Node::Sequence(default.iter().map(|text| Node::from(*text)).collect());
        self.declare(names, list_schema(kind), Some(&default), doc);
        let (path, node) = self.take(names).unwrap_or_else(|| (String::new(), &Node::Null));
        let values = match node {
            Node::Null => self.elements("", &default, kind),
            node => self.elements(&path, node, kind),
        };
        self.show(names, Node::Sequence(values.iter().map(kind.print).collect()));
        values
    }

    /// A list of values of one kind that may be left out, which is not the same as empty.
    pub fn optional_list<T>(&mut self, names: &'static str, kind: &Kind<T>, doc: &str) -> Option<Vec<T>> {
        let schema = json!({"anyOf": [list_schema(kind), {"type": "null"}]});
        self.declare(names, schema, Some(&Node::Null), doc);
        let values = self.take(names).map(|(path, node)| self.elements(&path, node, kind));
        let shown = values.as_ref().map(|values| Node::Sequence(values.iter().map(kind.print).collect()));
        self.show(names, shown.unwrap_or(Node::Null));
        values
    }

    /// A mapping of free names to values of one kind, in the order of the file.
    pub fn map<T>(&mut self, names: &'static str, kind: &Kind<T>, doc: &str) -> Vec<(String, T)> {
        let schema = json!({"type": ["object", "null"], "additionalProperties": (kind.schema)()});
        self.declare(names, schema, None, doc);
        let mut values = Vec::new();
        if let Some((path, node)) = self.take(names) {
            for (name, node) in self.entries_of(&path, node) {
                if let Some(value) = self.parse_node(&key_path(&path, name), node, kind) {
                    values.push((name.clone(), value));
                }
            }
        }
        let shown = values.iter().map(|(name, value)| (name.clone(), (kind.print)(value))).collect();
        self.show(names, Node::Mapping(shown));
        values
    }

    /// Values of one kind, as a list, or as a mapping from each to words about it.
    pub fn described(
        &mut self,
        names: &'static str,
        kind: &Kind<String>,
        default: &[&str],
        doc: &str,
    ) -> Vec<(String, Option<String>)> {
        let words = json!({"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}});
        let schema = json!({"anyOf": [list_schema(kind), words]});
        let default_node = Node::Sequence(default.iter().map(|text| Node::from(*text)).collect());
        self.declare(names, schema, Some(&default_node), doc);
        let values: Vec<(String, Option<String>)> = match self.take(names) {
            None => default.iter().map(|text| ((*text).to_owned(), None)).collect(),
            Some((path, Node::Mapping(entries))) => {
                entries.iter().filter_map(|(name, words)| self.described_entry(&path, name, words, kind)).collect()
            }
            Some((path, node)) => self.elements(&path, node, kind).into_iter().map(|value| (value, None)).collect(),
        };
        let words = |words: &Option<String>| words.as_deref().map_or(Node::Null, Node::from);
        self.show(names, Node::Mapping(values.iter().map(|(value, text)| (value.clone(), words(text))).collect()));
        values
    }

    fn described_entry(
        &self,
        path: &str,
        name: &str,
        words: &Node,
        kind: &Kind<String>,
    ) -> Option<(String, Option<String>)> {
        let path = key_path(path, name);
        let name = self.parse_node(&path, &Node::from(name), kind)?;
        let words = match words {
            Node::Null => None,
            words => self.parse_node(&path, words, &kind::NONEMPTY),
        };
        Some((name, words))
    }

    /// A list of sections.
    pub fn sections<T>(&mut self, names: &'static str, doc: &str, read: impl Fn(&mut Reader<'a>) -> T) -> Vec<T> {
        let mut values = Vec::new();
        let mut shown = Vec::new();
        let mut item_schema = Value::Null;
        for (path, node) in self.elements_to_read(names) {
            let mut child = self.child(path, self.place_of_elements(names), node);
            values.push(read(&mut child));
            let (node, schema) = child.finish();
            shown.push(node);
            item_schema = schema;
        }
        self.declare(names, json!({"type": ["array", "null"], "items": item_schema}), None, doc);
        self.show(names, Node::Sequence(shown));
        values
    }

    /// Sections with names of the operator's choice: a mapping from name to section, or a list of sections with `name`.
    pub fn named_sections<T>(
        &mut self,
        names: &'static str,
        doc: &str,
        read: impl Fn(&str, &mut Reader<'a>) -> T,
    ) -> Vec<(String, T)> {
        let mut values: Vec<(String, T)> = Vec::new();
        let mut shown = Vec::new();
        let mut schema = Value::Null;
        for (index, (path, name, node)) in self.named_to_read(names).into_iter().enumerate() {
            let mut child = self.child(path, self.place_of_elements(names), node);
            let name = name.or_else(|| child.list_name()).unwrap_or_else(|| format!("unnamed_{index}"));
            if values.iter().any(|(taken, _)| *taken == name) {
                child.fault("", Wrong::new(format!("another one is named `{name}` already"), "give it another name"));
            }
            let value = read(&name, &mut child);
            let (node, item_schema) = child.finish();
            schema = item_schema;
            shown.push((name.clone(), node));
            values.push((name, value));
        }
        self.declare(names, named_schema(schema), None, doc);
        self.show(names, Node::Mapping(shown));
        values
    }

    /// The elements of a node that has to be a list.
    fn elements<T>(&self, path: &str, node: &Node, kind: &Kind<T>) -> Vec<T> {
        match node {
            Node::Sequence(elements) => {
                let numbered = elements.iter().enumerate();
                numbered.filter_map(|(index, node)| self.parse_node(&self.element(path, index), node, kind)).collect()
            }
            Node::Faulty => Vec::new(),
            other => {
                self.report(path, kind::expected(other, "a list", "write `[one, two]`, or `- one` lines"));
                Vec::new()
            }
        }
    }

    /// The entries of a node that has to be a mapping.
    fn entries_of(&self, path: &str, node: &'a Node) -> &'a [(String, Node)] {
        match node {
            Node::Mapping(entries) => entries,
            Node::Faulty => &[],
            other => {
                self.report(path, kind::expected(other, "a mapping", "write `name: value` lines below it"));
                &[]
            }
        }
    }

    /// Path and node of each section of a list; one without a node when the keys are only asked for.
    fn elements_to_read(&self, names: &'static str) -> Vec<(String, Option<&'a Node>)> {
        match self.take(names) {
            None if self.shared.describing => vec![(String::new(), None)],
            None | Some((_, Node::Faulty)) => Vec::new(),
            Some((path, Node::Sequence(elements))) => {
                elements.iter().enumerate().map(|(index, node)| (self.element(&path, index), Some(node))).collect()
            }
            Some((path, other)) => {
                let fix = "write `- key: value` lines below it";
                self.report(&path, kind::expected(other, "a list of sections", fix));
                Vec::new()
            }
        }
    }

    /// The same with the names of a mapping.
    fn named_to_read(&self, names: &'static str) -> Vec<(String, Option<String>, Option<&'a Node>)> {
        match self.take(names) {
            Some((path, Node::Mapping(entries))) => {
                entries.iter().map(|(name, node)| (key_path(&path, name), Some(name.clone()), Some(node))).collect()
            }
            Some((path, other)) if !matches!(other, Node::Sequence(_) | Node::Faulty) => {
                let fix = "write `name:` lines below it, each with its keys";
                self.report(&path, kind::expected(other, "a mapping of names to sections", fix));
                Vec::new()
            }
            _ => self.elements_to_read(names).into_iter().map(|(path, node)| (path, None, node)).collect(),
        }
    }

    /// The name of a section that stands in a list.
    fn list_name(&mut self) -> Option<String> {
        if self.shared.describing {
            return None;
        }
        self.names.push("name");
        match self.take("name") {
            Some((path, node)) => self.parse_node(&path, node, &kind::NONEMPTY),
            None => {
                self.fault("name", Wrong::new("is missing", "give each element of the list a `name`"));
                None
            }
        }
    }

    fn place_of_elements(&self, names: &'static str) -> String {
        key_path(&key_path(&self.place, canonical(names)), "*")
    }
}

fn list_schema<T>(kind: &Kind<T>) -> Value {
    json!({"type": "array", "items": (kind.schema)()})
}

/// A mapping of `section`s, or a list of them in which each has a `name` too.
fn named_schema(section: Value) -> Value {
    let mut element = section.clone();
    element["properties"]["name"] = json!({"type": "string", "description": "The name, in a list."});
    element["required"] = json!(["name"]);
    json!({"anyOf": [
        {"type": ["object", "null"], "additionalProperties": section},
        {"type": "array", "items": element},
    ]})
}
