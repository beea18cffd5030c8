//! The file as a tree of plain values, and the line on which each of them stands.

use std::collections::BTreeMap;
use std::fmt;

use saphyr_parser::{Event, Parser, Tag};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::config::fault::{Fault, Wrong};

/// A value of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, or nothing at all: the same as if the key were not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a point; no key takes one, so it is kept only to say so.
    Float(f64),
    /// Text.
    String(String),
    /// Text made by expanding environment variables: read as whatever its key asks for.
    Expanded(String),
    /// A value whose fault is reported already.
    Faulty,
    /// `[…]`.
    Sequence(Vec<Node>),
    /// `{…}`, in the order of the file.
    Mapping(Vec<(String, Node)>),
}

impl Node {
    /// Whether it is a list or mapping with nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Sequence(elements) => elements.is_empty(),
            Self::Mapping(entries) => entries.is_empty(),
            _ => false,
        }
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Node {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<&str> for Node {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

/// A parsed file.
#[derive(Debug)]
pub struct Document {
    /// Its topmost mapping.
    pub entries: Vec<(String, Node)>,
    /// Where everything stands.
    pub lines: Lines,
}

impl Document {
    /// Parses YAML 1.2 with or without a byte-order mark.
    ///
    /// # Errors
    /// Syntax that is no YAML, a key written twice, more than one document, or something other than keys at the top.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (lines, faults) = Lines::of(text).map_err(|fault| vec![fault])?;
        if !faults.is_empty() {
            return Err(faults);
        }
        match serde_yaml::from_str::<Option<Node>>(text) {
            Ok(None | Some(Node::Null)) => Ok(Self { entries: Vec::new(), lines }),
            Ok(Some(Node::Mapping(entries))) => Ok(Self { entries, lines }),
            Ok(Some(_)) => Err(vec![Wrong::new("holds no keys", "write `key: value` lines").at("", Some(1))]),
            Err(error) => {
                let line = error.location().map(|place| place.line());
                Err(vec![Wrong::new(format!("is no YAML that can be read: {error}"), "").at("", line)])
            }
        }
    }
}

/// The line of every key and list element.
#[derive(Debug, Default)]
pub struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The line of a path, or of the nearest thing around it that is in the file.
    pub fn find(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Walks the parser's events. Gives the lines, and a fault for what this format leaves out of YAML: a key twice in one
    /// mapping (which `serde_yaml` would hand over in silence), tags, a second document.
    fn of(text: &str) -> Result<(Self, Vec<Fault>), Fault> {
        let mut walk = Walk::default();
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => walk.event(event, span.start.line()),
                Err(error) => {
                    let problem = format!("is no YAML: {}", error.info());
                    return Err(Wrong::new(problem, "").at("", Some(error.marker().line())));
                }
            }
        }
        Ok((Self(walk.lines), walk.faults))
    }
}

/// Below `parent`, the key `key`.
pub fn key_path(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// Below `parent`, the list element `index`.
pub fn element_path(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    lines: BTreeMap<String, usize>,
    faults: Vec<Fault>,
    documents: usize,
}

/// A collection whose end has not come yet.
enum Open {
    Sequence { path: String, next: usize },
    Mapping { path: String, key: Option<String>, keys: BTreeMap<String, usize> },
}

impl Walk {
    fn event(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Scalar(text, _, _, tag) => {
                let path = self.begin(&text, line);
                self.refuse(tag.as_deref(), &path, line);
            }
            Event::Alias(_) => {
                self.begin("*", line);
            }
            Event::SequenceStart(_, tag) => {
                let path = self.begin("?", line);
                self.refuse(tag.as_deref(), &path, line);
                self.open.push(Open::Sequence { path, next: 0 });
            }
            Event::MappingStart(_, tag) => {
                let path = self.begin("?", line);
                self.refuse(tag.as_deref(), &path, line);
                self.open.push(Open::Mapping { path, key: None, keys: BTreeMap::new() });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    let wrong = Wrong::new("a second document begins here", "keep one, and remove the `---` between");
                    self.faults.push(wrong.at("", Some(line)));
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }

    /// Tags of YAML's own types (`!!str`) are harmless; others mean nothing here.
    fn refuse(&mut self, tag: Option<&Tag>, path: &str, line: usize) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let wrong = Wrong::new(format!("has the tag `{tag}`, which means nothing here"), "remove the tag");
            self.faults.push(wrong.at(path, Some(line)));
        }
    }

    /// Takes note of a node that begins: a key (then `text` is its name), a key's value, or an element. Gives its path.
    fn begin(&mut self, text: &str, line: usize) -> String {
        match self.open.last_mut() {
            None => String::new(),
            Some(Open::Sequence { path, next }) => {
                let path = element_path(path, *next);
                *next += 1;
                self.lines.insert(path.clone(), line);
                path
            }
            Some(Open::Mapping { path, key, keys }) => match key.take() {
                Some(key) => key_path(path, &key),
                None => {
                    *key = Some(text.to_owned());
                    let path = key_path(path, text);
                    if let Some(first) = keys.insert(text.to_owned(), line) {
                        let wrong = Wrong::new(format!("stands on line {first} already"), "remove one of the two");
                        self.faults.push(wrong.at(&*path, Some(line)));
                    }
                    self.lines.entry(path.clone()).or_insert(line);
                    path
                }
            },
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value without a tag")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Float(f64::MAX), Node::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Node::Sequence(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Faulty => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(value) | Self::Expanded(value) => serializer.serialize_str(value),
            Self::Sequence(elements) => serializer.collect_seq(elements),
            Self::Mapping(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
