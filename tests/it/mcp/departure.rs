//! A client of the stateless era that leaves, and one that has only said all it has to say: both close their side, and look
//! alike until something is written to them. The keep-alive is the usual one, which is far too slow to tell.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mcp::{child, journal, until};
use crate::support::app::BASIC;
use crate::support::{App, Client, Stateless};

/// A second is meant, and it is less where the machine has nothing else to do; the keep-alive would take thirty.
const SOON: Duration = Duration::from_secs(4);

struct Rig {
    app: App,
    token: String,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = child(&format!(", \"--journal\", \"{}\"", folder.path().join("journal").display()));
        let app = App::with(&BASIC.replace("me: {builtin: whoami}", &format!("fake: {child}")));
        let token = Client::register(&app).await.tokens().await.access().to_owned();
        Self { app, token, folder }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("go")
    }

    fn got(&self, method: &str) -> bool {
        got(&self.folder.path().join("journal"), method)
    }

    /// A call that is under way, on a connection of its own.
    async fn call(&self) -> TcpStream {
        let client = Stateless::new(&self.app, &self.token);
        let arguments = json!({"file": self.file()});
        let body = client.message(1, "tools/call", json!({"name": "slow", "arguments": arguments})).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nAccept: application/json, text/event-stream\r\n\
             Content-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: slow\r\n\
             Content-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let mut stream = TcpStream::connect(self.app.local_url().trim_start_matches("http://")).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        until(|| self.got("tools/call")).await;
        stream
    }

    async fn is_cancelled_soon(&self) {
        let left = Instant::now();
        until(|| self.got("notifications/cancelled")).await;
        assert!(left.elapsed() < SOON, "{:?}", left.elapsed());
    }
}

fn got(path: &Path, method: &str) -> bool {
    journal(path).iter().any(|got: &Value| got["method"] == method)
}

/// Reads until this came so often.
async fn read(stream: &mut TcpStream, what: &str, times: usize) -> String {
    let mut text = String::new();
    let mut part = [0; 4096];
    while text.matches(what).count() < times {
        let length = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut part)).await.unwrap().unwrap();
        assert!(length > 0, "{text}");
        text.push_str(std::str::from_utf8(&part[..length]).unwrap());
    }
    text
}

#[tokio::test]
async fn mcp_21_who_closes_before_the_head_of_the_answer_cancels_the_call() {
    let rig = Rig::start().await;
    let stream = rig.call().await;
    assert!(!rig.got("notifications/cancelled"));
    drop(stream);
    rig.is_cancelled_soon().await;
}

#[tokio::test]
async fn mcp_21_who_closes_after_the_head_of_the_answer_cancels_the_call() {
    let rig = Rig::start().await;
    let mut stream = rig.call().await;
    let head = read(&mut stream, ": keepalive", 2).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    assert!(!rig.got("notifications/cancelled"));
    drop(stream);
    rig.is_cancelled_soon().await;
}

#[tokio::test]
async fn mcp_23_a_half_closed_client_of_the_stateless_era_is_still_answered() {
    let rig = Rig::start().await;
    let mut stream = rig.call().await;
    stream.shutdown().await.unwrap();
    read(&mut stream, ": keepalive", 4).await;
    assert!(!rig.got("notifications/cancelled"));
    std::fs::write(rig.file(), "").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains(r#""waited""#) && rest.contains("complete"), "{rest}");
}
