//! Requests: who answers them, and under which name.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bridge::access::Needed;
use crate::bridge::answer;
use crate::bridge::catalog::ListKind;
use crate::bridge::mailbox::Mailbox;
use crate::bridge::post::{self, Begun, Caller, RETRY_AFTER};
use crate::bridge::route::{self, Found};
use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::direct::Direct;
use crate::bridge::stateless::era::Era;
use crate::bridge::tool_search::ToolSearch;
use crate::bridge::upstream::call::{Call, Owner};
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::upstream::wire::SendFault;
use crate::bridge::upstream::{State, Upstream};
use crate::bridge::{Bridge, Refusal, merge, stateless, subscribe, tool_search};
use crate::protocol::mcp::envelope::Envelope;
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::param_header::ParamHeader;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{Edit, Span};

impl Bridge {
    /// Checks that the caller may do this. Gives the tool that is called, if there is one: nobody looks for it again, for then it might
    /// be one that was not permitted.
    pub(super) async fn permit<'a>(&self, caller: &'a Caller, message: &Message) -> Result<Option<Found<'a>>, Refusal> {
        let (method, params) = match message.kind() {
            Kind::Request { method, params, .. } | Kind::Notification { method, params } => (method, params),
            // An answer is permitted by the question.
            Kind::Answer { .. } => return Ok(None),
        };
        if *method != Method::ToolsCall {
            return Needed::by_method(method).check(&caller.principal).map(|()| None);
        }
        let Some(name) = params.get(Param::Name).and_then(|at| message.string(at)) else {
            return needed_for_tool(None, "").check(&caller.principal).map(|()| None);
        };
        if self.tool_search.is_some() && !caller.is_carried && name == tool_search::SEARCH {
            return Needed::by_method(&Method::ToolsList).check(&caller.principal).map(|()| None);
        }
        let find = || route::by_name(&caller.own, ListKind::Tools, &name);
        let check = |found: Option<&Found<'_>>| needed_for_tool(found, &name).check(&caller.principal);
        let mut found = find();
        let mut checked = check(found.as_ref());
        // It may be a tool that came since the list was read, or whose upstream was never up.
        if checked.is_err() || found.as_ref().is_none_or(Found::is_uncertain) {
            Box::pin(self.learn(&caller.own, ListKind::Tools, &name)).await;
            found = find();
            checked = check(found.as_ref());
        }
        // What nothing is known of needs no further scope: it is to be asked for again.
        let unknown = || route::never_up(&caller.own, &name).filter(|_| found.is_none());
        match checked {
            Ok(()) => Ok(found),
            Err(refusal) => Err(unknown().map_or(refusal, |upstream| Refusal::down(upstream.name()))),
        }
    }

    /// Reads the tools or prompts again of upstreams that may have this one and do not tell when their list changes.
    pub(super) async fn learn(&self, upstreams: &[Arc<Upstream>], kind: ListKind, shown: &str) {
        // Nothing is known of one whose first try is under way; an early caller would be refused for that alone.
        self.wait_for_first_try(upstreams).await;
        for upstream in upstreams {
            let Some(name) = upstream.view().naming.original(shown) else { continue };
            let is_listed = upstream.catalogue().list(kind).find(name).is_some();
            if is_listed || !upstream.has_list(kind) || upstream.tells_changes(kind) {
                continue;
            }
            if let Some(link) = upstream.link() {
                upstream.freshen_list(&link, kind, Duration::ZERO).await;
            }
        }
    }

    /// Begins a request that was permitted. `found` is the tool that is called.
    pub(super) async fn begin(
        &self,
        caller: &Caller,
        message: &Message,
        found: Option<Found<'_>>,
    ) -> Result<Begun, Refusal> {
        let Kind::Request { id, method, params } = message.kind() else { return Err(Refusal::SessionRequired) };
        let id = message.bytes(*id);
        match method {
            Method::Ping => Ok(Begun::Answered(reply::result(id, b"{}"))),
            Method::ToolsList => self.list(caller, message, ListKind::Tools).await,
            Method::PromptsList => self.list(caller, message, ListKind::Prompts).await,
            Method::ResourcesList => self.list(caller, message, ListKind::Resources).await,
            Method::ResourceTemplatesList => self.list(caller, message, ListKind::Templates).await,
            Method::ToolsCall => self.named(caller, message, (ListKind::Tools, params.get(Param::Name)), found).await,
            Method::PromptsGet => self.named(caller, message, (ListKind::Prompts, params.get(Param::Name)), None).await,
            Method::CompletionComplete => match params.reference_name() {
                Some(at) => self.named(caller, message, (ListKind::Prompts, Some(at)), None).await,
                None => self.resource(caller, message, params.reference_uri()).await,
            },
            Method::ResourcesRead => self.resource(caller, message, params.get(Param::Uri)).await,
            Method::ResourcesSubscribe => Box::pin(self.subscribe(caller, message, params)).await,
            Method::ResourcesUnsubscribe => Box::pin(self.unsubscribe(caller, message, params)).await,
            Method::LoggingSetLevel => Box::pin(self.set_level(caller, message, params)).await,
            Method::Other(name) => self.other(caller, message, name).await,
            _ => Ok(Begun::Answered(unknown_method(message, method.as_str()))),
        }
    }

    async fn list(&self, caller: &Caller, message: &Message, kind: ListKind) -> Result<Begun, Refusal> {
        if kind == ListKind::Tools && self.tool_search.is_some() {
            return Ok(Begun::Answered(reply::result(message.id_or_null(), &ToolSearch::definitions())));
        }
        if let [only] = &*caller.own
            && merge::is_plain(&caller.own, kind)
        {
            return self.forward(caller, message, (only, None), &[]).await;
        }
        let Kind::Request { id, params, .. } = message.kind() else { return Err(Refusal::SessionRequired) };
        if params.get(Param::Cursor).is_some() {
            // A list that was put together is one page, so nobody was given a cursor.
            return Ok(Begun::Answered(post::error(message, reply::INVALID_PARAMS, "Unknown cursor")));
        }
        Box::pin(self.wait_for_first_try(&caller.own)).await;
        Ok(Begun::Answered(reply::result(message.bytes(*id), &Box::pin(merge::list(&caller.own, kind)).await)))
    }

    async fn named(
        &self,
        caller: &Caller,
        message: &Message,
        (kind, at): (ListKind, Option<Span>),
        mut found: Option<Found<'_>>,
    ) -> Result<Begun, Refusal> {
        if self.tool_search.is_some()
            && !caller.is_carried
            && let Some(answer) = Box::pin(self.searched(caller, message)).await
        {
            return Ok(Begun::Answered(answer));
        }
        let thing = if kind == ListKind::Tools { "tool" } else { "prompt" };
        let Some((at, shown)) = at.and_then(|at| Some((at, message.string(at)?))) else {
            let text = format!("The name of the {thing} is not a string");
            return Ok(Begun::Answered(post::error(message, reply::INVALID_PARAMS, &text)));
        };
        if kind == ListKind::Prompts {
            found = route::by_name(&caller.own, kind, &shown);
            if found.is_none() {
                Box::pin(self.learn(&caller.own, kind, &shown)).await;
                found = route::by_name(&caller.own, kind, &shown);
            }
        }
        let Some(found) = found else {
            if let Some(refusal) = caller.own.missing(&shown) {
                return Err(refusal);
            }
            if let Some(upstream) = route::never_up(&caller.own, &shown) {
                return Ok(Begun::Answered(unavailable(message, upstream)));
            }
            let text = format!("Unknown {thing}: {shown}");
            return Ok(Begun::Answered(post::error(message, reply::INVALID_PARAMS, &text)));
        };
        let to = (found.upstream, found.headers().cloned());
        if found.is_plain() {
            return self.forward(caller, message, to, &[]).await;
        }
        let name = Value::from(found.name(&shown)).to_string();
        self.forward(caller, message, to, &[Edit { at, with: name.as_bytes() }]).await
    }

    async fn resource(&self, caller: &Caller, message: &Message, at: Option<Span>) -> Result<Begun, Refusal> {
        match self.upstream_of(caller, message, at).await? {
            Ok((upstream, _)) => self.forward(caller, message, (upstream, None), &[]).await,
            Err(error) => Ok(Begun::Answered(error)),
        }
    }

    /// The upstream whose resource it is, and the URI. The inner `Err` is the answer that says that there is none.
    pub(super) async fn upstream_of<'a>(
        &self,
        caller: &'a Caller,
        message: &Message,
        at: Option<Span>,
    ) -> Result<Result<(&'a Arc<Upstream>, String), Bytes>, Refusal> {
        let Some(uri) = at.and_then(|at| message.string(at)) else {
            return Ok(Err(post::error(message, reply::INVALID_PARAMS, "The URI of the resource is not a string")));
        };
        let own = &caller.own;
        let mut found = route::by_uri(own, &uri);
        if found.is_none() {
            Box::pin(self.wait_for_first_try(own)).await;
            found = route::by_uri(own, &uri).or_else(|| route::by_likeness(own, &uri));
        }
        if found.is_none() {
            Box::pin(merge::freshen_resources(own)).await;
            found = route::by_uri(own, &uri).or_else(|| route::by_likeness(own, &uri));
        }
        match (found, own.missing_resource()) {
            (Some(upstream), None) => Ok(Ok((upstream, uri.into_owned()))),
            // An only one that is there does not answer for those that are not.
            (Some(upstream), Some(_)) if upstream.catalogue().has_resource(&uri) => {
                Ok(Ok((upstream, uri.into_owned())))
            }
            (_, Some(refusal)) => Err(refusal),
            (None, None) => Ok(Err(match own.iter().find(|upstream| upstream.hello().is_none()) {
                Some(upstream) => unavailable(message, upstream),
                None => {
                    // MCP 2025-11-25, Resources, Error Handling.
                    let (data, id) = (json!({"uri": uri}), message.id_or_null());
                    reply::error_with_data(id, reply::RESOURCE_NOT_FOUND, "Resource not found", Some(&data))
                }
            })),
        }
    }

    async fn other(&self, caller: &Caller, message: &Message, method: &str) -> Result<Begun, Refusal> {
        match &*caller.own {
            // A task is found by its id alone, and on a shared connection that may be anybody's.
            [only] if !method.starts_with("tasks/") && !method.starts_with("notifications/") => {
                self.forward(caller, message, (only, None), &[]).await
            }
            _ => Ok(Begun::Answered(unknown_method(message, method))),
        }
    }

    /// Sends a request to an upstream. `repeated` are the arguments of the tool that is called which header fields repeat.
    async fn forward(
        &self,
        caller: &Caller,
        message: &Message,
        (upstream, repeated): (&Arc<Upstream>, Option<Arc<[ParamHeader]>>),
        edits: &[Edit<'_>],
    ) -> Result<Begun, Refusal> {
        let Kind::Request { id, method, params } = message.kind() else { return Err(Refusal::SessionRequired) };
        let mut link = upstream.link();
        if link.is_none() {
            if upstream.state() == State::Starting {
                // Its first try is under way.
                let _slow = Box::pin(tokio::time::timeout(upstream.patience(), upstream.settled())).await;
            }
            link = upstream.link();
        }
        let Some(link) = link else { return Ok(Begun::Answered(unavailable(message, upstream))) };
        let place = self.load.call(&caller.principal, upstream.index)?;
        if let Era::Stateless(Envelope { log_level: Some(level), .. }) = &caller.era {
            Box::pin(subscribe::lower_level(upstream, &link, *level)).await;
        }
        let state = match &caller.era {
            Era::Session(_) => None,
            Era::Stateless(_) => match self.state_for(&caller.principal, &link, message) {
                Ok(state) => state,
                Err(fault) => return Ok(Begun::Answered(fault.body(message.bytes(*id)))),
            },
        };
        let slot = match link.wire().slot().await {
            Ok(slot) => slot,
            Err(fault) => return unsent(fault, message, upstream),
        };
        // From here nothing waits: a caller that goes away leaves either all of it or nothing.
        let (mailbox, reader) = Mailbox::of_call();
        let limit = upstream.settings.timeout.min(self.request_timeout);
        let mut call = Call::new(Bytes::copy_from_slice(message.bytes(*id)), Owner::Nobody, mailbox, limit);
        call.progress_token = token(message, params);
        call.principal = Some(Arc::clone(&caller.principal));
        call.accepts_stream = caller.accepts_stream;
        call.takes_pieces = caller.takes_pieces;
        call.place = Some(place);
        call.onward.repeated = repeated;
        let sent = match &caller.era {
            Era::Session(session) => {
                call.owner = session.as_ref().map_or(Owner::Nobody, |session| Owner::Session(Arc::clone(session)));
                link.send(slot, call, message, edits).map(|_| Begun::Waiting(reader))
            }
            Era::Stateless(envelope) if link.speaks() == Speaks::Stateless => {
                call.owner = Owner::Direct(Direct::new(message, method, *envelope));
                call.onward.param_fields.clone_from(&caller.param_fields);
                let edits = match &state {
                    None => Cow::Borrowed(edits),
                    Some((at, with)) => Cow::Owned([edits, &[Edit { at: *at, with: with.as_bytes() }]].concat()),
                };
                let sent = link.send(slot, call, message, &edits);
                sent.map(|(id, work)| Begun::Attended(reader, Attendance::of_call(link, id).with(work)))
            }
            Era::Stateless(envelope) => {
                let attendance = self.exchange(caller, message, *envelope, (&mut call, &link));
                let edits = [edits, &stateless::for_session_era(message)].concat();
                link.send(slot, call, message, &edits).map(|(_, work)| Begun::Attended(reader, attendance.with(work)))
            }
        };
        sent.or_else(|fault| unsent(fault, message, upstream))
    }
}

fn needed_for_tool<'a>(found: Option<&Found<'a>>, shown: &str) -> Needed<'a> {
    let Some(found) = found else { return Needed::by_tool(None, false) };
    let is_read_only = found.listed.as_ref().is_some_and(|listed| listed.is_read_only);
    Needed::by_tool(found.upstream.settings.tools.get(found.name(shown)), is_read_only)
}

fn unsent(fault: SendFault, message: &Message, upstream: &Upstream) -> Result<Begun, Refusal> {
    match fault {
        SendFault::Busy => Err(Refusal::Busy { retry_after: RETRY_AFTER }),
        SendFault::Lost => Ok(Begun::Answered(unavailable(message, upstream))),
    }
}

fn token(message: &Message, params: &Params) -> Option<Bytes> {
    params.wanted_progress().map(|at| Bytes::copy_from_slice(message.bytes(at)))
}

/// The error for an upstream that is down.
pub(super) fn unavailable(message: &Message, upstream: &Upstream) -> Bytes {
    post::error(message, reply::UNAVAILABLE, &answer::unavailable(upstream.name()))
}

fn unknown_method(message: &Message, method: &str) -> Bytes {
    post::error(message, reply::METHOD_NOT_FOUND, &format!("Method not found: {method}"))
}
