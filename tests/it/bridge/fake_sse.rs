//! A small server of HTTP+SSE (2024-11-05) that answers as it is told and remembers what it was sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::fake_server::{Got, Reply, read, usual};

/// What is said to a POST, and what then comes on the stream.
#[derive(Default)]
pub struct Said {
    /// The answer to the POST; 0 is none, ever.
    pub status: u16,
    /// Header lines, each with its end.
    pub headers: String,
    pub body: String,
    /// Bytes of the stream.
    pub events: String,
}

impl Said {
    /// Taken, and these bytes on the stream.
    pub fn events(events: String) -> Self {
        Self { status: 202, body: "Accepted".to_owned(), events, ..Self::default() }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// A message as an event.
pub fn event(message: &Value) -> String {
    format!("event: message\r\ndata: {message}\r\n\r\n")
}

type Script = dyn Fn(&Got) -> Option<Said> + Send + Sync;

struct Shared {
    got: Mutex<Vec<Got>>,
    /// The ways to the streams, the newest last.
    streams: Mutex<Vec<mpsc::UnboundedSender<String>>>,
    /// How many connections the other side gave up, their POST unanswered.
    given_up: AtomicUsize,
    /// What the stream begins with.
    greeting: Box<dyn Fn(&Got) -> Reply + Send + Sync>,
    script: Box<Script>,
}

/// A server on a port of its own. Its stream is at `/sse`.
pub struct FakeSse {
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

/// The head of the stream and its first event.
pub fn greeting(endpoint: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n";
    format!("{head}: welcome\n\nevent: endpoint\ndata: {endpoint}\n\n")
}

impl FakeSse {
    /// Answers as `script` says, and as usual where it says nothing.
    pub async fn start(script: impl Fn(&Got) -> Option<Said> + Send + Sync + 'static) -> Self {
        Self::greeting(|_| Reply::Hang(greeting("/messages?sessionId=s%201")), script).await
    }

    /// The same; GET is answered by `greeting`, and after [`Reply::Hang`] the stream goes on.
    pub async fn greeting(
        greeting: impl Fn(&Got) -> Reply + Send + Sync + 'static,
        script: impl Fn(&Got) -> Option<Said> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            streams: Mutex::default(),
            given_up: AtomicUsize::new(0),
            greeting: Box::new(greeting),
            script: Box::new(script),
        });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&of_task)));
            }
        });
        Self { url, shared, task }
    }

    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// The messages with this method.
    pub fn got_of(&self, method: &str) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.method() == method).collect()
    }

    /// How often the stream was opened.
    pub fn opened(&self) -> usize {
        self.got().iter().filter(|got| got.line.starts_with("GET")).count()
    }

    /// How many POSTs were given up.
    pub fn given_up(&self) -> usize {
        self.shared.given_up.load(Ordering::SeqCst)
    }

    /// Writes bytes on the newest stream.
    pub fn write(&self, bytes: String) {
        let streams = self.shared.streams.lock().unwrap();
        streams.last().unwrap().send(bytes).unwrap();
    }

    /// Ends all streams.
    pub fn cut(&self) {
        self.shared.streams.lock().unwrap().clear();
    }
}

impl Drop for FakeSse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(got) = read(&mut stream, &mut buffer).await {
        shared.got.lock().unwrap().push(got.clone());
        if got.line.starts_with("GET") {
            return follow(stream, &shared, &got).await;
        }
        // Streamable HTTP is not spoken here.
        let said = match got.line.starts_with("POST /sse") {
            true => (shared.script)(&got).unwrap_or_else(|| Said::status(404)),
            false => (shared.script)(&got).or_else(|| as_usual(&got)).unwrap_or_else(|| Said::status(500)),
        };
        if let Some(way) = shared.streams.lock().unwrap().last() {
            // The bridge may have left.
            let _gone = way.send(said.events);
        }
        if said.status == 0 {
            let none = read(&mut stream, &mut buffer).await;
            assert!(none.is_none(), "nothing is sent before the answer");
            shared.given_up.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let length = said.body.len();
        let head = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\n{}\r\n", said.status, said.headers);
        if stream.write_all(format!("{head}{}", said.body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn follow(mut stream: TcpStream, shared: &Shared, got: &Got) {
    let bytes = match (shared.greeting)(got) {
        Reply::Whole { status, headers, body } => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
            return stream.write_all(text.as_bytes()).await.unwrap();
        }
        Reply::Cut(bytes) => return stream.write_all(bytes.as_bytes()).await.unwrap(),
        Reply::Hang(bytes) => bytes,
        Reply::Follow(_) => panic!("the stream follows by itself"),
    };
    let (way, mut waiting) = mpsc::unbounded_channel();
    shared.streams.lock().unwrap().push(way);
    stream.write_all(bytes.as_bytes()).await.unwrap();
    while let Some(bytes) = waiting.recv().await {
        if stream.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The answers that every MCP server gives, on the stream.
fn as_usual(got: &Got) -> Option<Said> {
    match usual(got)? {
        Reply::Whole { status: 200, body, .. } => {
            Some(Said::events(event(&serde_json::from_str(&body).unwrap_or_default())))
        }
        Reply::Whole { .. } => Some(Said::events(String::new())),
        _ => None,
    }
}
