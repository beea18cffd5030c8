//! The line on which every key stands, and what this format leaves out of YAML.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, Tag};

use crate::config::fault::{Fault, Wrong};

/// No configuration needs as many levels, and every level makes paths longer.
const DEEPEST: usize = 32;

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
    pub fn of(text: &str) -> Result<(Self, Vec<Fault>), Fault> {
        let mut walk = Walk::default();
        for event in Parser::new_from_str(text) {
            match event {
                Ok((_, span)) if walk.open.len() > DEEPEST => {
                    let wrong = Wrong::new(format!("has more than {DEEPEST} levels"), "write no more than are needed");
                    return Err(wrong.at("", Some(span.start.line())));
                }
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
