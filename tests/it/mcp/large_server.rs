//! A server behind a URL whose answers are large, end in several ways, and are counted as they are taken from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::bridge::fake_server::{Got, Reply, read, usual};

/// Bytes of one write.
const PIECE: usize = 10_000;

/// The server. `tools/call` says in its arguments what comes: see [`LargeServer::call`].
pub struct LargeServer {
    pub url: String,
    pub counts: Arc<Counts>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
pub struct Counts {
    /// How many bytes of large answers were taken from it.
    pub written: AtomicUsize,
    /// Nothing more was taken for a while.
    pub is_stalled: AtomicBool,
    /// How many answers the other side gave up.
    pub given_up: AtomicUsize,
}

impl LargeServer {
    /// A server that knows sessions, or one of 2026-07-28.
    pub async fn start(is_stateless: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let counts = Arc::<Counts>::default();
        let of_server = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, is_stateless, Arc::clone(&of_server)));
            }
        });
        Self { url, counts, task }
    }
}

impl Drop for LargeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A result of about so many bytes, as it is written: nothing that is printed anew would be the same.
pub fn result(bytes: usize, seed: u64, more: &str) -> String {
    let line = format!(r#"{seed} ß\u00df \"}}]\\ 1.50 "#);
    let text = line.repeat(bytes / line.len() / 2 + 1);
    let list = format!(r#"{{ "id" :{seed}, "n":1.50E+02,"x" : [null,true ,-0] }},"#).repeat(bytes / 2 / 50);
    format!(
        r#"{{"content":[{{"type":"text","text":"{text}"}}],"structuredContent":{{"list":[{list}0]}}, "é":"\u00e9"{more} }}"#
    )
}

/// An answer with this id, which stands where `order` says.
pub fn answer(order: &str, id: &str, result: &str) -> String {
    match order {
        "last" => format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#),
        "middle" => format!(r#"{{"x":{{"id":0}}, "id" : {id} ,"result": {result} ,"jsonrpc":"2.0"}}"#),
        _ => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
    }
}

/// What a call is for: the arguments of the tool.
pub fn wanted(bytes: usize, seed: u64, order: &str, is_stream: bool, end: &str) -> Value {
    json!({"bytes": bytes, "seed": seed, "order": order, "stream": is_stream, "end": end})
}

async fn serve(mut stream: TcpStream, is_stateless: bool, counts: Arc<Counts>) {
    let mut buffer = Vec::new();
    while let Some(got) = read(&mut stream, &mut buffer).await {
        if got.method() == "tools/call" {
            if large(&mut stream, &got, is_stateless, &counts).await.is_none() {
                return;
            }
            continue;
        }
        let reply =
            stateless(&got).filter(|_| is_stateless).or_else(|| usual(&got)).unwrap_or_else(|| Reply::status(404));
        let Reply::Whole { status, headers, body } = reply else { return };
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len());
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn stateless(got: &Got) -> Option<Reply> {
    let result = match got.method().as_str() {
        "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
        "tools/list" => json!({"tools": [{"name": "large", "inputSchema": {"type": "object"}}]}),
        _ => return None,
    };
    let mut result = result;
    result["resultType"] = "complete".into();
    result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": {"name": "large", "version": "1"}});
    Some(Reply::json(&json!({"jsonrpc": "2.0", "id": got.json()["id"], "result": result})))
}

/// Answers in chunks. `None` when the connection is of no more use.
async fn large(stream: &mut TcpStream, got: &Got, is_stateless: bool, counts: &Counts) -> Option<()> {
    let (id, _, wanted) = got.call();
    let (bytes, is_stream) = (wanted["bytes"].as_u64().unwrap() as usize, wanted["stream"] == true);
    let more = if is_stateless { r#","resultType":"complete""# } else { "" };
    let id = if wanted["end"] == "mismatch" { "4711".to_owned() } else { id.to_string() };
    let mut text = answer(
        wanted["order"].as_str().unwrap(),
        &id,
        &result(bytes, wanted["seed"].as_u64().unwrap(), wanted["more"].as_str().unwrap_or(more)),
    );
    match wanted["end"].as_str().unwrap() {
        "broken" => text.replace_range(text.len() - 500..text.len() - 499, "\u{1}"),
        "tail" => text += &format!("{}x", " ".repeat(3 * PIECE)),
        "vanish" => text.truncate(text.len() - 500),
        _ => {}
    }
    if is_stream {
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
            {"progressToken": got.json()["params"]["_meta"]["progressToken"], "progress": 1, "message": "p".repeat(200_000)}});
        let first = if wanted["progress"] == true { format!("data: {progress}\n\n") } else { String::new() };
        text = format!("{first}event: message\nid: e-1\ndata: {text}\n\n");
    }
    let media_type = if is_stream { "text/event-stream" } else { "application/json" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let pause = wanted["pause"].as_u64().map(Duration::from_millis);
    for (number, piece) in text.as_bytes().chunks(PIECE).enumerate() {
        if let Some(pause) = pause.filter(|_| number == 40) {
            tokio::time::sleep(pause).await;
        }
        write(stream, piece, counts).await?;
    }
    if wanted["end"] == "vanish" {
        return None;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()
}

async fn write(stream: &mut TcpStream, piece: &[u8], counts: &Counts) -> Option<()> {
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let mut writing = std::pin::pin!(stream.write_all(&chunk));
    let written = match tokio::time::timeout(Duration::from_secs(1), &mut writing).await {
        Ok(written) => written,
        Err(_) => {
            counts.is_stalled.store(true, Ordering::Relaxed);
            writing.await
        }
    };
    if written.is_err() {
        counts.given_up.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    counts.written.fetch_add(piece.len(), Ordering::Relaxed);
    Some(())
}
