//! Several upstreams as one server: one introduction, one list of everything.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::base::limit::Limit;
use crate::bridge::catalog::ListKind;
use crate::bridge::upstream::hello::Offers;
use crate::bridge::upstream::{State, Upstream};
use crate::protocol::mcp::version::ProtocolVersion;

/// How long a list waits for one upstream, before that one's last known list is used.
const PATIENCE: Duration = Duration::from_secs(10);
/// A resource that nobody lists or resembles is looked for in lists that are at most so old: who asks for such by the dozen
/// has them read no more often.
const NEW_ENOUGH: Duration = Duration::from_secs(5);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::time("wait of a merged list for one upstream", PATIENCE, "its last known list is used"),
    Limit::time("pause before lists are read again for a resource that is in none", NEW_ENOUGH, "there is none"),
];

/// The result of `initialize`.
#[must_use]
pub fn introduction(upstreams: &[Arc<Upstream>], version: ProtocolVersion) -> Bytes {
    // An only upstream speaks for itself.
    if let [only] = upstreams
        && let Some(hello) = only.hello()
    {
        return hello.answered_as(version);
    }
    let mut result = json!({
        "protocolVersion": version.as_str(),
        "capabilities": merged_capabilities(upstreams),
        "serverInfo": own_identity(),
    });
    if let Some(instructions) = instructions(upstreams)
        && let Some(result) = result.as_object_mut()
    {
        result.insert("instructions".to_owned(), Value::from(instructions));
    }
    Bytes::from(result.to_string())
}

/// What the bridge is, where it does not speak for one upstream.
#[must_use]
pub fn own_identity() -> Value {
    json!({"name": "mcp-bridge", "title": "MCP Bridge", "version": env!("CARGO_PKG_VERSION")})
}

/// How to use what is here: an only upstream's own words, or those of each, under its name.
#[must_use]
pub fn instructions(upstreams: &[Arc<Upstream>]) -> Option<String> {
    if let [only] = upstreams {
        return only.hello()?.instructions().map(str::to_owned);
    }
    let named = |upstream: &Arc<Upstream>| {
        let hello = upstream.hello().filter(|_| upstream.link().is_some())?;
        hello.instructions().map(|text| format!("{}: {text}", upstream.name()))
    };
    let all: Vec<String> = upstreams.iter().filter_map(named).collect();
    (!all.is_empty()).then(|| all.join("\n\n"))
}

/// What is offered, JSON: an only upstream's own words, or everything together.
#[must_use]
pub fn capabilities(upstreams: &[Arc<Upstream>]) -> String {
    match upstreams {
        [only] if only.hello().is_some() => only.hello().map(|hello| hello.capabilities()).unwrap_or_default(),
        several => merged_capabilities(several).to_string(),
    }
}

/// What is offered, as far as the bridge acts on it.
#[must_use]
pub fn offers(upstreams: &[Arc<Upstream>]) -> Offers {
    if let [only] = upstreams
        && let Some(hello) = only.hello()
    {
        return hello.offers;
    }
    let hellos: Vec<_> = upstreams.iter().map(|upstream| upstream.hello()).collect();
    let offers = hellos.iter().flatten().fold(Offers::default(), |all, hello| all.union(hello.offers));
    // One that was never up may yet bring anything; a client that was told of no tools would never look for them.
    let may_come = hellos.iter().any(Option::is_none);
    let (tools, prompts, resources) =
        (offers.tools || may_come, offers.prompts || may_come, offers.resources || may_come);
    // Lists change whenever an upstream comes or goes.
    let (tools_changed, prompts_changed, resources_changed) = (tools, prompts, resources);
    Offers { tools, prompts, resources, tools_changed, prompts_changed, resources_changed, ..offers }
}

fn merged_capabilities(upstreams: &[Arc<Upstream>]) -> Value {
    let offers = offers(upstreams);
    let changing = json!({"listChanged": true});
    let mut all = serde_json::Map::new();
    if offers.tools {
        all.insert("tools".to_owned(), changing.clone());
    }
    if offers.prompts {
        all.insert("prompts".to_owned(), changing);
    }
    if offers.resources {
        let subscribe = offers.subscribe.then_some(("subscribe".to_owned(), Value::from(true)));
        let resources = [("listChanged".to_owned(), Value::from(true))].into_iter().chain(subscribe);
        all.insert("resources".to_owned(), Value::Object(resources.collect()));
    }
    for (name, offered) in [("logging", offers.logging), ("completions", offers.completions)] {
        if offered {
            all.insert(name.to_owned(), json!({}));
        }
    }
    Value::Object(all)
}

/// Whether a list is an upstream's own, page by page, and need not be put together.
#[must_use]
pub fn is_plain(upstreams: &[Arc<Upstream>], kind: ListKind) -> bool {
    match (upstreams, kind) {
        ([only], ListKind::Tools) => {
            only.view().naming.is_plain() && only.view().shows_all() && !only.catalogue().tools.lacks_unsound
        }
        ([only], ListKind::Prompts) => only.view().naming.is_plain(),
        ([_], ListKind::Resources | ListKind::Templates) => true,
        _ => false,
    }
}

/// The result of a list method over all upstreams that are up.
pub async fn list(upstreams: &[Arc<Upstream>], kind: ListKind) -> Bytes {
    freshen_all(upstreams, kind, Duration::ZERO).await;
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut out = format!(r#"{{"{}":["#, kind.member()).into_bytes();
    for upstream in upstreams {
        let is_up = upstream.state() == State::Up;
        let mut hidden = Vec::new();
        for entry in upstream.catalogue().list(kind).entries() {
            // The first in the list has the name even while it is down: a name never changes hands.
            match seen.entry(shown_key(upstream, kind, &entry.key)) {
                Entry::Occupied(first) => hidden.push((first.key().clone(), *first.get())),
                Entry::Vacant(free) => {
                    free.insert(upstream.name());
                    if is_up {
                        put(&mut out, &entry.shown);
                    }
                }
            }
        }
        upstream.tell_hidden(kind, &hidden);
    }
    out.extend_from_slice(b"]}");
    Bytes::from(out)
}

/// Reads again the tools of upstreams that do not tell when they change.
pub async fn freshen_tools(upstreams: &[Arc<Upstream>]) {
    freshen_all(upstreams, ListKind::Tools, Duration::ZERO).await;
}

/// Reads again the resources and templates of upstreams that do not tell when they change, unless that was done a moment ago.
pub async fn freshen_resources(upstreams: &[Arc<Upstream>]) {
    let of = |kind| freshen_all(upstreams, kind, NEW_ENOUGH);
    futures_util::future::join(of(ListKind::Resources), of(ListKind::Templates)).await;
}

fn put(list: &mut Vec<u8>, entry: &[u8]) {
    if list.last() != Some(&b'[') {
        list.push(b',');
    }
    list.extend_from_slice(entry);
}

fn shown_key(upstream: &Upstream, kind: ListKind, key: &str) -> String {
    match kind {
        ListKind::Tools | ListKind::Prompts => upstream.view().naming.shown(key),
        ListKind::Resources | ListKind::Templates => key.to_owned(),
    }
}

/// Reads a list again of each upstream that does not tell when it changes.
async fn freshen_all(upstreams: &[Arc<Upstream>], kind: ListKind, age: Duration) {
    futures_util::future::join_all(upstreams.iter().map(|upstream| freshen(upstream, kind, age))).await;
}

async fn freshen(upstream: &Arc<Upstream>, kind: ListKind, age: Duration) {
    if !upstream.has_list(kind) || upstream.tells_changes(kind) {
        return;
    }
    if let Some(link) = upstream.link() {
        // A slow upstream does not hide the others: its last known list will do.
        let _slow = tokio::time::timeout(PATIENCE, upstream.freshen_list(&link, kind, age)).await;
    }
}
