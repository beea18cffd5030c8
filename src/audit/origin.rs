//! Where an event comes from: a request, an operator at the command line, or the bridge itself.
//!
//! It goes with the task, not through the arguments of everything between a handler and the place that knows what happened:
//! forty signatures would carry what none of them looks at. Nothing is decided by it.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::base::random;

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Where an event comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A request.
    Request(Request),
    /// Somebody at the command line of this machine.
    Operator {
        /// The user of the operating system.
        uid: u32,
    },
    /// Nobody: the bridge itself, at its start or at work of its own.
    Bridge,
}

/// A request, as far as the trail knows it. Copies have the same identifier.
#[derive(Clone, Debug)]
pub struct Request {
    address: IpAddr,
    /// Drawn when the first event asks for it: most requests are in no line.
    id: Arc<OnceLock<String>>,
}

/// What of an origin stands in a line.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) request: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) uid: Option<u32>,
}

impl Request {
    /// A request of a client at this address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { address, id: Arc::default() }
    }

    /// Its identifier, if an event of it has asked for one: what the client may be told, to name it to the operator.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.get().map(String::as_str)
    }

    /// What the request leads to.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        ORIGIN.scope(Origin::Request(self), work).await
    }
}

/// What a command leads to that somebody typed here.
pub async fn as_operator<F: Future>(work: F) -> F::Output {
    let uid = rustix::process::getuid().as_raw();
    ORIGIN.scope(Origin::Operator { uid }, work).await
}

/// Where what happens now comes from.
pub(super) fn current() -> Origin {
    ORIGIN.try_with(Clone::clone).unwrap_or(Origin::Bridge)
}

impl Origin {
    pub(super) fn parts(&self) -> Parts {
        match self {
            Self::Request(request) => Parts {
                request: Some(request.id.get_or_init(random::identifier).clone()),
                address: Some(request.address),
                uid: None,
            },
            Self::Operator { uid } => Parts { uid: Some(*uid), ..Parts::default() },
            Self::Bridge => Parts::default(),
        }
    }

    /// The network that one customer may have: an address of IPv4, 48 bits of IPv6.
    pub(super) fn network(&self) -> String {
        match self {
            Self::Request(Request { address: IpAddr::V4(address), .. }) => address.to_string(),
            Self::Request(Request { address: IpAddr::V6(address), .. }) => format!("{:x}", address.to_bits() >> 80),
            Self::Operator { .. } | Self::Bridge => String::new(),
        }
    }
}
