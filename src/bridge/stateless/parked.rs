//! Calls whose client was asked something and has to come back with the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::clock::Timestamp;
use crate::base::limit::Limit;
use crate::base::random;
use crate::bridge::stateless::exchange::Exchange;
use crate::bridge::upstream::stateless::state;
use crate::model::principal::Principal;
use crate::protocol::mcp::message::Message;

/// How long a client may take to come back: a person has to read and answer.
const LIFETIME: Duration = Duration::from_secs(600);
/// So long a call may keep others from being asked, where it cannot be told whose question it would be; then it makes way. A
/// person has read a question by then; and who leaves one open holds nobody up for long.
const UNDISTURBED: Duration = Duration::from_secs(60);
/// How many calls of one caller may wait; another one gives the oldest up.
const MAX_PER_CALLER: usize = 32;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::time(
        "call waiting for the client to answer a question",
        LIFETIME,
        "it is cancelled; requestState is refused",
    ),
    Limit::time(
        "such a call in the way of another's question",
        UNDISTURBED,
        "it is cancelled; requestState is refused",
    ),
    Limit::count("calls of one app waiting for such answers", MAX_PER_CALLER, "the oldest is cancelled"),
];

/// All parked calls, by the `requestState` that brings their client back.
///
/// The state is a handle of 192 random bits and nothing else: there is nothing in it to read or to change, and what it
/// stands for (whose it is, for which request, until when, that it was not used yet) is kept here. A sealed document would
/// say the same, and would still have to be looked up here, where the call is.
#[derive(Debug, Default)]
pub struct Parked(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    exchange: Arc<Exchange>,
    until: Timestamp,
    turn: u64,
}

impl Parked {
    /// Puts what an exchange was asked to its client, and keeps the exchange until the client is back.
    pub fn park(&self, exchange: &Arc<Exchange>, now: Timestamp) {
        let mut surplus = None;
        exchange.park(|| {
            let handle = URL_SAFE_NO_PAD.encode(random::bytes::<24>());
            let mut all = self.lock();
            let own = all.iter().filter(|(_, entry)| entry.exchange.principal.is_same_caller(&exchange.principal));
            let (count, oldest) = own.fold((0_usize, None::<(u64, &String)>), |(count, oldest), (key, entry)| {
                (count + 1, Some(oldest.map_or((entry.turn, key), |oldest| oldest.min((entry.turn, key)))))
            });
            let oldest = oldest.filter(|_| count >= MAX_PER_CALLER).map(|(_, key)| key.clone());
            surplus = oldest.and_then(|key| all.remove(&key));
            let turn = all.values().map(|entry| entry.turn + 1).max().unwrap_or_default();
            all.insert(handle.clone(), Entry { exchange: Arc::clone(exchange), until: now + LIFETIME, turn });
            handle
        });
        if let Some(entry) = surplus {
            entry.exchange.release("The client left too many requests unanswered");
        }
    }

    /// Takes the exchange that a client comes back to.
    ///
    /// `None` when the state was changed or used, is somebody else's, is for another request, or came too late. MCP
    /// 2026-07-28, Server Requirements 4 and 5.
    #[must_use]
    pub fn take(&self, state: &str, principal: &Principal, request: &Message, now: Timestamp) -> Option<Arc<Exchange>> {
        let exchange = {
            let all = self.lock();
            let entry = all.get(state).filter(|entry| now < entry.until)?;
            Arc::clone(&entry.exchange)
        };
        // Outside the lock: two requests may be long to compare. Whoever then takes it first has it.
        let is_same = |first: &Message| same(first, request);
        let fits = exchange.principal.is_same_caller(principal) && exchange.request.as_ref().is_some_and(is_same);
        if fits { self.lock().remove(state).map(|entry| entry.exchange) } else { None }
    }

    /// Gives up those of `in_the_way` that were left undisturbed for long enough.
    pub fn make_way(&self, in_the_way: &[Arc<Exchange>], now: Timestamp) {
        let latest = now + (LIFETIME - UNDISTURBED);
        let makes_way = |entry: &mut Entry| {
            entry.until <= latest && in_the_way.iter().any(|exchange| Arc::ptr_eq(exchange, &entry.exchange))
        };
        let over: Vec<Entry> = self.lock().extract_if(|_, entry| makes_way(entry)).map(|(_, entry)| entry).collect();
        for entry in over {
            entry.exchange.release("The client did not come back, and another's question could not be put meanwhile");
        }
    }

    /// Gives up those whose client did not come back in time.
    pub fn sweep(&self, now: Timestamp) {
        let over: Vec<Entry> = self.lock().extract_if(|_, entry| now >= entry.until).map(|(_, entry)| entry).collect();
        for entry in over {
            entry.exchange.release("The client did not come back in time");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two requests ask the same, whatever else they say.
fn same(one: &Message, other: &Message) -> bool {
    let (one, other) = (state::asks(one), state::asks(other));
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_request_is_the_same_but_for_what_comes_with_coming_back() {
        let message = |params: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            Message::parse(Bytes::from(text)).unwrap()
        };
        let first = message(r#"{"name":"t","arguments":{"a":1,"b":2}}"#);
        for again in [
            r#"{"arguments":{"b":2,"a":1},"name":"t","requestState":"x","inputResponses":{},"_meta":{}}"#,
            r#"{"name":"\u0074","arguments":{"a":1,"b":2}}"#,
        ] {
            assert!(same(&first, &message(again)), "{again}");
        }
        for other in [r#"{"name":"u","arguments":{"a":1,"b":2}}"#, r#"{"name":"t","arguments":{"a":1}}"#] {
            assert!(!same(&first, &message(other)), "{other}");
        }
    }
}
