//! What an upstream wants to know before it goes on, asked of a session's client as its era does it: by requests.
//! [MCP 2026-07-28, Multi Round-Trip Requests](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr)
//!
//! `input_required` → the call stays, under a new id → its client is asked → all answered → the request is sent again with
//! the answers, under that id. A client that refuses, or is silent for too long, ends the call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::base::limit::Limit;
use crate::bridge::mailbox::Item;
use crate::bridge::session::{Asked, Session};
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::inbound::{self, MAX_DEPTH};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stateless::answer;
use crate::bridge::upstream::stateless::dress::Added;
use crate::protocol::mcp::message::{Kind, Message};
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{self, Edit, Span};

/// How long a client may take to answer: a person has to read.
const LIFETIME: Duration = Duration::from_secs(600);
/// How often one call may ask.
const MAX_ROUNDS: u32 = 20;
/// How much it may ask at once.
const MAX_QUESTIONS: usize = 32;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::time("answer of a client to a stateless upstream's questions", LIFETIME, "the call fails"),
    Limit::count("rounds of questions of one call of a stateless upstream", MAX_ROUNDS as usize, "the call fails"),
    Limit::count("questions of one round", MAX_QUESTIONS, "the call fails"),
];

/// One round of questions for one call.
#[derive(Debug)]
pub struct Inquiry {
    link: Weak<Link>,
    session: Weak<Session>,
    /// The call's id on the link, under which nothing was sent yet.
    id: u64,
    /// `requestState`, JSON.
    state: Option<String>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The keys of what is not answered yet, by our ids of the questions.
    waiting: BTreeMap<u64, String>,
    /// Members of `inputResponses`, JSON.
    answers: Vec<String>,
}

/// A question: our id of it, its key, and the request to the client.
type Question = (u64, String, Bytes);

/// Puts what the result at `result` asks for to the client of the call `number`.
pub fn begin(link: &Arc<Link>, number: u64, session: &Arc<Session>, (message, result): (&Message, Span)) {
    let read = read(link, session, message.json(result));
    let (questions, state) = match read {
        Ok(read) => read,
        Err(text) => return answer::fail(link, number, &text),
    };
    // From here on a late second answer to what was sent finds nobody.
    let Some((id, call)) = link.renumber(number) else { return };
    if call.onward.sent.is_none() {
        return answer::fail(link, id, "The MCP server asks for more where nobody can be asked");
    }
    if call.onward.count_round() > MAX_ROUNDS {
        return answer::fail(link, id, "The MCP server asks again and again");
    }
    let waiting = questions.iter().map(|(ask, key, _)| (*ask, key.clone())).collect();
    let progress = Mutex::new(Progress { waiting, answers: Vec::new() });
    let (weak_link, weak_session) = (Arc::downgrade(link), Arc::downgrade(session));
    let inquiry = Arc::new(Inquiry { link: weak_link, session: weak_session, id, state, progress });
    call.onward.begin(Arc::clone(&inquiry));
    call.wait_at_most(link.now(), LIFETIME);
    if questions.is_empty() {
        // MCP 2026-07-28, Client Requirements: without questions it may be sent again at once.
        let link = Arc::clone(link);
        link.hub.runtime.clone().spawn(async move { inquiry.send_again(&link).await });
        return;
    }
    if ask(&inquiry, session, &call, questions).is_err() {
        answer::fail(link, id, "The client does not take requests at the moment");
    }
}

fn ask(inquiry: &Arc<Inquiry>, session: &Session, call: &Call, questions: Vec<Question>) -> Result<(), ()> {
    // All are noted before the first is put: its answer may come at once.
    for (ask, ..) in &questions {
        session.ask(*ask, Asked::Inquiry(Arc::clone(inquiry))).map_err(drop)?;
    }
    for (_, _, text) in questions {
        call.deliver(Item::Request(text)).map_err(drop)?;
    }
    Ok(())
}

/// Reads an `input_required` result: the questions, ready to be put, and the state, JSON.
fn read(link: &Link, session: &Session, result: &str) -> Result<(Vec<Question>, Option<String>), String> {
    let unclear = |_| "The MCP server asks for more in a form that cannot be read".to_owned();
    let [requests, state] = object::members(result, &["inputRequests", "requestState"])
        .map_err(unclear)?
        .map(|value| value.filter(|value| *value != "null"));
    let entries = requests.map_or(Ok(Vec::new()), |requests| object::entries(requests)).map_err(unclear)?;
    if entries.len() > MAX_QUESTIONS || (entries.is_empty() && state.is_none()) {
        return Err("The MCP server asks for nothing, or too much at once".to_owned());
    }
    let mut questions = Vec::with_capacity(entries.len());
    for (key, request) in entries {
        let ask = link.hub.next_ask();
        let [method, params] = object::members(request, &["method", "params"]).map_err(unclear)?;
        let params = params.map_or_else(String::new, |params| format!(r#","params":{params}"#));
        let method = method.unwrap_or("null");
        let text = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{ask},"method":{method}{params}}}"#));
        let question = Message::parse_within(text, MAX_DEPTH)
            .map_err(|_| "The MCP server asks for more in a form that cannot be read".to_owned())?;
        let Kind::Request { method, params, .. } = question.kind() else { continue };
        // MCP 2026-07-28, Server Requirements: never what the client did not declare; and it is not asked for it.
        if !inbound::can(session, &question, method, params) {
            return Err(format!("The MCP server needs {} of the client, which did not declare it", method.as_str()));
        }
        // Of what is no request of the upstream's no progress can be told: under a number of ours, it is told to nobody.
        let number = ask.to_string();
        let mut token: Vec<Edit<'_>> =
            params.wanted_progress().map(|at| Edit { at, with: number.as_bytes() }).into_iter().collect();
        questions.push((ask, key.into_owned(), question.rewritten(&mut token)));
    }
    Ok((questions, state.map(str::to_owned)))
}

impl Inquiry {
    /// Takes the client's answer to the question `ask`.
    pub async fn answered(&self, ask: u64, message: &Message) {
        let Some(link) = self.link.upgrade() else { return };
        let Kind::Answer { result: Some(result), .. } = message.kind() else {
            let text = format!("The client refused what the MCP server asked: {}", refusal(message));
            return answer::fail(&link, self.id, &text);
        };
        let is_complete = {
            let mut progress = self.lock();
            if let Some(key) = progress.waiting.remove(&ask) {
                progress.answers.push(format!("{}:{}", Value::from(key), message.json(*result)));
            }
            progress.waiting.is_empty()
        };
        if is_complete {
            self.send_again(&link).await;
        }
    }

    /// Takes back what is not answered yet.
    pub fn withdraw(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        let Some(session) = self.session.upgrade() else { return };
        for ask in waiting.into_keys() {
            if session.take_asked(ask).is_some() {
                let params = format!(r#"{{"requestId":{ask},"reason":"The request that this belongs to is over"}}"#);
                // A client that cannot be told will find its answer unwanted.
                let _full = session
                    .mailbox
                    .push(Item::Notification(reply::notification("notifications/cancelled", Some(&params))));
            }
        }
    }

    async fn send_again(&self, link: &Arc<Link>) {
        let Some(call) = link.calls.find(self.id) else { return };
        let Some(text) = call.onward.sent.clone().and_then(|sent| self.request(sent)) else {
            return answer::fail(link, self.id, "The request cannot be sent again");
        };
        drop(call.onward.take());
        if let Err(fault) = link.send_again(self.id, &call, text).await {
            answer::fail(link, self.id, &format!("The client's answer could not be passed on: {fault}"));
        }
    }

    /// The request as it was sent first, under the new id, with what its client answered.
    fn request(&self, sent: Bytes) -> Option<Bytes> {
        let message = Message::parse_within(sent, MAX_DEPTH).ok()?;
        let Kind::Request { id, params, .. } = message.kind() else { return None };
        let number = self.id.to_string();
        let mut edits = vec![Edit { at: *id, with: number.as_bytes() }];
        edits.extend(params.wanted_progress().map(|at| Edit { at, with: number.as_bytes() }));
        let mut members: Vec<String> = Vec::new();
        let answers = std::mem::take(&mut self.lock().answers);
        if !answers.is_empty() {
            members.push(format!(r#""inputResponses":{{{}}}"#, answers.join(",")));
        }
        // MCP 2026-07-28, Client Requirements: exactly as it came, and none where none came.
        members.extend(self.state.iter().map(|state| format!(r#""requestState":{state}"#)));
        // The envelope is in the params already.
        let added = Added::last_in(params.whole()?, members.is_empty(), &members.join(","));
        edits.push(added.edit());
        let text = message.rewritten(&mut edits);
        Some(splice::splice(&text, &mut [], true))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(message: &Message) -> String {
    let error = object::members(message.text(), &["error"]).ok().and_then(|[error]| error);
    let text = error.and_then(|error| object::members(error, &["message"]).ok()).and_then(|[text]| text);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
