//! Which era an upstream speaks: it is asked.
//! [MCP 2026-07-28, Backward Compatibility](https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning#backward-compatibility-with-initialization-based-versions)

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::base::limit::Limit;
use crate::bridge::mailbox::{Event, Mailbox};
use crate::bridge::upstream::call::Call;
use crate::bridge::upstream::hello::{Hello, INITIALIZE, Speaks};
use crate::bridge::upstream::link::Forgotten;
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::stateless::dress::{self, OWN_ENVELOPE};
use crate::bridge::upstream::wire::Wire;
use crate::fetch;
use crate::protocol::mcp::message::{Kind, Message};
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

/// How long an answer to `server/discover` is waited for before `initialize` is sent as well: some servers of the session
/// era answer nothing before it. A child that is still starting is not misjudged for it: its late answer counts, too.
const PATIENCE_STDIO: Duration = Duration::from_secs(1);
/// The same for a server behind a URL, which is running already.
const PATIENCE_HTTP: Duration = Duration::from_secs(5);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::time("wait for a child to say that it is stateless", PATIENCE_STDIO, "initialize is sent as well"),
    Limit::time("wait for a URL to say that it is stateless", PATIENCE_HTTP, "initialize is sent as well"),
];

const DISCOVER: &str = "server/discover";

/// What an upstream is taken for before it has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is known of it.
    Anything,
    /// It was, or is configured to be, of this era.
    Only(Speaks),
}

/// What became of `server/discover`.
enum Found {
    Stateless(Box<Hello>),
    /// Not of the stateless era, as far as can be seen.
    Sessions,
    /// The same, but it has said nothing.
    Silent,
    /// Of the stateless era, but it cannot be used.
    Unusable(String),
}

/// Learns what is at the other end of a connection, and introduces the bridge where that is wanted.
///
/// # Errors
/// In words, why neither era came about.
pub async fn introduce(link: &Arc<Link>, expected: Expected, limit: Duration) -> Result<Hello, String> {
    match (expected, link.wire()) {
        // HTTP+SSE was gone before there was another era.
        (_, Wire::Builtin | Wire::Sse(_)) | (Expected::Only(Speaks::Sessions), _) => initialize(link, limit).await,
        (Expected::Only(Speaks::Stateless), _) => match discover(link, limit).await {
            Found::Stateless(hello) => Ok(*hello),
            Found::Unusable(reason) => Err(reason),
            Found::Sessions | Found::Silent => {
                Err("it did not answer server/discover as a server of 2026-07-28 does".to_owned())
            }
        },
        (Expected::Anything, _) => ask_both(link, limit).await,
    }
}

/// Asks a server that spoke one era whether it speaks the other one now. That it does not answer does not say so.
pub async fn has_changed(link: &Arc<Link>) -> bool {
    let found = discover(link, PATIENCE_HTTP).await;
    match link.speaks() {
        Speaks::Sessions => matches!(found, Found::Stateless(_)),
        Speaks::Stateless => matches!(found, Found::Sessions),
    }
}

/// Whether this is the call that asks.
#[must_use]
pub fn is_asking(call: &Call) -> bool {
    let is_discover =
        |own: &fetch::Own| own.more.iter().any(|(name, value)| *name == dress::METHOD && value == DISCOVER);
    call.is_bridges_own() && call.onward.header.as_ref().is_some_and(is_discover)
}

async fn ask_both(link: &Arc<Link>, limit: Duration) -> Result<Hello, String> {
    let patience = if matches!(link.wire(), Wire::Http(_)) { PATIENCE_HTTP } else { PATIENCE_STDIO };
    let mut discovering = pin!(discover(link, limit));
    let found = match tokio::time::timeout(patience.min(limit), &mut discovering).await {
        Ok(found) => found,
        Err(_) => {
            let mut initializing = pin!(initialize(link, limit));
            tokio::select! {
                found = &mut discovering => match found {
                    Found::Sessions | Found::Silent => return initializing.await,
                    found => found,
                },
                hello = &mut initializing => match hello {
                    Ok(hello) => return Ok(hello),
                    // It refuses `initialize`: then it owes an answer to the other.
                    Err(reason) => match discovering.await {
                        Found::Sessions | Found::Silent => return Err(reason),
                        found => found,
                    },
                },
            }
        }
    };
    match found {
        Found::Stateless(hello) => Ok(*hello),
        Found::Unusable(reason) => Err(reason),
        // MCP 2026-07-28, Backward Compatibility: anything else, whatever its code, is a server of the session era.
        Found::Sessions | Found::Silent => initialize(link, limit).await,
    }
}

async fn initialize(link: &Arc<Link>, limit: Duration) -> Result<Hello, String> {
    let answer = link.ask("initialize", INITIALIZE, limit).await.map_err(|fault| fault.to_string())?;
    let Kind::Answer { result: Some(result), .. } = answer.kind() else { return Err("no result".to_owned()) };
    Hello::read(answer.json(*result))
}

/// Asks again, once, a server that refuses this version and offers it in the same breath: for all it says, it may be
/// starting, or one of several that are being replaced.
async fn discover(link: &Arc<Link>, limit: Duration) -> Found {
    for _ in 0..2 {
        if let Some(found) = discover_once(link, limit).await {
            return found;
        }
    }
    Found::Unusable("it refuses 2026-07-28, and says that it speaks it".to_owned())
}

/// `None` when it is to be asked again.
async fn discover_once(link: &Arc<Link>, limit: Duration) -> Option<Found> {
    let params = format!(r#"{{"_meta":{{{OWN_ENVELOPE}}}}}"#);
    let Ok(question) = Message::parse(Bytes::from(reply::request(0, DISCOVER, &params))) else {
        return Some(Found::Sessions);
    };
    let (mailbox, mut reader) = Mailbox::of_call();
    let mut call = Call::of_bridge(mailbox, limit);
    // Nothing is negotiated yet, so this one request says it all itself.
    let own = [(dress::PROTOCOL_VERSION, ProtocolVersion::STATELESS.as_str()), (dress::METHOD, DISCOVER)];
    let more = own.map(|(name, value)| (name, Bytes::from_static(value.as_bytes()))).into();
    call.onward.header = Some(fetch::Own { place: None, more });
    let Ok(id) = link.request(call, &question, &[]).await else { return Some(Found::Silent) };
    let _forgotten = Forgotten { link, id };
    match tokio::time::timeout(limit, reader.next()).await {
        Ok(Some(Event::Last(answer))) => {
            Message::parse(answer).map_or(Some(Found::Sessions), |answer| judge(&answer, &link.name))
        }
        _ => Some(Found::Silent),
    }
}

/// `None` when it is to be asked again.
fn judge(answer: &Message, name: &str) -> Option<Found> {
    let Kind::Answer { result, .. } = answer.kind() else { return Some(Found::Sessions) };
    let Some(result) = result else { return judge_error(answer) };
    let result = answer.json(*result);
    let versions = object::members(result, &["supportedVersions"]).ok().and_then(|[versions]| versions);
    let versions: Option<Vec<String>> = versions.and_then(|versions| serde_json::from_str(versions).ok());
    Some(match versions {
        Some(versions) if is_among(&versions) => {
            Hello::discovered(result, name).map_or_else(Found::Unusable, |hello| Found::Stateless(Box::new(hello)))
        }
        Some(versions) => another_version(&versions),
        // Some servers answer whatever they are asked.
        None => Found::Sessions,
    })
}

/// MCP 2026-07-28, Backward Compatibility: only errors that this era alone knows speak for it.
fn judge_error(answer: &Message) -> Option<Found> {
    let error = object::members(answer.text(), &["error"]).ok().and_then(|[error]| error);
    let members = error.and_then(|error| object::members(error, &["code", "message", "data"]).ok());
    let Some([Some(code), text, data]) = members else { return Some(Found::Sessions) };
    let supported = || -> Option<Vec<String>> {
        let [supported] = object::members(data?, &["supported"]).ok()?;
        serde_json::from_str(supported?).ok()
    };
    Some(match code.parse() {
        // MCP 2026-07-28, Protocol Version Negotiation: the client tries again with a version that is supported.
        Ok(reply::UNSUPPORTED_VERSION) => match supported() {
            Some(versions) if is_among(&versions) => return None,
            versions => versions.map_or(Found::Sessions, |versions| another_version(&versions)),
        },
        Ok(reply::MISSING_CAPABILITY | reply::HEADER_MISMATCH) => {
            let text = text.unwrap_or_default();
            Found::Unusable(format!("it speaks 2026-07-28, but refused server/discover: {text}"))
        }
        // It may be the bridge's own, for an answer that did not come.
        Ok(reply::UNAVAILABLE) => Found::Silent,
        _ => Found::Sessions,
    })
}

fn is_among(versions: &[String]) -> bool {
    versions.iter().any(|version| version == ProtocolVersion::STATELESS.as_str())
}

/// It has no 2026-07-28 to offer, but these.
fn another_version(versions: &[String]) -> Found {
    match versions.iter().any(|version| ProtocolVersion::known(version).is_some()) {
        true => Found::Sessions,
        false => Found::Unusable(format!("it speaks protocol versions {}", Value::from(versions.to_vec()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answer: &str) -> &'static str {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,{answer}}}"#);
        match judge(&Message::parse(Bytes::from(text)).unwrap(), "up") {
            Some(Found::Stateless(_)) => "stateless",
            Some(Found::Sessions) => "sessions",
            Some(Found::Silent) => "silent",
            Some(Found::Unusable(_)) => "unusable",
            None => "again",
        }
    }

    #[test]
    fn e_9_only_what_this_era_alone_says_speaks_for_it() {
        for (answer, expected) in [
            (r#""result":{"supportedVersions":["2026-07-28"],"capabilities":{}}"#, "stateless"),
            (r#""result":{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{}}"#, "stateless"),
            (r#""result":{"supportedVersions":["2026-07-28"]}"#, "unusable"),
            (r#""result":{"supportedVersions":["2025-11-25"],"capabilities":{}}"#, "sessions"),
            (r#""result":{"supportedVersions":["2099-01-01"],"capabilities":{}}"#, "unusable"),
            (r#""result":{}"#, "sessions"),
            (r#""result":{"tools":[]}"#, "sessions"),
            (
                r#""error":{"code":-32022,"message":"m","data":{"supported":["2099-01-01"],"requested":"x"}}"#,
                "unusable",
            ),
            (
                r#""error":{"code":-32022,"message":"m","data":{"supported":["2025-06-18"],"requested":"x"}}"#,
                "sessions",
            ),
            (r#""error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"],"requested":"x"}}"#, "again"),
            (r#""error":{"code":-32022,"message":"m"}"#, "sessions"),
            (r#""error":{"code":-32021,"message":"m"}"#, "unusable"),
            (r#""error":{"code":-32020,"message":"m"}"#, "unusable"),
            (r#""error":{"code":-32601,"message":"m"}"#, "sessions"),
            (r#""error":{"code":-32602,"message":"m"}"#, "sessions"),
            (r#""error":{"code":-32000,"message":"m"}"#, "silent"),
            (r#""error":{"code":"x","message":"m"}"#, "sessions"),
        ] {
            assert_eq!(found(answer), expected, "{answer}");
        }
    }
}
