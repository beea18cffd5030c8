//! An identity provider of our own that can lie: OpenID Connect, and what GitHub speaks instead.
//!
//! It logs everybody in at once, as the person of its [`Script`], and remembers every request. What it does wrong is set by
//! [`Provider::script`]. It runs on a thread of its own, so that a bridge that waits for it while it starts does not stop it.

mod endpoints;
mod script;
mod server;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;

use mcp_bridge::base::clock::{Clock, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;

use endpoints::Issued;
pub use script::{Fault, Script, Signer};
pub use server::Got;
pub use tokens::strangers_key;

/// The bridge's `client_id` at every provider.
pub const CLIENT_ID: &str = "bridge-at-provider";
/// Its secret, with characters that `client_secret_basic` has to encode (RFC 6749 §2.3.1).
pub const CLIENT_SECRET: &str = "provider secret +/%:&=1";
/// The person that everybody is at first.
pub const SUBJECT: &str = "248289761001";
/// The paths of its endpoints.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// `authorization_endpoint`.
pub const AUTHORIZE: &str = "/authorize";
/// `token_endpoint`.
pub const TOKEN: &str = "/token";
/// `jwks_uri`.
pub const JWKS: &str = "/jwks";
/// `userinfo_endpoint`.
pub const USERINFO: &str = "/userinfo";
/// What a good client never asks for.
pub const CANARY: &str = "/canary";

/// A running provider. It stops when this is dropped.
pub struct Provider {
    /// Its address, which is its issuer unless the script says otherwise.
    pub url: String,
    /// Its clock, which a bridge should share.
    pub clock: Clock,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What its connections know.
struct Shared {
    url: String,
    clock: Clock,
    script: Mutex<Script>,
    got: Mutex<Vec<Got>>,
    issued: Mutex<Issued>,
    /// Bytes of the body without end of which most was taken.
    poured: Mutex<usize>,
}

impl Provider {
    /// With a clock that stands at the bridge's time.
    pub fn start() -> Self {
        Self::with(Clock::fixed(Timestamp::from_unix(1_800_000_000)))
    }

    /// With this clock: another provider's, or the machine's for a bridge that is a program.
    pub fn with(clock: Clock) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            url: url.clone(),
            clock: clock.clone(),
            script: Mutex::new(Script::new(&url)),
            got: Mutex::default(),
            issued: Mutex::default(),
            poured: Mutex::default(),
        });
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::spawn(move || server::run(listener, &thread_shared, &ready, stopped));
        started.recv().expect("the provider starts");
        Self { url, clock, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Changes what it does from now on.
    pub fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.shared.script())
    }

    /// A token of these claims that it signs, of this type unless the script says otherwise.
    pub fn signed(&self, kind: &str, claims: &Value) -> String {
        tokens::signed(&self.shared.script(), kind, claims)
    }

    /// Everything it was asked, in order.
    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// The requests of one path.
    pub fn got_at(&self, path: &str) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.path == path).collect()
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.got_at(path).len()
    }

    /// Every code and token it ever gave, with what it is.
    pub fn secrets(&self) -> Vec<(&'static str, String)> {
        self.shared.issued().secrets.clone()
    }

    /// How many bytes of one body without end it could get rid of at most.
    pub fn poured(&self) -> usize {
        *self.shared.poured.lock().unwrap()
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the provider stops without a panic");
        }
    }
}
