//! Keeping an upstream's lists up to date.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

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
    pub(crate) async fn read_list(&self, link: &Arc<Link>, kind: ListKind) {
        // One reader at a time, so that an older answer never replaces a newer one.
        let _reading = self.reading.lock().await;
        let view = Arc::clone(&self.view());
        match catalog::load(link, kind, &view, self.settings.timeout.min(PATIENCE)).await {
            Ok(list) => self.put_list(kind, list, &view.naming),
            Err(fault) => {
                tracing::warn!(upstream = self.name(), list = kind.method(), %fault, "a list could not be read");
            }
        }
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
