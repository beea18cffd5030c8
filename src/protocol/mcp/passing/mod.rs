//! An answer on its way through, of which never more than a piece is there: read strictly as it passes, its id replaced, its
//! result completed for clients of 2026-07-28. [JSON-RPC 2.0 §5](https://www.jsonrpc.org/specification#response_object)
//!
//! What is wrong further back is found when the front is gone. So nothing that passed is a whole answer before all of it was
//! read: the last brace is held back until [`Passing::finish`].

mod utf8;
mod walk;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::protocol::mcp::completion::{Has, Identity};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::object;
use crate::protocol::mcp::passing::utf8::Utf8;
use crate::protocol::mcp::passing::walk::{Mark, Walk};

/// How long a name may be that means something, or a value that is looked at.
const MAX_NAME: usize = 1024;
/// How many members the outermost object may have.
const MAX_MEMBERS: usize = 64;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::bytes("name of a member, or id, of an answer that passes as it comes", MAX_NAME, "the call fails"),
    Limit::count("members of an answer that passes as it comes, beside its result", MAX_MEMBERS, "the call fails"),
];

/// The members of an answer that are known, as [`crate::protocol::mcp::message`] has them.
const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "result", "error", "method", "params"];
const RESULT: [&str; 4] = ["resultType", "_meta", "ttlMs", "cacheScope"];

/// Why an answer cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassFault {
    /// Broken.
    #[error("the answer is not JSON")]
    NotJson,
    /// Nested beyond the bound.
    #[error("the answer is nested too deep")]
    TooDeep,
    /// Two parsers could read two answers.
    #[error("the answer has a member twice, or one that differs from a known one only in case")]
    Ambiguous,
    /// No answer to this request with a result.
    #[error("the answer is no result of this request")]
    NotTheResult,
    /// It is no answer, but wants one.
    #[error("the result is of a kind that cannot be passed on")]
    Kind,
}

/// Which kinds of result may pass (`resultType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// The server's version knows no kinds.
    Any,
    /// A result and nothing else.
    Complete,
    /// All but a question: it must be looked at whole.
    NoQuestion,
}

/// What becomes of an answer.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The id it must have, as written.
    pub expected: String,
    /// The id that its receiver knows, as written.
    pub id: Bytes,
    /// Which kinds of result may pass.
    pub kinds: Kinds,
    /// What is added where it is missing: who the server is, which a server of this version says itself, and for a cacheable result that
    /// it is not to be kept.
    pub completed: Option<(Option<Identity>, bool)>,
    /// How deep it may be nested.
    pub max_depth: usize,
}

/// An answer that passes.
#[derive(Debug)]
pub struct Passing {
    terms: Terms,
    walk: Walk,
    utf8: Utf8,
    /// What is read now, to be looked at.
    captured: Option<Vec<u8>>,
    /// The member that is read in the outermost object, in `result` and in its `_meta`.
    names: [Option<&'static str>; 2],
    outer: Vec<String>,
    found: Found,
    has: Has,
    /// What is read now, and does not pass: this stands for it.
    replaced: Option<String>,
    is_over: bool,
}

/// What was seen.
#[derive(Debug, Default)]
struct Found {
    version: bool,
    id: bool,
    result: bool,
    /// `result` has a member that a question has not, or says that it is complete.
    no_question: bool,
    /// `result`, or its `_meta`, has a member at all.
    members: bool,
    in_meta: bool,
    server_info: bool,
    /// What is in `result` is not to be added to.
    is_ambiguous: bool,
}

impl Passing {
    /// Nothing came yet.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        let walk = Walk::new(terms.max_depth);
        let (utf8, found) = (Utf8::new(), Found::new());
        let has = Has { result_type: None, meta: false, ttl: false, scope: false };
        Self {
            terms,
            walk,
            utf8,
            captured: None,
            names: [None; 2],
            outer: Vec::new(),
            found,
            has,
            replaced: None,
            is_over: false,
        }
    }

    /// Whether enough was seen to let the rest follow: it is a result, of a kind that may pass.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        self.found.result && (self.found.no_question || matches!(self.terms.kinds, Kinds::Any))
    }

    /// Takes the next bytes, and writes what becomes of them to `out`.
    ///
    /// # Errors
    /// It cannot go on. What is in `out` is then of no use.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), PassFault> {
        self.utf8.check(piece)?;
        let mut rest = piece;
        while !rest.is_empty() {
            let (used, mark) = self.walk.step(rest)?;
            let (part, after) = rest.split_at(used);
            self.take(part, out)?;
            if let Some(mark) = mark {
                self.mark(mark, out)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes the end to `out`.
    ///
    /// # Errors
    /// It is not the end.
    pub fn finish(&self, out: &mut Vec<u8>) -> Result<(), PassFault> {
        if !self.walk.is_done() || self.utf8.is_within_a_letter() {
            return Err(PassFault::NotJson);
        }
        out.push(b'}');
        Ok(())
    }

    fn take(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), PassFault> {
        if let Some(captured) = &mut self.captured {
            captured.extend_from_slice(part);
            if captured.len() > MAX_NAME {
                if self.walk.depth() == 1 || self.names[1] == Some("resultType") {
                    return Err(PassFault::NotTheResult);
                }
                // A name that long is none that is known.
                self.captured = None;
            }
        }
        let is_id = self.captured.is_some() && self.walk.depth() == 1 && self.names[0] == Some("id");
        if !is_id && !self.is_over && self.replaced.is_none() {
            let from = out.len();
            out.extend_from_slice(part);
            // As everywhere: an event is one line, and between tokens a space is as good.
            out.iter_mut().skip(from).filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        Ok(())
    }

    fn mark(&mut self, mark: Mark, out: &mut Vec<u8>) -> Result<(), PassFault> {
        match (mark, self.walk.depth()) {
            (Mark::Value(first), 0) if first != b'{' => Err(PassFault::NotTheResult),
            (Mark::Name, 1..=3) => {
                self.captured = Some(Vec::new());
                if let Some(name) = self.names.get_mut(self.walk.depth() - 1) {
                    *name = None;
                }
                Ok(())
            }
            (Mark::NameEnd, depth) => match self.captured.take() {
                Some(text) => self.name(depth, &text),
                None => self.unknown(depth),
            },
            (Mark::Value(first), 1) => self.outer_value(first),
            (Mark::Value(first), 2) if self.is_in_result() => self.result_value(first),
            (Mark::ValueEnd, 1 | 2) => match self.captured.take() {
                _ if self.replaced.is_some() => {
                    out.extend(self.replaced.take().unwrap_or_default().into_bytes());
                    Ok(())
                }
                Some(text) => self.value(&text, out),
                None => Ok(()),
            },
            (Mark::Brace, depth) => self.brace(depth, out),
            _ => Ok(()),
        }
    }

    /// Whether what is read now stands in `result`.
    fn is_in_result(&self) -> bool {
        self.names[0] == Some("result")
    }

    fn is_in_meta(&self) -> bool {
        self.is_in_result() && self.names[1] == Some("_meta")
    }

    fn name(&mut self, depth: usize, text: &[u8]) -> Result<(), PassFault> {
        let name: Cow<'_, str> = match std::str::from_utf8(text).map(|text| text.trim_matches('"')) {
            Ok(plain) if !plain.contains('\\') => plain.into(),
            _ => match serde_json::from_slice::<String>(text) {
                Ok(name) => name.into(),
                Err(_) if depth == 1 => return Err(PassFault::NotJson),
                Err(_) => return self.unknown(depth),
            },
        };
        match depth {
            1 => self.outer_name(name.into_owned()),
            2 if self.is_in_result() => self.result_name(&name),
            3 if self.is_in_meta() => {
                self.found.in_meta = true;
                self.found.server_info |= name == meta::SERVER_INFO;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A name that means nothing has ended.
    fn unknown(&mut self, depth: usize) -> Result<(), PassFault> {
        match depth {
            2 if self.is_in_result() => self.result_name("")?,
            3 if self.is_in_meta() => self.found.in_meta = true,
            _ => {}
        }
        Ok(())
    }

    fn outer_name(&mut self, name: String) -> Result<(), PassFault> {
        self.names[0] = ENVELOPE.into_iter().find(|known| *known == name);
        let is_folded = |known: &&str| object::equal_but_for_case(known, &name);
        if self.outer.contains(&name) || self.names[0].is_none() && ENVELOPE.iter().any(is_folded) {
            return Err(PassFault::Ambiguous);
        }
        if self.outer.len() >= MAX_MEMBERS {
            return Err(PassFault::NotTheResult);
        }
        self.outer.push(name);
        Ok(())
    }

    fn result_name(&mut self, name: &str) -> Result<(), PassFault> {
        self.found.members = true;
        self.names[1] = RESULT.into_iter().find(|known| *known == name);
        let seen = match self.names[1] {
            Some("resultType") => self.has.result_type.is_some(),
            Some("_meta") => std::mem::replace(&mut self.has.meta, true),
            Some("ttlMs") => std::mem::replace(&mut self.has.ttl, true),
            Some("cacheScope") => std::mem::replace(&mut self.has.scope, true),
            _ => RESULT.iter().any(|known| object::equal_but_for_case(known, name)),
        };
        // Of two ways to read it one may be a question, which is not to pass for a result.
        let is_kind = object::equal_but_for_case("resultType", name) || self.names[1] == Some("resultType");
        if seen && is_kind && self.terms.kinds != Kinds::Any {
            return Err(PassFault::Ambiguous);
        }
        self.found.is_ambiguous |= seen;
        let may_be_of_question = self.names[1].is_some() || matches!(name, "inputRequests" | "requestState");
        self.found.no_question |= !may_be_of_question;
        Ok(())
    }

    fn outer_value(&mut self, first: u8) -> Result<(), PassFault> {
        match self.names[0] {
            Some("result") if first == b'{' => self.found.result = true,
            Some("jsonrpc" | "id") => self.captured = Some(Vec::new()),
            // Servers that write out all members of a structure write the other one as null.
            Some("error") if first == b'n' => {}
            Some(_) => return Err(PassFault::NotTheResult),
            None => {}
        }
        Ok(())
    }

    fn result_value(&mut self, first: u8) -> Result<(), PassFault> {
        if let Some((Some(identity), _)) = &self.terms.completed {
            let meant = self.names[1].and_then(|name| self.has.meant(name, first == b'{', identity));
            self.replaced = meant.map(str::to_owned);
            return Ok(());
        }
        if self.names[1] == Some("resultType") {
            self.has.result_type = Some(false);
            match first {
                b'"' => self.captured = Some(Vec::new()),
                _ if self.terms.kinds != Kinds::Any => return Err(PassFault::Kind),
                _ => {}
            }
        }
        Ok(())
    }

    /// A value that was to be looked at has ended.
    fn value(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), PassFault> {
        let string = || serde_json::from_slice::<String>(text).unwrap_or_default();
        match (self.walk.depth(), self.names[0]) {
            (1, Some("id")) if text == self.terms.expected.as_bytes() => {
                self.found.id = true;
                out.extend_from_slice(&self.terms.id);
            }
            (1, Some("jsonrpc")) if string() == "2.0" => self.found.version = true,
            (1, _) => return Err(PassFault::NotTheResult),
            _ => {
                let kind = string();
                self.has.result_type = Some(kind == "complete");
                match self.terms.kinds {
                    Kinds::Complete if kind != "complete" => return Err(PassFault::Kind),
                    Kinds::NoQuestion if kind == "input_required" => return Err(PassFault::Kind),
                    _ => self.found.no_question = true,
                }
            }
        }
        Ok(())
    }

    fn brace(&mut self, depth: usize, out: &mut Vec<u8>) -> Result<(), PassFault> {
        if depth == 1 {
            // JSON-RPC 2.0 §4 and §5: all three are required.
            let is_whole = self.found.version && self.found.id && self.found.result;
            self.is_over = true;
            return if is_whole { Ok(()) } else { Err(PassFault::NotTheResult) };
        }
        let Some((identity, is_cacheable)) = self.terms.completed.as_ref().filter(|_| self.is_in_result()) else {
            return Ok(());
        };
        if depth == 3
            && self.is_in_meta()
            && !self.found.server_info
            && let Some(identity) = identity
        {
            let comma = if self.found.in_meta { "," } else { "" };
            out.extend_from_slice(format!("{comma}{}", identity.member()).as_bytes());
            self.found.server_info = true;
        }
        if depth == 2 && (identity.is_some() || !self.found.is_ambiguous) {
            let tail = self.has.lacking(identity.as_ref(), *is_cacheable);
            let tail = if self.found.members { &tail } else { tail.strip_prefix(',').unwrap_or_default() };
            out.extend_from_slice(tail.as_bytes());
        }
        Ok(())
    }
}

impl Found {
    const fn new() -> Self {
        Self {
            version: false,
            id: false,
            result: false,
            no_question: false,
            members: false,
            in_meta: false,
            server_info: false,
            is_ambiguous: false,
        }
    }
}
