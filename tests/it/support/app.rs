//! The bridge, in this process: on a port of its own, in a folder of its own, with a clock that the test sets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use mcp_bridge::app::{self, Surroundings};
use mcp_bridge::base::clock::{Clock, Timestamp};
use mcp_bridge::config::Config;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// bcrypt, cost 4, of `correct horse`.
pub const PASSWORD: &str = "correct horse";
/// A password that is nobody's.
pub const WRONG: &str = "wrong horse";

/// The authorization server and the built-in upstream, with two users: `alice` may read and write, `rita` may read.
pub const BASIC: &str = r#"
log: {level: debug}
server:
  listen: 127.0.0.1:0
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    mode: builtin
    builtin:
      users:
        - {username: alice, password_hash: HASH, scopes: ["mcp:read", "mcp:write"], email: alice@example.com}
        - {username: rita, password_hash: HASH, scopes: ["mcp:read"]}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["@claude", "@chatgpt", "@cursor", "@vscode", "@loopback", "https://client.example/cb", "https://other.example/cb"]
upstreams:
  me: {builtin: whoami}
"#;

/// A running bridge. It stops when this is dropped.
pub struct App {
    /// Its public address, without trailing slash.
    pub url: String,
    listens: SocketAddr,
    /// Its clock.
    pub clock: Clock,
    /// Its folder: `config.yaml`, `data/`, `keys/`.
    pub folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl App {
    /// With [`BASIC`].
    pub fn start() -> Self {
        Self::with(BASIC)
    }

    /// With another configuration. `HASH` stands for the hash of [`PASSWORD`].
    pub fn with(yaml: &str) -> Self {
        Self::with_clock(yaml, Clock::fixed(Timestamp::from_unix(1_800_000_000)))
    }

    /// With another configuration and somebody else's clock.
    pub fn with_clock(yaml: &str, clock: Clock) -> Self {
        let folder = TempDir::new().unwrap();
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        std::fs::write(folder.path().join("config.yaml"), yaml.replace("HASH", &format!("\"{hash}\""))).unwrap();
        Self::run(folder, clock)
    }

    /// Stops it, and starts it again on the same data, with the same clock.
    pub fn restart(mut self) -> Self {
        self.stop();
        let folder = std::mem::replace(&mut self.folder, TempDir::new().unwrap());
        Self::run(folder, self.clock.clone())
    }

    /// The same at the same address, so that what points at it stays right.
    pub fn restart_in_place(self) -> Self {
        let path = self.folder.path().join("config.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("127.0.0.1:0", &self.listens.to_string())).unwrap();
        self.restart()
    }

    fn run(folder: TempDir, clock: Clock) -> Self {
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (path, thread_clock) = (folder.path().join("config.yaml"), clock.clone());
        let thread = std::thread::spawn(move || serve(&path, thread_clock, &ready, stopped));
        let (url, listens) = started.recv().expect("the bridge starts");
        Self { url, listens, clock, folder, stop: Some(stop), thread: Some(thread) }
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the bridge stops without a panic");
        }
    }

    /// Where it listens, whatever its public address.
    pub fn local_url(&self) -> String {
        format!("http://{}", self.listens)
    }

    /// The resource clients ask for.
    pub fn resource(&self) -> String {
        format!("{}/mcp", self.url)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(path: &Path, clock: Clock, ready: &mpsc::Sender<(String, SocketAddr)>, stopped: oneshot::Receiver<()>) {
    let config = Config::load(path).unwrap_or_else(|faults| panic!("{faults}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let keeper = env!("CARGO_BIN_EXE_mcp-bridge").into();
        let app = app::App::start(config, Surroundings { clock, keeper, password_cost: 4 }).await.unwrap();
        let url = app.addresses.resource.trim_end_matches("/mcp").to_owned();
        let listens = app.addresses.listens;
        let running = app.serve().unwrap();
        ready.send((url, listens)).unwrap();
        let _ = stopped.await;
        running.stop().await;
    });
}
