//! A JSON object that names no member twice, whose values are read only when they are asked for.
//! [RFC 7515 §4](https://www.rfc-editor.org/rfc/rfc7515#section-4)

use std::collections::HashMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The members of an object. A `serde_json::Value` would keep the last of two that have one name, and a struct would
/// not notice two of a name that it does not have.
pub struct Members<'a>(HashMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Reads one object. `None`: anything else, or a name that stands in it twice.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether there is such a member, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A member that may be missing. `Err`: its value is of another type.
    pub fn read<T: Deserialize<'a>>(&self, name: &str) -> serde_json::Result<Option<T>> {
        self.0.get(name).map(|value| serde_json::from_str(value.get())).transpose()
    }

    /// Leaves out the members whose value is `null`: what some libraries write for those that are missing.
    pub fn without_nulls(mut self) -> Self {
        self.0.retain(|_, value| value.get() != "null");
        self
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collector).map(Self)
    }
}

struct Collector;

impl<'de> Visitor<'de> for Collector {
    type Value = HashMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = HashMap::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(members)
    }
}
