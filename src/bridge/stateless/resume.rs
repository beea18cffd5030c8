//! A client comes back with what it was asked.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bridge::Bridge;
use crate::bridge::mailbox::Mailbox;
use crate::bridge::post::{Begun, Caller};
use crate::bridge::stateless::exchange::{Exchange, Resumed, Round};
use crate::bridge::stateless::set;
use crate::protocol::mcp::envelope::Envelope;
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::message::{Message, Param, Params};
use crate::protocol::mcp::object;
use crate::protocol::mcp::splice::Span;

/// The answers that a client brings, by the keys of the questions.
type Answers<'a> = Vec<(Cow<'a, str>, &'a str)>;

impl Bridge {
    /// Goes on with a parked call. `state` is the place of `requestState`.
    pub(super) async fn resume(
        &self,
        caller: &Caller,
        message: &Message,
        (envelope, params, state): (Envelope, &Params, Span),
    ) -> Begun {
        let id = message.id_or_null();
        let answers = match read_answers(message, params) {
            Ok(answers) => answers,
            Err(fault) => return Begun::Answered(fault.body(id)),
        };
        let now = self.hub.clock.now();
        let exchange =
            message.string(state).and_then(|state| self.hub.parked.take(&state, &caller.principal, message, now));
        let Some(exchange) = exchange else {
            return Begun::Answered(Fault::invalid("requestState is not valid, or not any more").body(id));
        };
        let (mailbox, reader) = Mailbox::of_call();
        let token = params.wanted_progress().map(|at| bytes::Bytes::copy_from_slice(message.bytes(at)));
        let round = Round {
            id: bytes::Bytes::copy_from_slice(id),
            progress_token: token,
            mailbox,
            accepts_stream: caller.accepts_stream,
            envelope,
        };
        let find = |key: &str| answers.iter().find(|(name, _)| name == key).map(|(_, answer)| *answer);
        let Resumed { answers, attendance } = exchange.resume(round, find);
        self.go_on(&exchange, answers).await;
        Begun::Attended(reader, attendance)
    }

    async fn go_on(&self, exchange: &Arc<Exchange>, answers: Vec<(bytes::Bytes, bytes::Bytes)>) {
        // Gone: then the call has failed, and says so itself.
        let Some(link) = exchange.link() else { return };
        if exchange.has_questions() {
            // MCP 2026-07-28, Error Handling: what is still missing is asked for again.
            self.hub.parked.park(exchange, self.hub.clock.now());
        } else if let Some(call) = exchange.call() {
            call.resume(link.now());
        }
        for (id, text) in answers {
            drop(link.end_asking(&id));
            if let Err(fault) = link.tell(text).await {
                tracing::warn!(upstream = %link.name, %fault, "a client's answer could not be passed on");
                exchange.release("The client's answer could not be passed on");
            }
        }
    }
}

/// MCP 2026-07-28, Error Handling: `inputResponses` is an object of objects, and may be absent.
fn read_answers<'a>(message: &'a Message, params: &Params) -> Result<Answers<'a>, Fault> {
    let Some(at) = set(message, params, Param::InputResponses) else { return Ok(Vec::new()) };
    let answers =
        object::entries(message.json(at)).map_err(|fault| Fault::invalid(format!("inputResponses: {fault}")))?;
    match answers.iter().find(|(_, answer)| !answer.starts_with('{')) {
        Some((key, _)) => Err(Fault::invalid(format!("inputResponses[{key:?}] is not an object"))),
        None => Ok(answers),
    }
}
