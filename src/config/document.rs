//! The file as a tree of plain values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::config::fault::{Fault, Wrong};
use crate::config::lines::Lines;

/// A value of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, or nothing at all: the same as if the key were not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a point, or a huge one: no key takes it, and its writing is lost.
    OtherNumber,
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
        Ok(i64::try_from(value).map_or(Node::OtherNumber, Node::Integer))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::OtherNumber)
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
            Self::Null | Self::OtherNumber | Self::Faulty => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
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
