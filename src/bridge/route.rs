//! Which upstream a request is for, and what the thing is called there.

use std::sync::Arc;

use crate::bridge::catalog::ListKind;
use crate::bridge::upstream::Upstream;
use crate::protocol::mcp::param_header::ParamHeader;

/// A tool or prompt, found: once for each request, so that what was decided of it is what is carried out.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Whose it is.
    pub upstream: &'a Arc<Upstream>,
    /// What its upstream says of it; `None` for what an only upstream does not list.
    pub listed: Option<Listed>,
    /// How many bytes of the name that clients see its upstream does not know.
    lead: usize,
}

/// What an upstream says of a tool or prompt that it lists.
#[derive(Clone, Debug)]
pub struct Listed {
    /// A tool that declares `annotations.readOnlyHint: true`.
    pub is_read_only: bool,
    /// A tool's arguments that header fields repeat, if there are any.
    pub headers: Option<Arc<[ParamHeader]>>,
}

impl Found<'_> {
    /// What it is called there that clients see as `shown`, under which it was found.
    #[must_use]
    pub fn name<'a>(&self, shown: &'a str) -> &'a str {
        shown.get(self.lead..).unwrap_or_default()
    }

    /// Whether that is the same.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.lead == 0
    }

    /// Whether nothing is known yet of what its upstream lists.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.listed.is_none() && self.upstream.hello().is_none()
    }

    /// The tool's arguments that header fields repeat, if there are any.
    #[must_use]
    pub fn headers(&self) -> Option<&Arc<[ParamHeader]>> {
        self.listed.as_ref()?.headers.as_ref()
    }
}

/// Finds a tool or prompt by the name clients see. The first upstream in the list that has it wins.
#[must_use]
pub fn by_name<'a>(upstreams: &'a [Arc<Upstream>], kind: ListKind, shown: &str) -> Option<Found<'a>> {
    let is_only = upstreams.len() == 1;
    upstreams.iter().find_map(|upstream| {
        let view = upstream.view();
        let name = view.naming.original(shown)?;
        // An only upstream answers for everything, listed or not, in its own words; but a filter or a rule decides by
        // exact name, and an upstream that reads names more loosely must not be reached past it.
        let decides = kind == ListKind::Tools && !(view.shows_all() && upstream.settings.tools.is_empty());
        let listed = upstream.catalogue().list(kind).find(name).map(|entry| Listed {
            is_read_only: entry.is_read_only,
            headers: Some(&entry.headers).filter(|headers| !headers.is_empty()).cloned(),
        });
        let answers = listed.is_some() || (is_only && !decides);
        answers.then(|| Found { upstream, listed, lead: shown.len() - name.len() })
    })
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
