//! Notifications from clients.

use std::sync::{Arc, Weak};

use crate::bridge::post::{Caller, RETRY_AFTER};
use crate::bridge::tenant::Tenant;
use crate::bridge::upstream::Upstream;
use crate::bridge::upstream::inbound;
use crate::bridge::upstream::wire::SendFault;
use crate::bridge::{Bridge, Refusal};
use crate::protocol::mcp::message::{Message, Param, Params};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::splice::Edit;

impl Bridge {
    pub(super) async fn notified(
        &self,
        caller: &Caller,
        message: &Message,
        (method, params): (&Method, &Params),
    ) -> Result<(), Refusal> {
        // Without a session there is nothing that it could be about.
        let Some(session) = caller.session() else { return Ok(()) };
        match method {
            Method::Cancelled => {
                let Some(id) = params.get(Param::RequestId) else { return Ok(()) };
                for link in caller.own.iter().filter_map(|upstream| upstream.link()) {
                    link.cancel(session, message.bytes(id), message);
                }
                Ok(())
            }
            Method::Progress => {
                // Only under a token that this session was given, and only to who wants it, under the one that it gave.
                let Some(at) = params.get(Param::ProgressToken) else { return Ok(()) };
                let asked = inbound::number(message.bytes(at)).and_then(|number| session.wanted_progress(number));
                match asked.and_then(|(link, token)| Some((Weak::upgrade(&link)?, token))) {
                    Some((link, token)) => {
                        let text = message.rewritten(&mut [Edit { at, with: &token }]);
                        link.tell(text).await.or_else(may_be_lost)
                    }
                    None => Ok(()),
                }
            }
            // Other notifications are for the only upstream; among several nobody knows for which.
            Method::Other(_) => match &*caller.own {
                [only] => match only.link() {
                    Some(link) => link.tell(message.rewritten(&mut [])).await.or_else(may_be_lost),
                    None => Ok(()),
                },
                _ => Ok(()),
            },
            // What a client's roots are, a shared connection cannot tell; one of the session's own can.
            Method::RootsChanged => {
                let is_own = |upstream: &&Arc<Upstream>| matches!(upstream.tenant, Tenant::Session { .. });
                for link in caller.own.iter().filter(is_own).filter_map(|upstream| upstream.link()) {
                    link.tell(message.rewritten(&mut [])).await.or_else(may_be_lost)?;
                }
                Ok(())
            }
            // `initialized` is ours to send.
            _ => Ok(()),
        }
    }
}

fn may_be_lost(fault: SendFault) -> Result<(), Refusal> {
    match fault {
        SendFault::Busy => Err(Refusal::Busy { retry_after: RETRY_AFTER }),
        SendFault::Lost => Ok(()),
    }
}
