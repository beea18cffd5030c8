//! An index of tools, ranked by BM25 over their names, titles, descriptions and arguments.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bm25::{Embedder, EmbedderBuilder, ScoredDocument, Scorer};
use bytes::Bytes;
use serde_json::Value;

use crate::bridge::catalog::List;
use crate::bridge::tool_search::words::Words;
use crate::bridge::upstream::Upstream;

/// How much more the words of a name count: who knows the name wants that tool.
const WEIGHT_OF_NAME: usize = 3;

/// The tools of some upstreams, as they were when it was made.
pub struct Index {
    lists: Vec<Arc<List>>,
    tools: Vec<Indexed>,
    embedder: Embedder<u32, Words>,
    scorer: Scorer<usize>,
}

/// A tool in the index.
#[derive(Debug)]
pub struct Indexed {
    /// Its upstream's place in the list of which the index was made.
    pub upstream: usize,
    /// Its definition, as clients see it.
    pub shown: Bytes,
}

impl Index {
    /// Reads everything that the upstreams' `lists` say.
    #[must_use]
    pub fn new(upstreams: &[Arc<Upstream>], lists: Vec<Arc<List>>) -> Self {
        let (mut seen, mut tools, mut texts) = (HashSet::new(), Vec::new(), Vec::new());
        for (place, (upstream, list)) in upstreams.iter().zip(&lists).enumerate() {
            for entry in list.entries() {
                // Of two that are shown under one name the first is the one that would be called.
                if seen.insert(upstream.view().naming.shown(&entry.key)) {
                    texts.push(text(&entry.shown));
                    tools.push(Indexed { upstream: place, shown: entry.shown.clone() });
                }
            }
        }
        let corpus: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embedder: Embedder<u32, Words> = EmbedderBuilder::with_tokenizer_and_fit_to_corpus(Words, &corpus).build();
        let mut scorer = Scorer::new();
        for (id, text) in corpus.iter().enumerate() {
            scorer.upsert(&id, embedder.embed(text));
        }
        Self { lists, tools, embedder, scorer }
    }

    /// Whether it was made of these very lists.
    #[must_use]
    pub fn is_of(&self, lists: &[Arc<List>]) -> bool {
        self.lists.len() == lists.len() && self.lists.iter().zip(lists).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Whether it was made of the same lists as another.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.is_of(&other.lists)
    }

    /// The tools that have something of the query, the best first; of equals, in the order of the lists.
    pub fn find(&self, query: &str) -> impl Iterator<Item = &Indexed> {
        let mut scored = self.scorer.matches(&self.embedder.embed(query));
        scored.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.id.cmp(&other.id)));
        scored.into_iter().filter_map(|ScoredDocument { id, .. }| self.tools.get(id))
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Index").field("tools", &self.tools.len()).finish_non_exhaustive()
    }
}

/// What of a definition is searched.
fn text(definition: &[u8]) -> String {
    let definition: Value = serde_json::from_slice(definition).unwrap_or_default();
    let string = |of: &Value, member: &str| of.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut parts = vec![string(&definition, "name"); WEIGHT_OF_NAME];
    parts.extend(["title", "description"].map(|member| string(&definition, member)));
    parts.extend(definition.get("annotations").map(|annotations| string(annotations, "title")));
    let arguments = definition.pointer("/inputSchema/properties").and_then(Value::as_object);
    for (name, schema) in arguments.into_iter().flatten() {
        parts.push(name.clone());
        parts.push(string(schema, "description"));
    }
    parts.join("\n")
}
