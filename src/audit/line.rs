//! One line: one JSON object, in which no character acts on a terminal or a reader of lines (CWE-117; security.md LOG-2).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::audit::origin::Origin;
use crate::base::clock::Timestamp;
use crate::base::id::{ClientId, GrantId, ProviderName, UserId};
use crate::base::limit::Limit;
use crate::base::username::is_invisible;
use crate::model::grant::Grant;
use crate::model::principal::Principal;
use crate::protocol::oauth::scope::ScopeSet;

/// A kind of refusal: an event's name, and its reason.
pub(super) type Kind = (&'static str, &'static str);

/// The longest value. Identifiers at providers and addresses of clients are others' to choose.
const LONGEST_VALUE: usize = 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::bytes("value in a line of the audit trail", LONGEST_VALUE, "it is cut")];

/// A line. Its first eight members are always there, and `null` where there is nothing to say.
#[derive(Debug, Default, Serialize)]
pub(super) struct Record<'a> {
    ts: String,
    event: &'static str,
    outcome: &'static str,
    reason: Option<&'static str>,
    request_id: Option<String>,
    address: Option<IpAddr>,
    subject: Option<Text<'a>>,
    oauth_client_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<Text<'a>>,
    /// Who typed the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_uid: Option<u32>,
    /// How many events are in no line: those like this one that were withheld, or those that could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// A text that is cut where it is too long.
#[derive(Debug)]
struct Text<'a>(Cow<'a, str>);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.len() <= LONGEST_VALUE {
            return serializer.serialize_str(&self.0);
        }
        let end = self.0.floor_char_boundary(LONGEST_VALUE);
        serializer.serialize_str(&format!("{}…", &self.0[..end]))
    }
}

impl<'a> Record<'a> {
    pub(super) fn new(event: &'static str, outcome: &'static str) -> Self {
        Self { event, outcome, ..Self::default() }
    }

    pub(super) fn reason(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub(super) fn subject(self, user: &'a UserId) -> Self {
        self.maybe(Some(user), None)
    }

    pub(super) fn maybe(self, user: Option<&'a UserId>, client: Option<&'a ClientId>) -> Self {
        Self {
            subject: user.map(|user| Text(user.as_str().into())),
            oauth_client_id: client.map(|client| Text(client.as_str().into())),
            ..self
        }
    }

    pub(super) fn grant(self, grant: Option<&'a GrantId>) -> Self {
        Self { grant: grant.map(|grant| Text(grant.as_str().into())), ..self }
    }

    pub(super) fn scopes(self, scopes: &ScopeSet) -> Self {
        Self { scopes: Some(Text(scopes.to_string().into())), ..self }
    }

    pub(super) fn of_grant(self, grant: &'a Grant) -> Self {
        self.maybe(Some(&grant.user), Some(&grant.client_id)).grant(Some(&grant.id)).scopes(&grant.scopes)
    }

    pub(super) fn maybe_holder(self, holder: Option<&'a Principal>) -> Self {
        let Some(holder) = holder else { return self };
        self.maybe(holder.user.as_ref(), holder.client_id.as_ref()).grant(holder.grant.as_ref())
    }

    pub(super) fn provider(self, at: Option<&'a ProviderName>) -> Self {
        Self { provider: at.map(|name| Text(name.as_str().into())), ..self }
    }

    pub(super) fn key(self, key_id: &'a str) -> Self {
        Self { key_id: Some(Text(key_id.into())), ..self }
    }

    fn print(&self) -> String {
        let json = serde_json::to_string(self).expect("a record of texts and numbers is always JSON");
        let mut line = String::with_capacity(json.len() + 1);
        for character in json.chars() {
            if is_invisible(character) { escape(character, &mut line) } else { line.push(character) }
        }
        line.push('\n');
        line
    }
}

/// RFC 8259 §7: beyond the Basic Multilingual Plane, as two surrogates.
fn escape(character: char, line: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        write!(line, "\\u{unit:04x}").expect("a string takes everything");
    }
}

/// The line of a record, its line break included. `withheld`: how many like it are in no line.
pub(super) fn of(record: Record<'_>, origin: &Origin, now: Timestamp, withheld: u64) -> String {
    let origin = origin.parts();
    Record {
        ts: now.rfc3339(),
        request_id: origin.request,
        address: origin.address,
        operator_uid: origin.uid,
        count: Some(withheld).filter(|count| *count > 0),
        ..record
    }
    .print()
}

/// The line that says how many lines could not be written before it.
pub(super) fn of_lost(count: u64, now: Timestamp) -> String {
    Record { ts: now.rfc3339(), count: Some(count), ..Record::new("audit", "lost").reason("could_not_be_written") }
        .print()
}

/// The line that says how many refusals of a kind were withheld, from wherever, when none like them comes to say so itself.
pub(super) fn of_withheld((event, reason): Kind, count: u64, now: Timestamp) -> String {
    Record { ts: now.rfc3339(), count: Some(count), ..Record::new(event, "withheld").reason(reason) }.print()
}
