//! A small HTTP server that answers as it is told and remembers what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Got {
    /// The request line.
    pub line: String,
    /// All header lines, names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Got {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn method(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }

    /// The id, and the name and arguments of a tool call.
    pub fn call(&self) -> (Value, String, Value) {
        let body = self.json();
        let name = body["params"]["name"].as_str().unwrap_or_default().to_owned();
        (body["id"].clone(), name, body["params"]["arguments"].clone())
    }
}

/// What is done with a request.
pub enum Reply {
    /// An answer of known length; the connection is kept.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// These bytes, and the connection is closed.
    Cut(String),
    /// These bytes, and then nothing, until the other side closes.
    Hang(String),
    /// What the channel brings, until it closes; then the connection is closed.
    Follow(UnboundedReceiver<String>),
}

impl Reply {
    pub fn json(body: &Value) -> Self {
        Self::Whole {
            status: 200,
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    pub fn status(status: u16) -> Self {
        Self::Whole { status, headers: Vec::new(), body: String::new() }
    }

    /// Events, and the end of the stream.
    pub fn events(events: &str) -> Self {
        Self::Whole {
            status: 200,
            headers: vec![("Content-Type", "text/event-stream; charset=utf-8".to_owned())],
            body: events.to_owned(),
        }
    }

    pub fn result(id: &Value, text: &str) -> Self {
        Self::json(&json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}}))
    }
}

/// The answers that every MCP server gives; `None` for what a test is about.
pub fn usual(got: &Got) -> Option<Reply> {
    let id = &got.json()["id"];
    let result = |result: Value| Some(Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result})));
    match got.method().as_str() {
        "initialize" => {
            let body = json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}}, "serverInfo": {"name": "fake", "version": "1"}}});
            let headers = vec![
                ("Content-Type", "application/json".to_owned()),
                ("Mcp-Session-Id", "upstream-session".to_owned()),
            ];
            Some(Reply::Whole { status: 200, headers, body: body.to_string() })
        }
        "tools/list" => result(json!({"tools": [{"name": "echo", "inputSchema": {}}]})),
        "ping" | "logging/setLevel" => result(json!({})),
        method if method.starts_with("notifications/") => Some(Reply::status(202)),
        _ if got.line.starts_with("GET") => Some(Reply::status(405)),
        _ if got.line.starts_with("DELETE") => Some(Reply::status(200)),
        _ => None,
    }
}

/// A server on a port of its own.
pub struct FakeServer {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeServer {
    /// Answers as `script` says, and as usual where it says nothing.
    pub async fn start(script: impl Fn(&Got) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), script).await
    }

    /// The same, on an address that is known before.
    pub async fn start_on(address: SocketAddr, script: impl Fn(&Got) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let (script, log) = (Arc::new(script), Arc::clone(&got));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Vec::new(), Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { url, got, task }
    }

    /// The same, with TLS, at `localhost`. What the client said of itself there is noted as header lines.
    pub async fn start_tls(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&Got) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/mcp", listener.local_addr().unwrap().port());
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let (script, log, acceptor) = (Arc::new(script), Arc::clone(&got), TlsAcceptor::from(config));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, log, acceptor) = (Arc::clone(&script), Arc::clone(&log), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let tls = stream.get_ref().1;
                    let mut facts = vec![("tls-server-name".to_owned(), tls.server_name().unwrap_or("").to_owned())];
                    facts.extend(tls.peer_certificates().map(|_| ("tls-client".to_owned(), "known".to_owned())));
                    serve(stream, facts, script, log).await;
                });
            }
        });
        Self { url, got, task }
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// The requests with this method.
    pub fn got_of(&self, method: &str) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.method() == method).collect()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    facts: Vec<(String, String)>,
    script: Arc<impl Fn(&Got) -> Option<Reply>>,
    log: Arc<Mutex<Vec<Got>>>,
) {
    let mut buffer = Vec::new();
    while let Some(mut got) = read(&mut stream, &mut buffer).await {
        got.headers.extend(facts.iter().cloned());
        log.lock().unwrap().push(got.clone());
        let reply = script(&got).or_else(|| usual(&got)).unwrap_or_else(|| Reply::status(500));
        match reply {
            Reply::Whole { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Cut(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Reply::Hang(bytes) => {
                // The other side may leave in the middle: that is the point.
                let _left = stream.write_all(bytes.as_bytes()).await;
                let _closed = stream.read(&mut [0; 1]).await;
                return;
            }
            Reply::Follow(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    if stream.write_all(piece.as_bytes()).await.is_err() {
                        return;
                    }
                }
                return;
            }
        }
    }
}

/// The next request; what came of the one after it stays in the buffer.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Got> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers: Vec<_> = lines.filter_map(split).collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    Some(Got { line, headers, body })
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece).await {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            buffer.extend_from_slice(&piece[..length]);
            Some(())
        }
    }
}
