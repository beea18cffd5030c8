//! Who of a provider's people may come in, and with which scopes.

use std::collections::BTreeMap;

use serde_json::json;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind, expected};
use crate::config::section::federated::Surroundings;
use crate::config::value::name::DOMAIN;
use crate::config::value::scope::{SCOPE, unknown};
use crate::protocol::oauth::scope::{READ, ScopeSet};

/// Who of a provider's people may come in, and with which scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// `allowed_domains` of e-mail addresses, in lower case. Empty: any, and people without an address.
    pub allowed_domains: Vec<String>,
    /// `require_email_verified`: an address counts only if the provider says that it is verified.
    pub require_email_verified: bool,
    /// `default_scopes` of everybody who comes in.
    pub default_scopes: ScopeSet,
    /// `admin_users`: verified e-mail addresses, or subjects.
    pub admin_users: Vec<String>,
    /// `admin_scopes` of those.
    pub admin_scopes: ScopeSet,
    /// `groups_claim`: where the groups stand; dots lead into objects when there is no claim of the whole name.
    pub groups_claim: String,
    /// `group_scopes`: what members of a group have besides.
    pub group_scopes: BTreeMap<String, ScopeSet>,
}

impl Admission {
    pub(in crate::config::section) fn read(reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Self {
        let admission = Self {
            allowed_domains: reader.list(
                "allowed_domains",
                &DOMAIN,
                &[],
                "Only people with an address in one of these. Empty: everybody the provider knows.",
            ),
            require_email_verified: reader.boolean(
                "require_email_verified",
                true,
                "An address counts only if the provider says that it is verified.",
            ),
            default_scopes: scope_set(reader.list(
                "default_scopes",
                &SCOPE,
                &[READ],
                "What everybody has who gets in.",
            )),
            admin_users: reader.list(
                "admin_users",
                &kind::NONEMPTY,
                &[],
                "Addresses, or the provider's own identifiers (`sub`), of people who have admin_scopes too.",
            ),
            admin_scopes: scope_set(reader.list("admin_scopes", &SCOPE, &[], "What admin_users have besides.")),
            groups_claim: reader.text(
                "groups_claim",
                "groups",
                "Where the provider says in which groups a person is; a dot leads into an object.",
            ),
            group_scopes: reader
                .map("group_scopes", &SCOPES, "What members of a group have besides: {group: [mcp:write]}.")
                .into_iter()
                .collect(),
        };
        admission.check(reader);
        admission.check_scopes(reader, around);
        admission
    }

    /// What is legal, but does not do what it looks like.
    pub(in crate::config::section) fn advise(&self, reader: &Reader<'_>) {
        for (key, other) in [("admin_users", "admin_scopes"), ("admin_scopes", "admin_users")] {
            let empty = |key| !reader.is_set(key) || reader.is_empty(key);
            if !empty(key) && empty(other) {
                reader.warn(key, Wrong::new(format!("has no effect without {other}"), format!("write {other} too")));
            }
        }
    }

    fn check(&self, reader: &Reader<'_>) {
        let nothing_for_admins = self.admin_users.is_empty() || self.admin_scopes.is_empty();
        let nothing_for_groups = self.group_scopes.values().all(ScopeSet::is_empty);
        if reader.is_empty("default_scopes") && nothing_for_admins && nothing_for_groups {
            let problem = "is empty, and neither admin_users nor group_scopes give anything: nobody gets in";
            reader.fault("default_scopes", Wrong::new(problem, "write default_scopes: [mcp:read], or group_scopes"));
        }
    }

    fn check_scopes(&self, reader: &Reader<'_>, around: &Surroundings<'_>) {
        for (key, scopes) in [("default_scopes", &self.default_scopes), ("admin_scopes", &self.admin_scopes)] {
            for wrong in unknown(scopes, around.scopes_supported) {
                reader.fault(key, wrong);
            }
        }
        for (group, scopes) in &self.group_scopes {
            for wrong in unknown(scopes, around.scopes_supported) {
                reader.fault_below("group_scopes", group, wrong);
            }
        }
    }
}

fn scope_set(scopes: Vec<String>) -> ScopeSet {
    scopes.into_iter().collect()
}

/// What one group has.
const SCOPES: Kind<ScopeSet> = Kind {
    schema: || json!({"type": "array", "items": (SCOPE.schema)()}),
    parse: |node| match node {
        // What is faulty is reported already.
        Node::Sequence(scopes) => scopes.iter().filter(|scope| **scope != Node::Faulty).map(SCOPE.parse).collect(),
        other => Err(expected(other, "a list of scopes", "write `[mcp:read, mcp:write]`")),
    },
    print: |scopes| Node::Sequence(scopes.iter().map(Node::from).collect()),
};
