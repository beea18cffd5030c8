//! What stands where in a result, as far as 2026-07-28 gives it a meaning.
//! [MCP 2026-07-28, Responses](https://modelcontextprotocol.io/specification/2026-07-28/basic/index#responses)

use crate::protocol::mcp::meta;
use crate::protocol::mcp::object::{self, Names, ObjectFault};
use crate::protocol::mcp::scan::{Scan, ScanFault};
use crate::protocol::mcp::splice::Span;

const MEMBERS: [&str; 4] = [TYPE, "_meta", "ttlMs", "cacheScope"];
const TYPE: &str = "resultType";
const META_AT: usize = 1;

/// Where the members of a result stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResultParts {
    /// `resultType`.
    pub result_type: Option<Span>,
    /// `_meta`.
    pub meta: Option<Span>,
    /// `ttlMs`.
    pub ttl: Option<Span>,
    /// `cacheScope`.
    pub scope: Option<Span>,
    /// Whether `_meta` is an object that can be read in one way only, and does not say what the server is.
    pub lacks_server_info: bool,
    /// Whether it is an object that can be read in one way only.
    pub is_clear: bool,
    /// Whether some parser could find another `resultType` in it.
    pub is_ambiguous: bool,
}

impl ResultParts {
    /// Reads what comes next as a result; gives its place, and what is in it.
    pub(super) fn read(scan: &mut Scan<'_>) -> Result<(Span, Self), ScanFault> {
        if !scan.is_at_object() {
            return Ok((scan.value()?, Self::default()));
        }
        let mut names = Names::new(&MEMBERS);
        let mut lacks_server_info = false;
        let whole = scan.object(|scan, name| {
            let which = names.which(name);
            let at = if which == Some(META_AT) {
                let (at, own) = object::part(scan, &[meta::SERVER_INFO])?;
                lacks_server_info = own == Ok([None]);
                at
            } else {
                scan.value()?
            };
            names.note(which, at);
            Ok(())
        })?;
        let ([result_type, meta, ttl, scope], fault) = names.end();
        let is_clear = fault.is_none();
        let is_ambiguous = matches!(fault, Some(ObjectFault::Duplicate(_) | ObjectFault::CaseFolded(_, TYPE)));
        Ok((whole, Self { result_type, meta, ttl, scope, lacks_server_info, is_clear, is_ambiguous }))
    }
}
