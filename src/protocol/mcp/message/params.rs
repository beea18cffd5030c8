//! What stands where in `params`, as far as the bridge reads it.

use crate::protocol::mcp::message::request_meta::{self, Meta};
use crate::protocol::mcp::message::{MessageFault, kept};
use crate::protocol::mcp::object::{self, Names, ObjectFault};
use crate::protocol::mcp::reply;
use crate::protocol::mcp::scan::{Scan, ScanFault};
use crate::protocol::mcp::splice::Span;

/// A member of `params` that the bridge reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the member of its name")]
pub enum Param {
    Name,
    Uri,
    Meta,
    Ref,
    RequestId,
    ProgressToken,
    Cursor,
    Level,
    ProtocolVersion,
    Capabilities,
    Arguments,
    Mode,
    Notifications,
    RequestState,
    InputResponses,
    ClientInfo,
}

pub(super) const PARAMS: [&str; 16] = [
    "name",
    "uri",
    "_meta",
    "ref",
    "requestId",
    "progressToken",
    "cursor",
    "level",
    "protocolVersion",
    "capabilities",
    "arguments",
    "mode",
    "notifications",
    "requestState",
    "inputResponses",
    "clientInfo",
];

const META_AT: usize = Param::Meta as usize;
const REFERENCE_AT: usize = Param::Ref as usize;
const REFERENCE: [&str; 3] = ["name", "uri", "type"];

/// Where the members of `params` stand.
#[derive(Clone, Debug, Default)]
pub struct Params {
    whole: Option<Span>,
    members: [Option<Span>; PARAMS.len()],
    meta: Meta,
    reference: Reference,
    nulls: Nulls,
}

/// Where `null` stands in place of an object: it says no more than nothing would, but is in the way of what is added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nulls {
    /// In place of `params`.
    pub params: Option<Span>,
    /// In place of `params._meta`.
    pub meta: Option<Span>,
}

/// The members of `params.ref` of `completion/complete`.
#[derive(Clone, Copy, Debug, Default)]
struct Reference {
    name: Option<Span>,
    uri: Option<Span>,
}

impl Params {
    /// The place of all of it.
    #[must_use]
    pub const fn whole(&self) -> Option<Span> {
        self.whole
    }

    /// The place of a member's value.
    #[must_use]
    pub fn get(&self, param: Param) -> Option<Span> {
        self.members.get(param as usize).copied().flatten()
    }

    /// The place of `_meta.progressToken`.
    #[must_use]
    pub const fn wanted_progress(&self) -> Option<Span> {
        self.meta.progress_token
    }

    /// The places of what `_meta` says of the request itself.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Where `null` stands in place of what reads as absent.
    #[must_use]
    pub const fn nulls(&self) -> &Nulls {
        &self.nulls
    }

    /// The place of `ref.name`.
    #[must_use]
    pub const fn reference_name(&self) -> Option<Span> {
        self.reference.name
    }

    /// The place of `ref.uri`.
    #[must_use]
    pub const fn reference_uri(&self) -> Option<Span> {
        self.reference.uri
    }

    /// Reads what comes next as `params`; gives its place, and what is in it or what is wrong with that.
    pub(super) fn read(scan: &mut Scan<'_>) -> Result<(Span, Result<Self, MessageFault>), ScanFault> {
        if !scan.is_at_object() {
            let at = scan.value()?;
            // Clients and servers that write out all members of a structure write those that are not set as null. Nobody acts on
            // one: what may be absent reads as absent, and what is needed is missed.
            let nulls = Nulls { params: Some(at), meta: None };
            let read = if is_null(scan, at) { Ok(Self { nulls, ..Self::default() }) } else { Err(not_an_object()) };
            return Ok((at, read));
        }
        let mut names = Names::new(&PARAMS);
        let (mut meta, mut reference) = (Ok(Meta::default()), Ok([None; REFERENCE.len()]));
        let whole = scan.object(|scan, name| {
            let which = names.which(name);
            let at = match which {
                Some(META_AT) => kept(request_meta::read(scan)?, &mut meta),
                Some(REFERENCE_AT) => kept(object::part(scan, &REFERENCE)?, &mut reference),
                _ => scan.value()?,
            };
            names.note(which, at);
            Ok(())
        })?;
        let read = names.places().map_err(|fault| MessageFault::object(&fault));
        let read = read.and_then(|members| Self::of(scan, (whole, members), meta, reference));
        Ok((whole, read))
    }

    fn of(
        scan: &Scan<'_>,
        (whole, mut members): (Span, [Option<Span>; PARAMS.len()]),
        meta: Result<Meta, ObjectFault>,
        reference: Result<[Option<Span>; REFERENCE.len()], ObjectFault>,
    ) -> Result<Self, MessageFault> {
        let fault = |fault: ObjectFault| match fault {
            ObjectFault::NotAnObject(_) => not_an_object(),
            other => MessageFault::object(&other),
        };
        let mut nulls = Nulls::default();
        for param in [Param::Meta, Param::Cursor, Param::Arguments] {
            let null = members.get_mut(param as usize).and_then(|at| at.take_if(|at| is_null(scan, *at)));
            if param == Param::Meta {
                nulls.meta = null;
            }
        }
        let meta = if nulls.meta.is_some() { Meta::default() } else { meta.map_err(fault)? };
        // The type decides nothing here, but may for who is behind us.
        let [name, uri, _] = reference.map_err(fault)?;
        Ok(Self { whole: Some(whole), members, meta, reference: Reference { name, uri }, nulls })
    }
}

fn is_null(scan: &Scan<'_>, at: Span) -> bool {
    scan.json().get(at.range()) == Some("null")
}

fn not_an_object() -> MessageFault {
    MessageFault { code: reply::INVALID_PARAMS, ..MessageFault::invalid("params, _meta or ref is not an object") }
}
