//! What an upstream has: its tools, prompts, resources and resource templates, as it last listed them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::base::limit::Limit;
use crate::bridge::naming::{self, Naming};
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::link::{AskFault, Link};
use crate::bridge::upstream::wire::Wire;
use crate::bridge::uri_template::UriTemplate;
use crate::protocol::mcp::message::{Kind, Message};
use crate::protocol::mcp::object;
use crate::protocol::mcp::param_header::{self, ParamHeader};
use crate::protocol::mcp::splice::{self, Edit, Span};

/// How many pages of one list are read: enough for all its entries in pages of ten.
const MAX_PAGES: usize = 1_000;
/// How many entries of one list are kept.
const MAX_ENTRIES: usize = 10_000;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::count("pages of one list of an upstream", MAX_PAGES, "its end is left out"),
    Limit::count("entries of one list of an upstream", MAX_ENTRIES, "its end is left out"),
];

/// The four lists.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// `tools/list`.
    pub tools: Arc<List>,
    /// `prompts/list`.
    pub prompts: Arc<List>,
    /// `resources/list`.
    pub resources: Arc<List>,
    /// `resources/templates/list`.
    pub templates: Arc<List>,
}

impl Catalogue {
    /// The list of a kind.
    #[must_use]
    pub const fn list(&self, kind: ListKind) -> &Arc<List> {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::Templates => &self.templates,
        }
    }

    /// With another list of a kind.
    #[must_use]
    pub fn with(&self, kind: ListKind, list: List) -> Self {
        let (mut new, list) = (self.clone(), Arc::new(list));
        match kind {
            ListKind::Tools => new.tools = list,
            ListKind::Prompts => new.prompts = list,
            ListKind::Resources => new.resources = list,
            ListKind::Templates => new.templates = list,
        }
        new
    }

    /// Whether the upstream listed this URI or URI template.
    #[must_use]
    pub fn lists_resource(&self, uri: &str) -> bool {
        self.resources.find(uri).is_some() || self.templates.find(uri).is_some()
    }

    /// Whether the upstream listed this URI, or a template that could make it.
    #[must_use]
    pub fn has_resource(&self, uri: &str) -> bool {
        self.lists_resource(uri) || self.makes_resource(uri)
    }

    /// How many bytes a URI has in common with the beginning of one that the upstream lists, or of a template; none
    /// where scheme or authority is another.
    #[must_use]
    pub fn likeness(&self, uri: &str) -> usize {
        let least = match uri.split_once("://") {
            Some((scheme, rest)) => scheme.len() + 3 + rest.find('/').map_or(rest.len(), |slash| slash + 1),
            None => uri.find(':').map_or(usize::MAX, |colon| colon + 1),
        };
        let listed = self.resources.entries().chain(self.templates.entries());
        let common = listed.map(|entry| entry.key.bytes().zip(uri.bytes()).take_while(|(a, b)| a == b).count());
        common.filter(|common| *common >= least).max().unwrap_or(0)
    }

    /// Whether one of the upstream's templates could make this URI.
    #[must_use]
    pub fn makes_resource(&self, uri: &str) -> bool {
        self.templates.entries().any(|entry| entry.template.as_ref().is_some_and(|template| template.makes(uri)))
    }
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the list of its name")]
pub enum ListKind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl ListKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The method that gives it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that holds it.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    const fn is_named(self) -> bool {
        matches!(self, Self::Tools | Self::Prompts)
    }
}

/// One list, in the upstream's order.
#[derive(Debug, Default)]
pub struct List {
    /// Something that the upstream lists is left out here that would be shown otherwise.
    pub lacks_unsound: bool,
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

/// A tool, prompt, resource or template.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, URI or URI template, as the upstream has it.
    pub key: String,
    /// Its definition as clients see it: the upstream's bytes, but for the shown name.
    pub shown: Bytes,
    /// A tool that declares `annotations.readOnlyHint: true`.
    pub is_read_only: bool,
    /// A tool's arguments that header fields repeat.
    pub headers: Arc<[ParamHeader]>,
    /// A tool whose annotations all keep the rules.
    is_sound: bool,
    template: Option<UriTemplate>,
}

impl List {
    /// The entry with this name, URI or URI template.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.places.get(key).and_then(|place| self.entries.get(*place))
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The same list of tools or prompts with its names shown in another way.
    #[must_use]
    pub fn renamed(&self, kind: ListKind, naming: &Naming) -> Self {
        let renamed = |entry: &Entry| Entry { shown: rename(entry, kind, naming), ..entry.clone() };
        let entries = self.entries.iter().map(renamed).collect();
        Self { entries, places: self.places.clone(), ..*self }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn leave_out_unsound(&mut self, upstream: &str) {
        let unsound: Vec<Entry> = self.entries.extract_if(.., |entry| !entry.is_sound).collect();
        for entry in &unsound {
            let (tool, reason) = (&entry.key, "an x-mcp-header of its inputSchema breaks the rules");
            tracing::warn!(upstream, tool, reason, "a tool is left out");
        }
        if !unsound.is_empty() {
            self.lacks_unsound = true;
            self.places = self.entries.iter().enumerate().map(|(place, entry)| (entry.key.clone(), place)).collect();
        }
    }

    fn add(&mut self, entry: Entry) {
        // Of two with one key the first stands, as it does for whoever looks it up.
        if !self.places.contains_key(&entry.key) {
            self.places.insert(entry.key.clone(), self.entries.len());
            self.entries.push(entry);
        }
    }
}

/// What of an upstream's list is shown, and how.
#[derive(Clone, Debug)]
pub struct View {
    /// How names are shown.
    pub naming: Naming,
    /// Patterns of tools that are shown.
    pub include_tools: Vec<String>,
    /// Patterns of tools that are not shown, although included.
    pub exclude_tools: Vec<String>,
}

impl View {
    /// Whether a tool is shown.
    #[must_use]
    pub fn shows_tool(&self, name: &str) -> bool {
        naming::fits_any(name, &self.include_tools) && !naming::fits_any(name, &self.exclude_tools)
    }

    /// Whether every tool is shown.
    #[must_use]
    pub fn shows_all(&self) -> bool {
        self.exclude_tools.is_empty() && self.include_tools.iter().any(|pattern| pattern == "*")
    }
}

/// Reads a whole list from an upstream, page by page.
///
/// # Errors
/// The upstream does not answer, or with an error.
pub async fn load(link: &Arc<Link>, kind: ListKind, view: &View, limit: Duration) -> Result<List, AskFault> {
    let mut list = load_all(link, kind, view, limit).await?;
    // MCP 2026-07-28, Schema Extension: a client over HTTP MUST leave out a tool whose annotations break the rules.
    if link.speaks() == Speaks::Stateless && matches!(link.wire(), Wire::Http(_)) {
        list.leave_out_unsound(&link.name);
    }
    Ok(list)
}

async fn load_all(link: &Arc<Link>, kind: ListKind, view: &View, limit: Duration) -> Result<List, AskFault> {
    let mut list = List::default();
    let mut params = "{}".to_owned();
    for _ in 0..MAX_PAGES {
        let answer = link.ask(kind.method(), &params, limit).await?;
        let next = match read_page(&answer, kind, view, &mut list).ok_or(AskFault::Lost(kind.method()))? {
            Some(cursor) => format!(r#"{{"cursor":{cursor}}}"#),
            None => return Ok(list),
        };
        if next == params {
            // A server that gives the cursor it was given would do so for ever.
            return Ok(list);
        }
        if list.entries.len() >= MAX_ENTRIES {
            break;
        }
        params = next;
    }
    tracing::warn!(upstream = %link.name, list = kind.method(), "a list is too long; its end is left out");
    Ok(list)
}

/// Adds a page to the list; gives the cursor of the next, as JSON. `None` when the page cannot be read.
fn read_page(answer: &Message, kind: ListKind, view: &View, list: &mut List) -> Option<Option<String>> {
    let Kind::Answer { result: Some(result), .. } = answer.kind() else { return None };
    let [entries, cursor] = object::members(answer.json(*result), &[kind.member(), "nextCursor"]).ok()?;
    let entries: Vec<&RawValue> = serde_json::from_str(entries?).ok()?;
    for raw in entries {
        match read_entry(raw.get(), kind, view) {
            Some(entry) if kind == ListKind::Tools && !view.shows_tool(&entry.key) => {}
            Some(entry) => list.add(entry),
            None => tracing::warn!(list = kind.method(), "an entry without a clear name or URI is left out"),
        }
    }
    // Some end with an empty one, which would begin anew.
    Some(cursor.filter(|cursor| *cursor != "null" && *cursor != "\"\"").map(str::to_owned))
}

fn read_entry(raw: &str, kind: ListKind, view: &View) -> Option<Entry> {
    let [key, annotations, schema] = object::members(raw, &[kind.key(), "annotations", "inputSchema"]).ok()?;
    let (key_at, key) = (Span::of(key?, raw)?, serde_json::from_str::<String>(key?).ok()?);
    let is_read_only = kind == ListKind::Tools
        && annotations
            .and_then(|annotations| object::members(annotations, &["readOnlyHint"]).ok())
            .is_some_and(|[hint]| hint == Some("true"));
    let renamed = (kind.is_named() && !view.naming.is_plain())
        .then(|| serde_json::Value::from(view.naming.shown(&key)).to_string());
    let shown = match &renamed {
        Some(name) => splice::splice(raw.as_bytes(), &mut [Edit { at: key_at, with: name.as_bytes() }], false),
        None => Bytes::copy_from_slice(raw.as_bytes()),
    };
    let template = (kind == ListKind::Templates).then(|| UriTemplate::parse(&key));
    let headers = schema.filter(|_| kind == ListKind::Tools).map(param_header::of_schema);
    let is_sound = kind != ListKind::Tools || schema.is_none_or(param_header::is_sound);
    Some(Entry { key, shown, is_read_only, headers: headers.unwrap_or_default().into(), is_sound, template })
}

/// The definition of an entry under another name.
fn rename(entry: &Entry, kind: ListKind, naming: &Naming) -> Bytes {
    let place = || {
        let raw = std::str::from_utf8(&entry.shown).ok().filter(|_| kind.is_named())?;
        let [key] = object::members(raw, &[kind.key()]).ok()?;
        Span::of(key?, raw)
    };
    let Some(at) = place() else { return entry.shown.clone() };
    let name = serde_json::Value::from(naming.shown(&entry.key)).to_string();
    splice::splice(&entry.shown, &mut [Edit { at, with: name.as_bytes() }], false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(lead: &str, include: &str, exclude: &[&str]) -> View {
        View {
            naming: Naming::new(Some(lead), "", "__", true),
            include_tools: vec![include.to_owned()],
            exclude_tools: exclude.iter().map(|pattern| (*pattern).to_owned()).collect(),
        }
    }

    fn page(kind: ListKind, view: &View, result: &str) -> (List, Option<String>) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#);
        let mut list = List::default();
        let cursor = read_page(&Message::parse(Bytes::from(text)).unwrap(), kind, view, &mut list).unwrap();
        (list, cursor)
    }

    #[test]
    fn a_definition_keeps_its_bytes_but_for_the_name() {
        let result = r#"{"tools":[{ "inputSchema":{"x":1.0,"name":"n"}, "name" : "a__b", "annotations":{"readOnlyHint":true}},{"name":"b"}],"nextCursor":"c"}"#;
        let (list, cursor) = page(ListKind::Tools, &view("p", "*", &[]), result);
        let entry = list.find("a__b").unwrap();
        assert_eq!(
            entry.shown,
            r#"{ "inputSchema":{"x":1.0,"name":"n"}, "name" : "p__a__b", "annotations":{"readOnlyHint":true}}"#
        );
        assert!(entry.is_read_only && !list.find("b").unwrap().is_read_only);
        assert_eq!(cursor.as_deref(), Some("\"c\""));
    }

    #[test]
    fn a_list_is_renamed_and_nothing_else_of_it_changes() {
        let result = r#"{"tools":[{"title":"name", "name" : "a", "x":1.0}]}"#;
        let (list, _) = page(ListKind::Tools, &view("p", "*", &[]), result);
        let list = list.renamed(ListKind::Tools, &Naming::new(None, "q", "__", true));
        assert_eq!(list.find("a").unwrap().shown, r#"{"title":"name", "name" : "q__a", "x":1.0}"#);
        let list = list.renamed(ListKind::Tools, &Naming::new(None, "q", "__", false));
        assert_eq!(list.find("a").unwrap().shown, r#"{"title":"name", "name" : "a", "x":1.0}"#);
    }

    #[test]
    fn mcp_3_a_definition_that_reads_in_two_ways_is_left_out_or_not_trusted() {
        let result = r#"{"tools":[{"name":"a","name":"b"},{"name":"c","Name":"d"},{"name":"e","annotations":{"readOnlyHint":true,"readOnlyHint":false}},{"name":"f","annotations":{"readOnlyHint":"true"}}]}"#;
        let (list, _) = page(ListKind::Tools, &view("", "*", &[]), result);
        assert_eq!(list.entries().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["e", "f"]);
        assert!(list.entries().all(|entry| !entry.is_read_only));
    }

    #[test]
    fn mcp_4_tools_are_filtered_by_exact_patterns() {
        let result = r#"{"tools":[{"name":"get_a"},{"name":"get_b"},{"name":"GET_A"},{"name":"get_a "}]}"#;
        let (list, _) = page(ListKind::Tools, &view("", "get_*", &["get_b", "get_a "]), result);
        assert_eq!(list.entries().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["get_a"]);
    }

    #[test]
    fn resources_are_found_by_uri_or_template() {
        let (resources, _) =
            page(ListKind::Resources, &view("p", "*", &[]), r#"{"resources":[{"uri":"x:1","name":"n"}]}"#);
        let (templates, _) =
            page(ListKind::Templates, &view("p", "*", &[]), r#"{"resourceTemplates":[{"uriTemplate":"y:{id}"}]}"#);
        assert_eq!(resources.find("x:1").unwrap().shown, r#"{"uri":"x:1","name":"n"}"#);
        let catalogue = Catalogue::default().with(ListKind::Resources, resources).with(ListKind::Templates, templates);
        assert!(
            catalogue.lists_resource("x:1") && catalogue.lists_resource("y:{id}") && !catalogue.lists_resource("y:7")
        );
        assert!(catalogue.makes_resource("y:7") && !catalogue.makes_resource("x:1"));
    }
}
