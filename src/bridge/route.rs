//! Which upstream a request is for, and what the thing is called there.

use std::sync::Arc;

use crate::bridge::catalog::ListKind;
use crate::bridge::upstream::Upstream;

/// A tool or prompt, where it is.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// Whose it is.
    pub upstream: &'a Arc<Upstream>,
    /// What it is called there.
    pub name: &'a str,
}

/// Finds a tool or prompt by the name clients see. The first upstream in the list that has it wins.
#[must_use]
pub fn by_name<'a>(upstreams: &'a [Arc<Upstream>], kind: ListKind, shown: &'a str) -> Option<Named<'a>> {
    let mut candidates = upstreams.iter().filter_map(|upstream| {
        let name = upstream.view().naming.original(shown)?;
        Some(Named { upstream, name })
    });
    candidates.find(|named| answers_for(named, kind, upstreams.len() == 1))
}

/// The upstream that may have a tool or prompt of this name, for all that is known: it was never up, as one that a reload has
/// just begun.
#[must_use]
pub fn never_up<'a>(upstreams: &'a [Arc<Upstream>], shown: &str) -> Option<&'a Arc<Upstream>> {
    upstreams.iter().find(|upstream| upstream.hello().is_none() && upstream.view().naming.original(shown).is_some())
}

/// Finds a resource by its URI: the first upstream in the list that listed it, else the first with a template for it.
#[must_use]
pub fn by_uri<'a>(upstreams: &'a [Arc<Upstream>], uri: &str) -> Option<&'a Arc<Upstream>> {
    match upstreams {
        [only] => Some(only),
        several => {
            let listed = several.iter().find(|upstream| upstream.catalogue().lists_resource(uri));
            listed.or_else(|| several.iter().find(|upstream| upstream.catalogue().makes_resource(uri)))
        }
    }
}

/// Finds who would have a resource that nobody lists, as one that a tool's result links to need not be: who lists the
/// URIs most like it, else the only one that has resources at all. Nobody is asked for what may be another's.
#[must_use]
pub fn by_likeness<'a>(upstreams: &'a [Arc<Upstream>], uri: &str) -> Option<&'a Arc<Upstream>> {
    // It may be of one of which nothing is known yet.
    if upstreams.iter().any(|upstream| upstream.hello().is_none()) {
        return None;
    }
    let with_resources = || upstreams.iter().filter(|upstream| upstream.has_list(ListKind::Resources));
    let likeness = |upstream: &Arc<Upstream>| upstream.catalogue().likeness(uri);
    let most = with_resources().map(likeness).max()?;
    let mut most_like = with_resources().filter(|upstream| likeness(upstream) == most);
    let found = most_like.next()?;
    most_like.next().is_none().then_some(found)
}

fn answers_for(named: &Named<'_>, kind: ListKind, is_only: bool) -> bool {
    let upstream = named.upstream;
    // An only upstream answers for everything, listed or not, in its own words; but a filter or a rule decides by
    // exact name, and an upstream that reads names more loosely must not be reached past it.
    let decides = kind == ListKind::Tools && !(upstream.view().shows_all() && upstream.settings.tools.is_empty());
    (is_only && !decides) || upstream.catalogue().list(kind).find(named.name).is_some()
}
