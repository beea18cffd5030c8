//! Which session was sent to a web page for an upstream: that it has been there comes later, outside of any call, and says
//! only the upstream's own id of it.
//! [MCP 2025-11-25, Completion Notifications for URL Mode Elicitation](https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#completion-notifications-for-url-mode-elicitation)

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::base::limit::Limit;
use crate::bridge::session::Session;
use crate::protocol::mcp::message::{Kind, Message, Params};
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;

/// How many such pages of one session are known.
const MAX_OF_SESSION: usize = 32;
/// How many of all sessions.
const MAX_OF_ALL: usize = 4096;
/// The longest id of one, in bytes.
const MAX_ID: usize = 256;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::count(
        "elicitations by URL of one session that may complete, at one upstream",
        MAX_OF_SESSION,
        "the oldest is forgotten",
    ),
    Limit::count(
        "elicitations by URL of all sessions that may complete, at one upstream",
        MAX_OF_ALL,
        "the oldest is forgotten",
    ),
    Limit::bytes("id of an elicitation by URL", MAX_ID, "its completion is told to nobody"),
];

/// The elicitations of one connection that may still complete.
#[derive(Debug, Default)]
pub struct Elicited(Mutex<VecDeque<Entry>>);

#[derive(Debug)]
struct Entry {
    id: String,
    /// `None`: of nobody, as two sessions were given one id. That is remembered as long as there is room.
    session: Option<Weak<Session>>,
}

impl Elicited {
    /// Notes the elicitation that a session is asked for with these params.
    pub fn note(&self, session: &Arc<Session>, message: &Message, params: &Params) {
        if let Some(id) = params.whole().and_then(|whole| id_in(message.json(whole))) {
            self.add(session, id);
        }
    }

    /// Notes the elicitations that the answer to a session's call demands.
    pub fn note_demanded(&self, session: &Arc<Session>, answer: &Message) {
        if !matches!(answer.kind(), Kind::Answer { result: None, .. }) {
            return;
        }
        for id in demanded(answer.text()).unwrap_or_default() {
            self.add(session, id);
        }
    }

    /// Takes the session that the elicitation of these params was put to; `None` when that is not known, or it is gone.
    #[must_use]
    pub fn take(&self, message: &Message, params: &Params) -> Option<Arc<Session>> {
        let id = id_in(message.json(params.whole()?))?;
        let mut all = self.lock();
        let at = all.iter().position(|entry| entry.id == id)?;
        all.remove(at)?.session?.upgrade()
    }

    fn add(&self, session: &Arc<Session>, id: String) {
        if id.len() > MAX_ID {
            return;
        }
        let of_it = |entry: &Entry| {
            entry.session.as_ref().is_some_and(|owner| std::ptr::eq(owner.as_ptr(), Arc::as_ptr(session)))
        };
        let is_there = |entry: &Entry| entry.session.as_ref().is_none_or(|owner| owner.strong_count() > 0);
        let mut all = self.lock();
        all.retain(|entry| entry.id == id || is_there(entry));
        if let Some(known) = all.iter_mut().find(|entry| entry.id == id) {
            if !of_it(known) {
                known.session = None;
            }
            return;
        }
        let surplus = if all.iter().filter(|entry| of_it(entry)).count() >= MAX_OF_SESSION {
            all.iter().position(of_it)
        } else {
            (all.len() >= MAX_OF_ALL).then_some(0)
        };
        if let Some(surplus) = surplus {
            drop(all.remove(surplus));
        }
        all.push_back(Entry { id, session: Some(Arc::downgrade(session)) });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id_in(json: &str) -> Option<String> {
    let [id] = object::members(json, &["elicitationId"]).ok()?;
    serde_json::from_str(id?).ok()
}

/// MCP 2025-11-25, URL Elicitation Required Error.
fn demanded(answer: &str) -> Option<Vec<String>> {
    let [error] = object::members(answer, &["error"]).ok()?;
    let [code, data] = object::members(error?, &["code", "data"]).ok()?;
    if code?.parse() != Ok(reply::URL_ELICITATION_REQUIRED) {
        return None;
    }
    let [all] = object::members(data?, &["elicitations"]).ok()?;
    let all: Vec<&serde_json::value::RawValue> = serde_json::from_str(all?).ok()?;
    Some(all.into_iter().filter_map(|one| id_in(one.get())).take(MAX_OF_SESSION).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn taken(elicited: &Elicited, id: &str) -> Option<Arc<Session>> {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"elicitationId":"{id}"}}}}"#);
        let message = Message::parse(Bytes::from(text)).unwrap();
        let Kind::Notification { params, .. } = message.kind() else { panic!() };
        elicited.take(&message, params)
    }

    #[test]
    fn mcp_24_a_session_has_so_many_elicitations_and_takes_none_from_another() {
        let (elicited, one, other) = (Elicited::default(), Session::of_nobody(), Session::of_nobody());
        elicited.add(&other, "theirs".to_owned());
        for number in 0..=MAX_OF_SESSION {
            elicited.add(&one, number.to_string());
        }
        assert!(taken(&elicited, "0").is_none());
        assert!(Arc::ptr_eq(&taken(&elicited, "1").unwrap(), &one));
        assert!(taken(&elicited, "1").is_none(), "once");
        assert!(Arc::ptr_eq(&taken(&elicited, "theirs").unwrap(), &other));
        elicited.add(&one, "x".repeat(MAX_ID + 1));
        assert!(taken(&elicited, &"x".repeat(MAX_ID + 1)).is_none());
    }

    #[test]
    fn mcp_17_an_id_that_two_sessions_were_given_is_nobodys() {
        let (elicited, one, other) = (Elicited::default(), Session::of_nobody(), Session::of_nobody());
        elicited.add(&one, "e".to_owned());
        elicited.add(&other, "e".to_owned());
        elicited.add(&one, "another".to_owned());
        elicited.add(&one, "e".to_owned());
        assert!(taken(&elicited, "e").is_none());
        elicited.add(&one, "f".to_owned());
        drop(one);
        assert!(taken(&elicited, "f").is_none());
    }
}
