//! `server/discover`: what `initialize` told, asked for by itself.
//! [MCP 2026-07-28, Discovery](https://modelcontextprotocol.io/specification/2026-07-28/server/discover)

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::bridge::post::Caller;
use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::hello::Hello;
use crate::bridge::upstream::link::Link;
use crate::bridge::{Bridge, merge};
use crate::protocol::mcp::completion::Identity;
use crate::protocol::mcp::message::Message;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::version::ProtocolVersion;

impl Bridge {
    pub(super) async fn discover(&self, caller: &Caller, message: &Message) -> Bytes {
        self.wait_for_first_try(&caller.own).await;
        let versions = Value::from(ProtocolVersion::SUPPORTED.map(ProtocolVersion::as_str).to_vec());
        let capabilities = merge::capabilities(&caller.own);
        let mut result = format!(r#"{{"supportedVersions":{versions},"capabilities":{capabilities}"#);
        if let Some(instructions) = merge::instructions(&caller.own) {
            result.push_str(&format!(r#","instructions":{}"#, Value::from(instructions)));
        }
        result.push('}');
        reply::result(message.id_or_null(), result.as_bytes())
    }

    /// What the bridge says it is: an only upstream speaks for itself.
    pub(in crate::bridge) fn identity(&self, upstreams: &[Arc<Upstream>]) -> Identity {
        let only = match upstreams {
            [only] => only.hello(),
            _ => None,
        };
        only.and_then(|hello| hello.identity()).unwrap_or_else(|| self.own_identity.clone())
    }

    /// The same where the upstream that is asked is connected.
    pub(super) fn identity_over(&self, link: &Link, upstreams: &[Arc<Upstream>]) -> Identity {
        let only = if upstreams.len() == 1 { link.hello.get().and_then(Hello::identity) } else { None };
        only.unwrap_or_else(|| self.own_identity.clone())
    }
}
