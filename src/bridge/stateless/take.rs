//! One POST of the stateless era: checked against itself, then served like any other request.

use std::time::Duration;

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::base::patience::{self, within};
use crate::bridge::answer::Held;
use crate::bridge::catalog::ListKind;
use crate::bridge::mailbox::{Event, Reader};
use crate::bridge::post::{self, Begun, Caller};
use crate::bridge::route::{self, Found};
use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::era::Era;
use crate::bridge::stateless::{finish, set};
use crate::bridge::tool_search::Meant;
use crate::bridge::upstream::stateless::state;
use crate::bridge::{Answer, Bridge, EventStream, Pieces, PostRequest, Refusal};
use crate::protocol::mcp::envelope::{self, Envelope};
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::message::{Kind, Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::mirror::Mirror;
use crate::protocol::mcp::param_header;
use crate::protocol::mcp::reply;

/// After this time without an answer a client that takes a stream gets one: only on a stream can it be noticed that the
/// client has left, which cancels the call. Before it, the status code is still to be chosen.
///
/// A client that has closed its connection and one that has only said all it has to say look alike until something is
/// written to them, and the latter is to be answered. So something is written, soon and often ([`LONGEST_SILENCE`]): what
/// is closed answers that with a reset, at the latest when the next is written. To a client that takes JSON alone nothing
/// can be written before its answer, so a call of one goes on until the connection is reset or the answer is there.
/// Rejected: to take the end of reading for the end of the client, which would leave half-closed ones without an answer.
const STREAM_AFTER: Duration = Duration::from_millis(400);
/// So long at most a client that waits for an answer on a stream hears nothing: MCP-21 has an upstream hear within a second
/// that the client has left, and it may take two comments to find out.
const LONGEST_SILENCE: Duration = Duration::from_millis(400);
// Security catalogue, MCP-21: an upstream hears within a second that its client has left.
const _: () = assert!(
    STREAM_AFTER.as_millis() + patience::TICK.as_millis() + LONGEST_SILENCE.as_millis() < 1000
        && 2 * LONGEST_SILENCE.as_millis() < 1000
);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::time("silence on the stream of a call (2026-07-28)", LONGEST_SILENCE, "a comment is sent")];

impl Bridge {
    pub(in crate::bridge) async fn take_stateless(
        &self,
        caller: &mut Caller,
        request: &PostRequest<'_>,
        message: &Message,
    ) -> Result<Answer, Refusal> {
        let (method, params) = match message.kind() {
            Kind::Request { method, params, .. } => (method, params),
            Kind::Notification { method, params } => {
                check_notification(request, message, (method, params)).map_err(|fault| refused(&fault, message))?;
                // MCP 2026-07-28, Sending Messages: this version defines no notification that a client would send here.
                return Ok(Answer::Accepted);
            }
            Kind::Answer { .. } => return Ok(Answer::Accepted),
        };
        let envelope = check(request, message, (method, params)).map_err(|fault| refused(&fault, message))?;
        caller.era = Era::Stateless(envelope);
        if is_removed(method) {
            let text = format!("Method not found: {}", method.as_str());
            return Err(Refusal::UnknownMethod { body: post::error(message, reply::METHOD_NOT_FOUND, &text) });
        }
        let meant = self.meant(message);
        caller.is_carried = matches!(meant, Meant::Carried(_));
        let message = match meant.message() {
            Ok(message) => message,
            Err(body) => return self.finished(caller, method, body),
        };
        let Kind::Request { params, .. } = message.kind() else { return Ok(Answer::Accepted) };
        self.equip(caller, &[message]).await?;
        if matches!(meant, Meant::Itself(_)) && !request.mirror.params.is_empty() {
            caller.param_fields = Some(request.mirror.readable_params().collect());
        }
        let caller = &*caller;
        let mut found = self.permit(caller, message).await?;
        // What is carried has no header fields: those are of the tool that carries it.
        if *method == Method::ToolsCall && matches!(meant, Meant::Itself(_)) {
            let checked = self.check_params(caller, &request.mirror, message, &mut found).await;
            checked.map_err(|fault| refused(&fault, message))?;
        }
        let begun = match method {
            Method::Discover => Begun::Answered(Box::pin(self.discover(caller, message)).await),
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
                if let Some(state) = set(message, params, Param::RequestState)
                    && !message.string(state).is_some_and(|state| state::is_sealed(&state)) =>
            {
                Box::pin(self.resume(caller, message, (envelope, params, state))).await
            }
            Method::Listen => return Box::pin(self.listen_to_changes(caller, message, params)).await,
            _ => self.begin(caller, message, found).await?,
        };
        match begun {
            Begun::Answered(body) => self.finished(caller, method, body),
            Begun::Attended(reader, attendance) => attend(caller, message, reader, attendance).await,
            Begun::Waiting(_) => Ok(post::finished(caller, post::unanswered(message))),
        }
    }

    /// An answer of the bridge's own, made one of this era.
    fn finished(&self, caller: &Caller, method: &Method, body: Bytes) -> Result<Answer, Refusal> {
        let (body, code) = finish::own(body, &self.identity(&caller.own), method);
        match refusal(code) {
            Some(refusal) => Err(refusal(body)),
            None => Ok(post::finished(caller, body)),
        }
    }

    /// MCP 2026-07-28, Server Behavior for Custom Headers: what the tool's schema names, and nothing else, is checked.
    async fn check_params<'a>(
        &self,
        caller: &'a Caller,
        mirror: &Mirror<'_>,
        message: &Message,
        found: &mut Option<Found<'a>>,
    ) -> Result<(), Fault> {
        let Kind::Request { params, .. } = message.kind() else { return Ok(()) };
        // It may be a tool of an only upstream that came since the list was read. It stays permitted: where such a one answers for what
        // it does not list, there are no rules.
        if !mirror.params.is_empty()
            && found.as_ref().is_some_and(|found| found.listed.is_none())
            && let Some(shown) = params.get(Param::Name).and_then(|at| message.string(at))
        {
            Box::pin(self.learn(&caller.own, ListKind::Tools, &shown)).await;
            *found = route::by_name(&caller.own, ListKind::Tools, &shown);
        }
        let Some(headers) = found.as_ref().and_then(Found::headers) else { return Ok(()) };
        param_header::check(headers, mirror, params.get(Param::Arguments).map(|at| message.json(at)))
    }
}

/// Checks a request against what it says of itself, in body and header.
fn check(
    request: &PostRequest<'_>,
    message: &Message,
    (method, params): (&Method, &Params),
) -> Result<Envelope, Fault> {
    let envelope = Envelope::read(message, params, request.protocol_version)?;
    request.mirror.check_method(method.as_str())?;
    let named = match method {
        Method::ToolsCall | Method::PromptsGet => Param::Name,
        Method::ResourcesRead => Param::Uri,
        _ => return Ok(envelope),
    };
    let name = params.get(named).and_then(|at| message.string(at));
    request.mirror.check_name(name.as_deref())?;
    Ok(envelope)
}

/// The same for a notification, which has no more to say than its version.
fn check_notification(
    request: &PostRequest<'_>,
    message: &Message,
    (method, params): (&Method, &Params),
) -> Result<(), Fault> {
    if let Some(version) = params.meta().protocol_version {
        envelope::check_version(message, version, request.protocol_version)?;
    }
    request.mirror.check_method(method.as_str())
}

/// MCP 2026-07-28, Key Changes: what this version removed, and what only ever went the other way.
const fn is_removed(method: &Method) -> bool {
    matches!(
        method,
        Method::Initialize
            | Method::Ping
            | Method::LoggingSetLevel
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::CreateMessage
            | Method::Elicit
            | Method::RootsList
    )
}

async fn attend(
    caller: &Caller,
    message: &Message,
    mut reader: Reader,
    mut attendance: Attendance,
) -> Result<Answer, Refusal> {
    let first = match (caller.accepts_json, caller.accepts_stream) {
        (true, false) => loop {
            // It takes one message: the answer.
            match attendance.next(&mut reader).await {
                Some(Event::Related(_) | Event::Delayed) => {}
                last => break last,
            }
        },
        _ => within(STREAM_AFTER, attendance.next(&mut reader)).await.unwrap_or(Some(Event::Delayed)),
    };
    attendance.leave_work();
    match first {
        Some(Event::Delayed) => Ok(stream(None, message, reader, attendance)),
        Some(Event::Related(first)) => Ok(stream(Some(first), message, reader, attendance)),
        Some(Event::Passing(passage)) if caller.accepts_json => {
            Ok(Answer::Pieces(Pieces::new(passage, Some(Held::Attendance(attendance)))))
        }
        Some(Event::Passing(passage)) => Ok(attended(EventStream::of_passage(passage, reader), attendance)),
        Some(Event::Last(body)) => {
            attendance.answered();
            match refusal(reader.code()) {
                Some(refusal) => Err(refusal(reader.counted(body))),
                None if caller.accepts_json => Ok(post::finished(caller, reader.counted(body))),
                None => Ok(Answer::Stream { events: EventStream::of_call(Some(body), reader), session_id: None }),
            }
        }
        None => Ok(post::finished(caller, post::unanswered(message))),
    }
}

fn stream(first: Option<Bytes>, message: &Message, reader: Reader, attendance: Attendance) -> Answer {
    attended(EventStream::of_call(first, reader).answering(message.id_or_null()), attendance)
}

fn attended(events: EventStream, attendance: Attendance) -> Answer {
    let events = events.holding(Some(Held::Attendance(attendance))).never_silent_for(LONGEST_SILENCE);
    Answer::Stream { events, session_id: None }
}

fn refused(fault: &Fault, message: &Message) -> Refusal {
    Refusal::Malformed { body: fault.body(message.id_or_null()) }
}

/// The status that goes with an error code, where it is another than 200.
fn refusal(code: Option<i32>) -> Option<fn(Bytes) -> Refusal> {
    match code? {
        // MCP 2026-07-28, Protocol Version Header: a method that is not implemented is 404.
        reply::METHOD_NOT_FOUND => Some(|body| Refusal::UnknownMethod { body }),
        // MCP 2026-07-28, Per-request protocol fields, Server Validation: on HTTP the status MUST be 400.
        reply::MISSING_CAPABILITY | reply::HEADER_MISMATCH | reply::UNSUPPORTED_VERSION => {
            Some(|body| Refusal::Malformed { body })
        }
        _ => None,
    }
}
