//! Two tools in place of a long list: `search` finds tools, `execute` calls one.
//!
//! A model that is given a thousand definitions has no room left to think. It owns the two definitions, the index, and
//! what a call of `execute` means: the call that it carries. Whoever may call a tool by its name may call it so, and
//! nobody else; the bridge decides that about the carried call (`Bridge::meant`).

mod index;
mod words;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::base::limit::Limit;
use crate::bridge::catalog::List;
use crate::bridge::post::Caller;
use crate::bridge::tool_search::index::Index;
use crate::bridge::upstream::{State, Upstream};
use crate::bridge::{Bridge, merge};
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::Edit;

/// The tool that finds tools.
pub const SEARCH: &str = "search";
/// The tool that calls one.
const EXECUTE: &str = "execute";
/// How many indexes are kept: callers who see the same lists share one.
const MAX_INDEXES: usize = 16;
/// Words of a query, in bytes; more does not find more.
const MAX_QUERY: usize = 1000;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::count("indexes of tool search", MAX_INDEXES, "the least used is made anew"),
    Limit::bytes("query of tool search", MAX_QUERY, "the tool says so"),
];

/// Tool search at an endpoint.
#[derive(Debug)]
pub struct ToolSearch {
    results: usize,
    runtime: Handle,
    indexes: Mutex<Vec<Arc<Index>>>,
}

impl ToolSearch {
    /// Tool search that gives at most so many results. Indexes are made on `runtime`.
    #[must_use]
    pub fn new(results: usize, runtime: Handle) -> Self {
        Self { results, runtime, indexes: Mutex::default() }
    }

    /// How many results it gives at most.
    #[must_use]
    pub const fn results(&self) -> usize {
        self.results
    }

    /// The result of `tools/list`.
    #[must_use]
    pub fn definitions() -> Bytes {
        let search = json!({
            "name": SEARCH,
            "title": "Search tools",
            "description": "Finds tools by what they do. Gives their definitions, the best match first; call them with `execute`. \
                Use a few plain words (\"create issue\", \"read file\"); when nothing fits, try other words.",
            "inputSchema": {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "What the tool should do, or its name"}},
                "required": ["query"],
            },
            "annotations": {"readOnlyHint": true, "openWorldHint": false},
        });
        let execute = json!({
            "name": EXECUTE,
            "title": "Execute a tool",
            "description": "Calls a tool that `search` found.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "The name of the tool, exactly as `search` gave it"},
                    "arguments": {"type": "object", "description": "Its arguments, as its inputSchema says"},
                },
                "required": ["name"],
            },
        });
        Bytes::from(json!({"tools": [search, execute]}).to_string())
    }

    /// The definitions of what was found, a JSON array: as they came, like everything that passes.
    async fn search(&self, upstreams: &[Arc<Upstream>], query: &str) -> String {
        let is_up = |place: usize| upstreams.get(place).is_some_and(|upstream| upstream.state() == State::Up);
        let Some(index) = self.index(upstreams).await else { return "[]".to_owned() };
        let found = index.find(query).filter(|tool| is_up(tool.upstream)).take(self.results);
        let tools: Vec<_> = found.map(|tool| String::from_utf8_lossy(&tool.shown)).collect();
        format!("[{}]", tools.join(","))
    }

    /// The index of these upstreams' tools, as they stand now; `None` at shutdown.
    async fn index(&self, upstreams: &[Arc<Upstream>]) -> Option<Arc<Index>> {
        let lists: Vec<_> = upstreams.iter().map(|upstream| Arc::clone(&upstream.catalogue().tools)).collect();
        if let Some(index) = self.take(&lists) {
            self.keep(&index);
            return Some(index);
        }
        // Ten thousand tools take a good part of a second, which nobody else should wait for.
        let upstreams = upstreams.to_vec();
        let made = self.runtime.spawn_blocking(move || Arc::new(Index::new(&upstreams, lists))).await.ok()?;
        self.keep(&made);
        Some(made)
    }

    fn take(&self, lists: &[Arc<List>]) -> Option<Arc<Index>> {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let place = indexes.iter().position(|index| index.is_of(lists))?;
        Some(indexes.remove(place))
    }

    /// Keeps an index as the most recently used. The least recently used stands first, and makes room.
    fn keep(&self, index: &Arc<Index>) {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.retain(|known| !known.is_like(index));
        if indexes.len() >= MAX_INDEXES {
            indexes.remove(0);
        }
        indexes.push(Arc::clone(index));
    }
}

/// What a message asks for, where `execute` may stand for another tool.
#[derive(Debug)]
pub enum Meant<'a> {
    /// What it says.
    Itself(&'a Message),
    /// The call that it carries.
    Carried(Box<Message>),
    /// Nothing that can be carried out: the answer to it.
    Answered(Bytes),
}

impl Meant<'_> {
    /// The message to be carried out.
    ///
    /// # Errors
    /// There is none; gives the answer.
    pub fn message(&self) -> Result<&Message, Bytes> {
        match self {
            Self::Itself(message) => Ok(message),
            Self::Carried(carried) => Ok(carried),
            Self::Answered(body) => Err(body.clone()),
        }
    }
}

impl Bridge {
    /// What a message asks for. Everything that decides about a call decides about this.
    pub(super) fn meant<'a>(&self, message: &'a Message) -> Meant<'a> {
        match self.tool_search.as_ref().and_then(|_| called(message)) {
            Some((name, params)) if name == EXECUTE => match carried(message, params) {
                Ok(carried) => Meant::Carried(Box::new(carried)),
                Err(text) => Meant::Answered(tool_error(message, text)),
            },
            _ => Meant::Itself(message),
        }
    }

    /// The answer to a call of `search`; `None` when the message is none.
    pub(super) async fn searched(&self, caller: &Caller, message: &Message) -> Option<Bytes> {
        let search = self.tool_search.as_ref()?;
        let (_, params) = called(message).filter(|(name, _)| name == SEARCH)?;
        let arguments = params.get(Param::Arguments).map_or("{}", |at| message.json(at));
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        let Some(query) = arguments.get("query").and_then(Value::as_str).filter(|query| query.len() <= MAX_QUERY)
        else {
            return Some(tool_error(message, "The argument \"query\" must be a string of at most 1000 bytes."));
        };
        self.wait_for_first_try(&caller.own).await;
        merge::freshen_tools(&caller.own).await;
        let tools = search.search(&caller.own, query).await;
        let text = Value::from(tools.as_str());
        let result =
            format!(r#"{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{{"tools":{tools}}}}}"#);
        Some(reply::result(message.id_or_null(), result.as_bytes()))
    }
}

/// The tool that a message calls.
fn called(message: &Message) -> Option<(Cow<'_, str>, &Params)> {
    let Kind::Request { method: Method::ToolsCall, params, .. } = message.kind() else { return None };
    let name = params.get(Param::Name).and_then(|at| message.string(at))?;
    Some((name, params))
}

/// The call that a call of `execute` carries: its bytes, under the name and with the arguments that they hold.
fn carried(message: &Message, params: &Params) -> Result<Message, &'static str> {
    const WRONG: &str = "The arguments of execute are {\"name\": \"…\", \"arguments\": {…}}: a tool that search found, and its arguments.";
    let (name_at, at) = params.get(Param::Name).zip(params.get(Param::Arguments)).ok_or(WRONG)?;
    let [name, arguments] = object::members(message.json(at), &["name", "arguments"]).map_err(|_| WRONG)?;
    let name = name.filter(|name| name.starts_with('"')).ok_or(WRONG)?;
    let arguments = arguments.unwrap_or("{}");
    if !arguments.starts_with('{') {
        return Err(WRONG);
    }
    let mut edits = [Edit { at: name_at, with: name.as_bytes() }, Edit { at, with: arguments.as_bytes() }];
    Message::parse(message.rewritten(&mut edits)).map_err(|_| WRONG)
}

/// MCP 2025-11-25, Tools, Error Handling: wrong input is a tool error, so that the model can mend it.
fn tool_error(message: &Message, text: &str) -> Bytes {
    let result = json!({"content": [{"type": "text", "text": text}], "isError": true});
    reply::result(message.id_or_null(), result.to_string().as_bytes())
}
