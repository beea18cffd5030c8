//! Keeping an upstream's lists up to date.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::base::limit::Limit;
use crate::bridge::catalog::{self, List, ListKind, View};
use crate::bridge::hub::Audience;
use crate::bridge::naming::Naming;
use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::{Offers, Speaks};
use crate::bridge::upstream::link::{Changes, Link};
use crate::protocol::mcp::method::Method;

/// How long one page of a list may take: nobody can use the upstream before its lists are read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::time("one page of an upstream's list", PATIENCE, "the list is not read")];

/// Who reads which list; each is read by one at a time.
#[derive(Debug, Default)]
pub struct Reading {
    tools: Arc<Mutex<Option<Read>>>,
    prompts: Arc<Mutex<Option<Read>>>,
    resources: Arc<Mutex<Option<Read>>>,
    templates: Arc<Mutex<Option<Read>>>,
}

/// The last time that a list was read to its end, or asked for in vain.
#[derive(Debug)]
struct Read {
    link: Weak<Link>,
    began: Instant,
}

impl Read {
    /// Whether it was on this connection: what came on another says nothing of what comes on this one.
    fn is_of(&self, link: &Arc<Link>) -> bool {
        std::ptr::eq(self.link.as_ptr(), Arc::as_ptr(link))
    }
}

impl Reading {
    fn of(&self, kind: ListKind) -> Arc<Mutex<Option<Read>>> {
        Arc::clone(match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::Templates => &self.templates,
        })
    }
}

impl Upstream {
    /// Reads the lists that `changes` names, if the upstream has such.
    pub(super) async fn read_lists(&self, link: &Arc<Link>, changes: u8) {
        let offers = link.hello.get().map(|hello| hello.offers).unwrap_or_default();
        for kind in ListKind::ALL {
            if changes & change_of(kind) != 0 && offers_list(offers, kind) {
                self.read_list(link, kind).await;
            }
        }
    }

    /// Reads one list. The old one stays when the upstream does not give it.
    async fn read_list(&self, link: &Arc<Link>, kind: ListKind) {
        let turn = self.reading.of(kind).lock_owned().await;
        self.read_in_turn(link, kind, turn).await;
    }

    /// Reads one list, unless somebody began to read it after this was called or, at most, `age` before. Whoever wants it while
    /// it is read waits for the next reading, which is that of all who wait; it goes on when they have left, so that a long
    /// list comes to an end.
    ///
    /// Rejected: to keep the pages that came before the end, and go on from there. What a cursor stands for may have changed
    /// since, and a list of two times is none.
    pub(crate) async fn freshen_list(self: &Arc<Self>, link: &Arc<Link>, kind: ListKind, age: Duration) {
        let wanted = Instant::now();
        let turn = self.reading.of(kind).lock_owned().await;
        if turn.as_ref().is_some_and(|last| last.is_of(link) && last.began + age >= wanted) {
            return;
        }
        let (this, link) = (Arc::clone(self), Arc::clone(link));
        let reading = self.hub.runtime.spawn(async move { this.read_in_turn(&link, kind, turn).await });
        // One that panicked has read nothing.
        let _over = reading.await;
    }

    /// One reader at a time, so that an older answer never replaces a newer one.
    async fn read_in_turn(&self, link: &Arc<Link>, kind: ListKind, mut turn: OwnedMutexGuard<Option<Read>>) {
        let began = Instant::now();
        let view = Arc::clone(&self.view());
        match catalog::load(link, kind, &view, self.settings.timeout.min(PATIENCE)).await {
            Ok(list) => self.put_list(kind, list, &view.naming),
            Err(fault) => {
                tracing::warn!(upstream = self.name(), list = kind.method(), %fault, "a list could not be read");
            }
        }
        *turn = Some(Read { link: Arc::downgrade(link), began });
    }

    fn put_list(&self, kind: ListKind, list: List, read_as: &Naming) {
        let _turn = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let naming = &self.view().naming;
        let list = if naming == read_as { list } else { list.renamed(kind, naming) };
        self.catalogue.store(Arc::new(self.catalogue().with(kind, list)));
    }

    /// Shows its names in another way. False: it is the same way.
    pub(crate) fn rename(&self, naming: &Naming) -> bool {
        let _turn = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view.load_full();
        if view.naming == *naming {
            return false;
        }
        let catalogue = self.catalogue();
        let renamed = |kind| catalogue.list(kind).renamed(kind, naming);
        let (tools, prompts) = (renamed(ListKind::Tools), renamed(ListKind::Prompts));
        self.catalogue.store(Arc::new(catalogue.with(ListKind::Tools, tools).with(ListKind::Prompts, prompts)));
        self.view.store(Arc::new(View { naming: naming.clone(), ..View::clone(&view) }));
        true
    }

    /// Says in the log what of a list no client sees, because an upstream before this one has the same: once, until it is
    /// more or less. `hidden` are their names, each with that upstream's.
    pub(crate) fn tell_hidden(&self, kind: ListKind, hidden: &[(String, &str)]) {
        let told = self.hidden.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, hidden.len());
        let Some((example, first)) = hidden.first().filter(|_| told != Some(hidden.len())) else { return };
        let advice = match kind {
            ListKind::Tools | ListKind::Prompts => "give one of the two another prefix",
            ListKind::Resources | ListKind::Templates => "put the upstream first whose resources are meant",
        };
        let (upstream, list, hidden) = (self.name(), kind.method(), hidden.len());
        tracing::warn!(
            upstream,
            list,
            hidden,
            example,
            first,
            advice,
            "an earlier upstream has the same; clients get that one's"
        );
    }

    /// Whether the upstream has such a list, as far as it ever said.
    pub(crate) fn has_list(&self, kind: ListKind) -> bool {
        self.hello().is_some_and(|hello| offers_list(hello.offers, kind))
    }

    /// Whether the upstream tells when such a list changes; otherwise it must be read each time it is wanted.
    pub(crate) fn tells_changes(&self, kind: ListKind) -> bool {
        if let Some(link) = self.link().filter(|link| link.speaks() == Speaks::Stateless) {
            // Only what it agreed to when it was asked: what it offers in general says less.
            let agreed = link.listening.agreed();
            return match kind {
                ListKind::Tools => agreed.tools,
                ListKind::Prompts => agreed.prompts,
                ListKind::Resources | ListKind::Templates => agreed.resources,
            };
        }
        self.hello().is_some_and(|hello| match kind {
            ListKind::Tools => hello.offers.tools_changed,
            ListKind::Prompts => hello.offers.prompts_changed,
            ListKind::Resources | ListKind::Templates => hello.offers.resources_changed,
        })
    }

    /// Tells everybody it serves that lists changed.
    pub(super) fn announce(&self, changes: u8) {
        announce_to(&self.hub.audience(&self.tenant), changes);
    }
}

/// Tells these that lists changed.
pub(crate) fn announce_to(audience: &Audience, changes: u8) {
    let lists = [
        (Changes::TOOLS, Method::ToolsChanged),
        (Changes::PROMPTS, Method::PromptsChanged),
        (Changes::RESOURCES, Method::ResourcesChanged),
    ];
    for (bit, method) in lists {
        if changes & bit != 0 {
            audience.list_changed(&method);
        }
    }
}

/// The changes that concern what an upstream has.
pub(crate) const fn all_changes(offers: Offers) -> u8 {
    (if offers.tools { Changes::TOOLS } else { 0 })
        | (if offers.prompts { Changes::PROMPTS } else { 0 })
        | (if offers.resources { Changes::RESOURCES } else { 0 })
}

const fn change_of(kind: ListKind) -> u8 {
    match kind {
        ListKind::Tools => Changes::TOOLS,
        ListKind::Prompts => Changes::PROMPTS,
        ListKind::Resources | ListKind::Templates => Changes::RESOURCES,
    }
}

const fn offers_list(offers: Offers, kind: ListKind) -> bool {
    match kind {
        ListKind::Tools => offers.tools,
        ListKind::Prompts => offers.prompts,
        ListKind::Resources | ListKind::Templates => offers.resources,
    }
}
