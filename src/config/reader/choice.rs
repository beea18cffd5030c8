//! Keys whose value is one of a few words.

use serde_json::json;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::later;
use crate::config::lines::key_path;
use crate::config::reader::{Reader, canonical, kind, unknown};

impl Reader<'_> {
    /// One of `words`, the default when nothing is written.
    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        names: &'static str,
        words: &[(&'static str, T)],
        default: T,
        doc: &str,
    ) -> T {
        let default_word =
            words.iter().find(|(_, value)| *value == default).map_or(Node::Null, |(word, _)| (*word).into());
        let choices: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let schema = json!({"anyOf": [{"enum": choices}, {"$ref": "#/$defs/variable"}]});
        self.declare(names, schema, Some(&default_word), doc);
        let value = self.chosen(names, words).unwrap_or(default);
        let word =
            words.iter().find(|(_, candidate)| *candidate == value).map_or(Node::Null, |(word, _)| (*word).into());
        self.show(names, word);
        value
    }

    /// One of `words`, or nothing.
    pub fn optional_choice<T: Copy + PartialEq>(
        &mut self,
        names: &'static str,
        words: &[(&'static str, T)],
        doc: &str,
    ) -> Option<T> {
        let choices: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let schema = json!({"anyOf": [{"enum": choices}, {"type": "null"}, {"$ref": "#/$defs/variable"}]});
        self.declare(names, schema, Some(&Node::Null), doc);
        let value = self.chosen(names, words);
        let word = words.iter().find(|(_, candidate)| Some(*candidate) == value);
        self.show(names, word.map_or(Node::Null, |(word, _)| (*word).into()));
        value
    }

    fn chosen<T: Copy>(&self, names: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let (path, node) = self.take(names)?;
        let text = self.parse_node(&path, node, &kind::TEXT)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        if later::has_word(&key_path(&self.place, canonical(names)), &text) {
            self.report(&path, later::word_fault(&text));
            return None;
        }
        let choices: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let fix = match unknown::nearest(&text, choices.iter().copied()) {
            Some(word) => format!("did you mean {word}?"),
            None => format!("write {}", choices.join(" or ")),
        };
        let what = format!("one of {}", choices.join(", "));
        self.report(&path, Wrong { fix, ..kind::expected(node, &what, "") });
        None
    }
}
