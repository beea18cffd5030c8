//! One POST: from bytes to an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::base::patience::within;
use crate::bridge::answer::Held;
use crate::bridge::load::Waiting as Unread;
use crate::bridge::mailbox::{Event, Reader, counted};
use crate::bridge::pool::{Own, Whom};
use crate::bridge::route::Found;
use crate::bridge::session::Session;
use crate::bridge::stateless::attendance::Attendance;
use crate::bridge::stateless::era::{self, Era};
use crate::bridge::tool_search::Meant;
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::stateless::onward::ParamFields;
use crate::bridge::{Answer, Bridge, EventStream, Pieces, PostRequest, Refusal};
use crate::model::principal::Principal;
use crate::protocol::mcp::message::{self, Kind, Message, MessageFault};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::reply;

/// How many messages a batch may hold.
const MAX_BATCH: usize = 50;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("messages in one batch (2025-03-26)", MAX_BATCH, "400")];
/// After this time without an answer a client that takes a stream gets one, on which keep-alives can be sent.
const STREAM_AFTER: Duration = Duration::from_secs(15);
/// The same for a client that is told where a stream begins: from then on it can come back for the answer.
const RESUMABLE_AFTER: Duration = Duration::from_secs(1);
/// For `Retry-After`.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Who sends a request, and what they can take.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub principal: Arc<Principal>,
    pub era: Era,
    pub own: Own,
    pub accepts_stream: bool,
    pub accepts_json: bool,
    /// An answer may come in pieces; not where several are put together.
    pub takes_pieces: bool,
    /// The call was carried by `execute`, and is of a tool of an upstream whatever its name.
    pub is_carried: bool,
    /// `Mcp-Param-…` fields of a request of the stateless era.
    pub param_fields: Option<Arc<ParamFields>>,
}

impl Caller {
    /// The session that the request belongs to.
    pub(super) const fn session(&self) -> Option<&Arc<Session>> {
        match &self.era {
            Era::Session(session) => session.as_ref(),
            Era::Stateless(_) => None,
        }
    }

    /// How long an answer may take before a stream is opened for it.
    fn stream_after(&self) -> Duration {
        let can_resume = self.session().is_some_and(|session| session.version.has_priming());
        if can_resume { RESUMABLE_AFTER } else { STREAM_AFTER }
    }

    /// What comes for a request, as a stream: one that can be taken up again where there is a session.
    fn stream(&self, first: Option<Bytes>, reader: Reader, request: &Message) -> EventStream {
        let Some(session) = self.session() else { return EventStream::of_call(first, reader) };
        let too_large = error(request, reply::UNAVAILABLE, "The answer was too large to be kept until it was fetched");
        match session.streams.follow(reader, first.as_deref(), too_large) {
            Ok(follower) => EventStream::resumable(session, follower),
            Err(reader) => EventStream::of_call(first, reader),
        }
    }
}

/// How far a request has come.
#[derive(Debug)]
pub(super) enum Begun {
    /// It is answered.
    Answered(Bytes),
    /// An upstream has it.
    Waiting(Reader),
    /// The same, for as long as the client stays (the stateless era).
    Attended(Reader, Attendance),
}

impl Bridge {
    pub(super) async fn take(&self, principal: &Arc<Principal>, request: &PostRequest<'_>, body: Bytes) -> Answer {
        let mut caller = Caller {
            principal: Arc::clone(principal),
            era: Era::Session(None),
            own: Own::default(),
            accepts_stream: request.accepts_event_stream,
            accepts_json: request.accepts_json,
            takes_pieces: true,
            is_carried: false,
            param_fields: None,
        };
        // The caller is lent, and what is rare and large is boxed, here and below: every request would be as large.
        if message::is_batch(&body) {
            return Box::pin(self.take_batch(&mut caller, request, &body)).await.unwrap_or_else(Answer::refused);
        }
        let message = &match parse(body) {
            Ok(message) => message,
            Err(refusal) => return Answer::refused(refusal),
        };
        let answer = match check_accepted(request) {
            Err(refusal) => Err(refusal),
            Ok(()) if era::is_stateless(request, message) => self.take_stateless(&mut caller, request, message).await,
            Ok(()) => self.take_of_session(&mut caller, request, message).await,
        };
        // JSON-RPC 2.0 §5: an error bears the id of its request.
        answer.unwrap_or_else(|refusal| Answer::Refused { refusal, id: request_id(message) })
    }

    async fn take_of_session(
        &self,
        caller: &mut Caller,
        request: &PostRequest<'_>,
        message: &Message,
    ) -> Result<Answer, Refusal> {
        if matches!(message.kind(), Kind::Request { method: Method::Initialize, .. }) {
            return Box::pin(self.initialize(caller, message)).await;
        }
        caller.era = self.session_era(&caller.principal, request, message.id_or_null())?;
        self.take_one(caller, message).await
    }

    /// The era of a request that says nothing of the stateless one; `id` is the request's, for the error.
    fn session_era(&self, principal: &Arc<Principal>, request: &PostRequest<'_>, id: &[u8]) -> Result<Era, Refusal> {
        let session = self.session(principal, request.session_id)?;
        era::check_version(request.protocol_version, session.as_deref(), id)?;
        Ok(Era::Session(session))
    }

    /// Gives a caller the upstreams that a message can be about. Those of its own are begun where there is a request for them.
    ///
    /// # Errors
    /// There is none that could serve it.
    pub(super) async fn equip(&self, caller: &mut Caller, messages: &[&Message]) -> Result<(), Refusal> {
        let asks = |message: &&Message| match message.kind() {
            Kind::Request { method, .. } => *method != Method::Ping,
            Kind::Notification { .. } | Kind::Answer { .. } => false,
        };
        let whom = Whom { principal: &caller.principal, session: caller.session() };
        if !messages.iter().any(asks) {
            caller.own = self.pool.there(whom);
            return Ok(());
        }
        caller.own = self.pool.of(whom).await;
        caller.own.nothing().map_or(Ok(()), Err)
    }

    async fn take_one(&self, caller: &mut Caller, message: &Message) -> Result<Answer, Refusal> {
        let meant = self.meant(message);
        caller.is_carried = matches!(meant, Meant::Carried(_));
        let message = match meant.message() {
            Ok(message) => message,
            Err(body) => return Ok(finished(caller, body)),
        };
        self.equip(caller, &[message]).await?;
        let caller = &*caller;
        let found = self.permit(caller, message).await?;
        if !self.is_request(caller, message).await? {
            return Ok(Answer::Accepted);
        }
        let under_way = caller.session().map(Session::begin);
        let mut reader = match self.begin(caller, message, found).await? {
            Begun::Answered(body) => return Ok(finished(caller, body)),
            Begun::Waiting(reader) | Begun::Attended(reader, _) => reader,
        };
        let held = under_way.map(Held::Session);
        let stream = |first, reader, held| {
            let events = caller.stream(first, reader, message).holding(held);
            Ok(Answer::Stream { events, session_id: None })
        };
        if !caller.accepts_json {
            return stream(None, reader, held);
        }
        let first = if caller.accepts_stream {
            within(caller.stream_after(), reader.next()).await.unwrap_or(Some(Event::Delayed))
        } else {
            reader.next().await
        };
        match first {
            Some(Event::Delayed) => stream(None, reader, held),
            Some(Event::Related(message)) => stream(Some(message), reader, held),
            Some(Event::Passing(passage)) => Ok(Answer::Pieces(Pieces::new(passage, held))),
            Some(Event::Last(body)) => Ok(Answer::Message { body: reader.counted(body), session_id: None }),
            None => Ok(Answer::Message { body: unanswered(message), session_id: None }),
        }
    }

    /// 2025-03-26: several messages in one request, answered by one array.
    async fn take_batch(
        &self,
        caller: &mut Caller,
        request: &PostRequest<'_>,
        body: &Bytes,
    ) -> Result<Answer, Refusal> {
        check_accepted(request)?;
        caller.era = self.session_era(&caller.principal, request, reply::NO_ID)?;
        let fault = |fault: MessageFault| Refusal::Malformed { body: fault.body() };
        if !caller.session().is_some_and(|session| session.version.has_batches()) {
            let body = reply::error(
                reply::NO_ID,
                reply::INVALID_REQUEST,
                "One message a request: batches belong to 2025-03-26",
            );
            return Err(Refusal::Malformed { body });
        }
        let messages = message::batch(body, MAX_BATCH).map_err(fault)?;
        let messages: Vec<Message> = messages.into_iter().map(parse).collect::<Result<_, _>>()?;
        let meant: Vec<Meant<'_>> = messages.iter().map(|message| self.meant(message)).collect();
        self.equip(caller, &messages.iter().collect::<Vec<_>>()).await?;
        let itself = Caller { accepts_stream: false, takes_pieces: false, ..caller.clone() };
        let carried = Caller { is_carried: true, ..itself.clone() };
        // What tool search answers itself is answered below.
        let each: Vec<(&Caller, &Message)> = messages
            .iter()
            .zip(&meant)
            .map(|(message, meant)| match meant {
                Meant::Carried(other) => (&carried, &**other),
                Meant::Itself(_) | Meant::Answered(_) => (&itself, message),
            })
            .collect();
        // All are permitted before any is carried out.
        let permits = each.iter().map(|(caller, message)| self.permit(caller, message));
        let permitted = futures_util::future::try_join_all(permits).await?;
        let under_way = caller.session().map(Session::begin);
        let answers = each.iter().zip(permitted).zip(&meant).map(|(((caller, message), found), meant)| async move {
            match meant {
                Meant::Answered(body) => Some((body.clone(), None)),
                _ => self.answer_alone(caller, message, found).await,
            }
        });
        let answers = futures_util::future::join_all(answers).await;
        drop(under_way);
        let (answers, unread): (Vec<Bytes>, Vec<_>) = answers.into_iter().flatten().unzip();
        if answers.is_empty() {
            return Ok(Answer::Accepted);
        }
        let body = Bytes::from([b"[", answers.join(&b","[..]).as_slice(), b"]"].concat());
        let unread = Some(unread).filter(|all| all.iter().any(Option::is_some));
        Ok(match caller.accepts_json {
            true => Answer::Message { body: counted(body, unread), session_id: None },
            false => Answer::Stream { events: EventStream::of_message(&body).counted(unread), session_id: None },
        })
    }

    /// The answer to one message of a batch, and what it is counted with; `None` when it wants none.
    async fn answer_alone(
        &self,
        caller: &Caller,
        message: &Message,
        found: Option<Found<'_>>,
    ) -> Option<(Bytes, Option<Box<Unread>>)> {
        let is_request = match message.kind() {
            // MCP 2025-03-26, Lifecycle: `initialize` MUST NOT be part of a batch.
            Kind::Request { id, method: Method::Initialize, .. } => {
                let text = "initialize cannot be part of a batch";
                return Some((reply::error(message.bytes(*id), reply::INVALID_REQUEST, text), None));
            }
            _ => self.is_request(caller, message).await,
        };
        let begun = match is_request {
            Ok(true) => self.begin(caller, message, found).await,
            Ok(false) => return None,
            Err(refusal) => Err(refusal),
        };
        let own = match begun {
            Ok(Begun::Answered(body)) => body,
            Ok(Begun::Waiting(mut reader) | Begun::Attended(mut reader, _)) => match reader.next().await {
                Some(Event::Last(body)) => return Some((body, reader.take_unread())),
                _ => unanswered(message),
            },
            // JSON-RPC 2.0 §6: nothing answers a notification, nor an answer.
            Err(_) if !matches!(message.kind(), Kind::Request { .. }) => return None,
            Err(_) => error(message, reply::UNAVAILABLE, "This could not be taken at the moment"),
        };
        Some((own, None))
    }

    /// Takes a notification or an answer; true when the message is a request, of which nothing is done yet.
    async fn is_request(&self, caller: &Caller, message: &Message) -> Result<bool, Refusal> {
        match message.kind() {
            Kind::Request { .. } => Ok(true),
            Kind::Notification { method, params } => {
                Box::pin(self.notified(caller, message, (method, params))).await.map(|()| false)
            }
            Kind::Answer { id, .. } => {
                // Only the session that was asked may answer; to any other, the question does not exist.
                let Some((session, id)) = caller.session().zip(*id) else { return Err(Refusal::NotAsked) };
                if Box::pin(inbound::answered(session, message, id)).await { Ok(false) } else { Err(Refusal::NotAsked) }
            }
        }
    }
}

/// An answer of its own, in the form the client takes.
pub(super) fn finished(caller: &Caller, body: Bytes) -> Answer {
    if caller.accepts_json {
        return Answer::Message { body, session_id: None };
    }
    Answer::Stream { events: EventStream::of_message(&body), session_id: None }
}

/// An error for a request.
pub(super) fn error(message: &Message, code: i32, text: &str) -> Bytes {
    match message.kind() {
        Kind::Request { id, .. } => reply::error(message.bytes(*id), code, text),
        _ => reply::error(reply::NO_ID, code, text),
    }
}

pub(super) fn unanswered(message: &Message) -> Bytes {
    error(message, reply::UNAVAILABLE, "The request was not answered")
}

/// MCP 2025-11-25, Sending Messages: the client accepts one of the two forms of an answer.
const fn check_accepted(request: &PostRequest<'_>) -> Result<(), Refusal> {
    if request.accepts_json || request.accepts_event_stream { Ok(()) } else { Err(Refusal::NotAcceptable) }
}

/// The id of a request, as written; `null` for everything else.
fn request_id(message: &Message) -> Bytes {
    match message.kind() {
        Kind::Request { id, .. } => Bytes::copy_from_slice(message.bytes(*id)),
        Kind::Notification { .. } | Kind::Answer { .. } => Bytes::from_static(reply::NO_ID),
    }
}

fn parse(body: Bytes) -> Result<Message, Refusal> {
    let refused = |fault: MessageFault| Refusal::Malformed { body: fault.body() };
    Message::parse(body).and_then(Message::written_plainly).map_err(refused)
}
