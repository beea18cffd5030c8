//! `requestState` of an upstream, as its client gets it: sealed, so that it comes back only as it went, from whom it went
//! to, with the request it belongs to, and soon.
//! [MCP 2026-07-28, Server Requirements](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr#server-requirements-basic-workflow)
//!
//! To the upstream all clients of the bridge are one, so it cannot tell one's state from another's: that is for the bridge
//! to do. The state itself stays with the client, readable as it would be without a bridge, under a code of ours. Rejected:
//! a handle for a state that is kept here, as parked calls have it. Those must be kept anyhow; this would be a table to be
//! bounded, and a client with many open questions would lose some of them for it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::clock::Timestamp;
use crate::base::random;
use crate::model::principal::Principal;
use crate::protocol::mcp::canonical;
use crate::protocol::mcp::message::{Kind, Message};

/// How long a client may take to come back: a person has to read and answer.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(600);
/// Begins every sealed state; the handles of parked calls have no such letter in them.
const MARK: &str = "u~";

/// The seal. Its key is made at start: a state does not outlive the process, as no parked call does.
pub struct Seal(Hmac<Sha256>);

/// For whom and for what a state is.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Who was given it.
    pub principal: &'a Principal,
    /// The upstream whose it is.
    pub upstream: &'a str,
    /// The request that it belongs to, or that it comes back with.
    pub request: &'a Message,
}

impl Seal {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let key = random::bytes::<32>();
        Self(Hmac::new_from_slice(&key).expect("HMAC takes a key of any length"))
    }

    /// Seals a state; `None` when its request asks nothing that it could be bound to.
    #[must_use]
    pub fn seal(&self, state: &str, binding: Binding<'_>, now: Timestamp) -> Option<String> {
        let until = (now + LIFETIME).unix();
        let code = self.code(state, binding, until)?.finalize().into_bytes();
        Some(format!("{MARK}{until}~{}~{state}", URL_SAFE_NO_PAD.encode(code)))
    }

    /// The state under a seal; `None` when it was changed, is somebody else's or another request's, or came too late.
    #[must_use]
    pub fn open<'s>(&self, sealed: &'s str, binding: Binding<'_>, now: Timestamp) -> Option<&'s str> {
        let (until, rest) = sealed.strip_prefix(MARK)?.split_once('~')?;
        let (code, state) = rest.split_once('~')?;
        let until: i64 = until.parse().ok()?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        self.code(state, binding, until)?.verify_slice(&code).ok()?;
        (now.unix() < until).then_some(state)
    }

    fn code(&self, state: &str, binding: Binding<'_>, until: i64) -> Option<Hmac<Sha256>> {
        let text = |part: Option<String>| part.map_or_else(Vec::new, |part| [b"=", part.as_bytes()].concat());
        let Binding { principal, upstream, request } = binding;
        let parts: [Vec<u8>; 6] = [
            until.to_be_bytes().to_vec(),
            text(principal.user.as_ref().map(ToString::to_string)),
            text(principal.client_id.as_ref().map(ToString::to_string)),
            upstream.as_bytes().to_vec(),
            asks(request)?,
            state.as_bytes().to_vec(),
        ];
        let mut hmac = self.0.clone();
        for part in parts {
            // Each length precedes its part, so that no two lists of parts are encoded alike.
            hmac.update(&(part.len() as u64).to_be_bytes());
            hmac.update(&part);
        }
        Some(hmac)
    }
}

impl Default for Seal {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Whether a `requestState` is a sealed one of an upstream.
#[must_use]
pub fn is_sealed(state: &str) -> bool {
    state.starts_with(MARK)
}

/// What a request asks, whatever else it says: the same for every way to write it, and for no other request. `None` when
/// it asks nothing that could be told from something else.
#[must_use]
pub fn asks(message: &Message) -> Option<Vec<u8>> {
    let Kind::Request { method, params, .. } = message.kind() else { return None };
    let asked = canonical::object(message.json(params.whole()?), &["_meta", "inputResponses", "requestState"])?;
    // No name of a method reaches beyond its line, and no JSON in this form has a line break.
    Some([serde_json::Value::from(method.as_str()).to_string().as_bytes(), b"\n", &asked].concat())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::id::{ClientId, UserId};

    fn request(name: &str) -> Message {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"_meta":{{}},"name":"{name}","arguments":{{"a":1}}}}}}"#
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn c_19_a_state_is_taken_from_whom_it_was_given_to_with_its_request_and_in_time() {
        let person = |name: &str| Principal {
            user: Some(UserId::new(name)),
            client_id: Some(ClientId::new("c")),
            ..Principal::anonymous()
        };
        let (ada, bob, nobody) = (person("ada"), person("bob"), Principal::anonymous());
        let (first, other) = (request("t"), request("u"));
        let seal = Seal::new();
        let at = |seconds| Timestamp::from_unix(seconds);
        let of = |principal, upstream, request| Binding { principal, upstream, request };
        let sealed = seal.seal("st~ate", of(&ada, "up", &first), at(0)).unwrap();
        assert!(is_sealed(&sealed));
        assert_eq!(seal.open(&sealed, of(&ada, "up", &first), at(599)), Some("st~ate"));
        for (binding, now) in [
            (of(&ada, "up", &first), 600),
            (of(&bob, "up", &first), 0),
            (of(&nobody, "up", &first), 0),
            (of(&ada, "down", &first), 0),
            (of(&ada, "up", &other), 0),
        ] {
            assert_eq!(seal.open(&sealed, binding, at(now)), None, "{binding:?}");
        }
        for changed in
            [sealed.replace("u~600", "u~900"), format!("{sealed}x"), "u~600~~st~ate".to_owned(), "st~ate".to_owned()]
        {
            assert_eq!(seal.open(&changed, of(&ada, "up", &first), at(0)), None, "{changed}");
        }
        let again = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"requestState":"s","arguments":{"a":1},"inputResponses":{},"name":"t"}}"#;
        let again = Message::parse(Bytes::from_static(again.as_bytes())).unwrap();
        assert!(seal.open(&sealed, of(&ada, "up", &again), at(0)).is_some(), "the order of members says nothing");
        assert_eq!(Seal::new().open(&sealed, of(&ada, "up", &first), at(0)), None);
    }
}
