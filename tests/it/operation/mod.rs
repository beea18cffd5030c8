//! The program as it is operated: started, told to stop, told to reload, and in want of something.

mod configured;
mod faults;
mod hang_ups;
mod held;
mod key_folder;
mod people;
mod pipes;
mod process;
mod reload;
mod replicas;
mod rolling;
mod stop;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::app::PASSWORD;
use crate::support::client::{REDIRECT_URI, Tokens};
use crate::support::mcp::Session;
use crate::support::program::heard;
use crate::support::{Browser, Client, Program};

/// No test waits longer than this for anything.
pub const LONG: Duration = Duration::from_secs(20);

/// A folder with this configuration; `SCRIPT` stands for the scripted server, `FOLDER` for the folder.
pub fn folder(yaml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
    let yaml = yaml.replace("SCRIPT", script).replace("FOLDER", folder.path().to_str().unwrap());
    fs::write(folder.path().join("config.yaml"), format!("log: {{output: log}}\n{yaml}")).unwrap();
    folder
}

pub const WITH_CHILD: &str = "server: {listen: \"127.0.0.1:0\", shutdown_timeout: 15s}\n\
    upstreams: {fake: {command: python3, args: [SCRIPT, --marker, FOLDER, --journal, FOLDER/journal]}}\n";

pub async fn connect(program: &Program) -> Session {
    Session::at(&format!("{}/mcp", program.url), "none").initialized(json!({})).await
}

/// The authorization server with two users, in lines that a test replaces; `HASH` stands for a hash of their password.
pub const PEOPLE: &str = r#"log: {output: log}
server:
  listen: 127.0.0.1:0
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    builtin:
      users:
        - {username: alice, password_hash: HASH, scopes: ["mcp:read", "mcp:write"]}
        - {username: rita, password_hash: HASH, scopes: ["mcp:read"]}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["https://client.example/cb"]
upstreams:
  me: {builtin: whoami}
"#;

/// A configuration in which each `HASH` is one of its own.
pub fn hashed(yaml: &str) -> String {
    let mut parts = yaml.split("HASH");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |yaml, rest| format!("{yaml}\"{}\"{rest}", bcrypt::hash(PASSWORD, 4).unwrap()))
}

/// A folder with this configuration and nothing added.
pub fn bare_folder(yaml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    folder
}

/// A client that is registered there.
pub async fn register(program: &Program) -> Client {
    let metadata = json!({"redirect_uris": [REDIRECT_URI]});
    Client::register_for(&format!("{}/mcp", program.url), &program.url, metadata).await
}

/// Tokens of somebody for it.
pub async fn log_in(client: &Client, user: &str) -> Tokens {
    let page = client.authorize(&mut Browser::new(), user, &[]).await;
    client.redeem(&page.answer("code").unwrap_or_else(|| panic!("no code for {user} in {page:?}"))).await
}

/// A session of whom a token is for.
pub async fn session(program: &Program, token: &str) -> Session {
    Session::at(&format!("{}/mcp", program.url), token).initialized(json!({})).await
}

/// Waits until something is so. What is waited for is another process's work, which ends by itself.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("it comes to be so");
}

/// How many of the scripted server's calls have begun.
pub fn begun(folder: &Path) -> usize {
    fs::read_to_string(folder.join("journal")).unwrap_or_default().matches("tools/call").count()
}

/// Whether any process has the folder's name in its arguments: what the bridge started has.
pub fn is_anything_left(folder: &Path) -> bool {
    !crate::children::support::processes(folder.to_str().unwrap()).is_empty()
}

/// Waits for the end of a program, which has to come; gives its exit code.
pub fn ended(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < LONG {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("it did not end");
}

/// The exit code of a command that ends soon, and what it said to people.
pub fn refusal(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = heard(folder, arguments).spawn().unwrap();
    let code = ended(&mut child);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}
