//! A strict server of the stateless era behind the bridge, over HTTP and on standard input and output.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::app::BASIC;
use crate::support::mcp::Session;
use crate::support::{App, Client, Stateless};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/stateless_server.py");

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Http,
    Stdio,
}

pub const BOTH: [Over; 2] = [Over::Http, Over::Stdio];

/// The server, and its `upstreams` entry.
pub struct Server {
    pub entry: String,
    pub folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Server {
    pub fn start(over: Over, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal").display().to_string();
        let mut arguments = vec![SCRIPT.to_owned(), "--journal".to_owned(), journal];
        arguments.extend(options.iter().map(|option| option.replace("FOLDER", &folder.path().display().to_string())));
        if over == Over::Stdio {
            return Self { entry: format!("{{command: python3, args: {arguments:?}}}"), folder, process: None };
        }
        let mut process = Command::new("python3").args(arguments).arg("--http").stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { entry: format!("{{url: \"{}\"}}", url.trim()), folder, process: Some(process) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything it wrote down.
    pub fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("journal")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The requests of a method that it got.
    pub fn got(&self, method: &str) -> Vec<Value> {
        self.journal().into_iter().filter(|entry| entry["got"]["method"] == method).collect()
    }

    pub fn events(&self, event: &str) -> usize {
        self.journal().iter().filter(|entry| entry["event"] == event).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended already.
            let _gone = process.kill();
            let _status = process.wait();
        }
    }
}

/// A bridge in front of it, and clients.
pub struct Rig {
    pub app: App,
    pub server: Server,
    pub token: String,
}

impl Rig {
    pub async fn start(over: Over, options: &[&str]) -> Self {
        let server = Server::start(over, options);
        // That a client has left is seen when something is written to it.
        let yaml = BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  sse_keepalive_interval: 1s");
        let app = App::with(&yaml.replace("me: {builtin: whoami}", &format!("up: {}", server.entry)));
        let token = Client::register(&app).await.tokens().await.access().to_owned();
        Self { app, server, token }
    }

    pub async fn session(&self, capabilities: Value) -> Session {
        Session::initialize_as(&self.app, &self.token, capabilities).await
    }

    pub fn stateless(&self, capabilities: Value) -> Stateless {
        Stateless::new(&self.app, &self.token).able(capabilities)
    }
}

/// The text of a tool's result, as JSON.
pub fn content(answer: &Value) -> Value {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
