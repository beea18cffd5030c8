//! HTTP/1.1 as far as the provider needs it, and the faults of a connection.

use std::sync::{Arc, mpsc};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::endpoints;
use super::script::Fault;
use super::{DISCOVERY, Shared};

/// How large the body without end is that [`Fault::Huge`] offers.
const HUGE: usize = 50 * 1024 * 1024;

/// A request.
#[derive(Clone, Debug)]
pub struct Got {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// Parameters of the query and of a form body, in order.
    pub parameters: Vec<(String, String)>,
    /// The header fields, names in small letters.
    pub headers: Vec<(String, String)>,
}

impl Got {
    /// The parameter of this name, which must be there once at most; empty when it is not.
    pub fn parameter(&self, name: &str) -> &str {
        let mut all = self.parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = all.next().unwrap_or_default();
        assert!(all.next().is_none(), "{name} twice: {self:?}");
        first
    }

    /// The header field of this name; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, media_type: "application/json", location: None, body: body.to_string() }
    }

    /// A page.
    pub fn page(status: u16, body: &str) -> Self {
        Self { status, media_type: "text/html", location: None, body: body.to_owned() }
    }

    /// A redirect.
    pub fn redirect(location: String) -> Self {
        Self { location: Some(location), ..Self::page(302, "") }
    }
}

/// Serves until it is stopped.
pub fn run(
    listener: std::net::TcpListener,
    shared: &Arc<Shared>,
    ready: &mpsc::Sender<()>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap();
        let accept = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if !shared.script().down {
                    tokio::spawn(serve(stream, Arc::clone(shared)));
                }
            }
        };
        ready.send(()).unwrap();
        tokio::select! {
            _ = stopped => {}
            () = accept => {}
        }
    });
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(got) = read(&mut stream, &mut buffer).await {
        let fault = {
            let script = shared.script();
            if script.down {
                return;
            }
            shared.got.lock().unwrap().push(got.clone());
            let path = if got.path.ends_with(DISCOVERY) { DISCOVERY } else { got.path.as_str() };
            script.faults.get(path).cloned()
        };
        let reply = match fault {
            None => endpoints::answer(&got, &shared),
            Some(Fault::Json(status, body)) => Reply::json(status, &body),
            Some(Fault::Html(status)) => Reply::page(status, "<!doctype html><title>Provider's page</title>"),
            Some(Fault::Redirect(target)) => Reply::redirect(target),
            Some(Fault::Hang) => {
                let _closed = stream.read(&mut [0; 1]).await;
                return;
            }
            Some(Fault::Limited) => {
                let head = "HTTP/1.1 403 X\r\nContent-Type: application/json\r\nX-RateLimit-Remaining: 0";
                if stream.write_all(format!("{head}\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes()).await.is_err() {
                    return;
                }
                continue;
            }
            Some(Fault::Huge) => return pour(&mut stream, &shared).await,
        };
        if write(&mut stream, &reply).await.is_none() {
            return;
        }
    }
}

async fn write(stream: &mut TcpStream, reply: &Reply) -> Option<()> {
    let location = reply.location.as_ref().map(|target| format!("Location: {target}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\n{location}\r\n",
        reply.status,
        reply.media_type,
        reply.body.len()
    );
    stream.write_all(format!("{head}{}", reply.body).as_bytes()).await.ok()
}

/// Sends a JSON object with a member of fifty megabytes, as long as somebody takes it.
async fn pour(stream: &mut TcpStream, shared: &Shared) {
    let head = format!("HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {HUGE}\r\n\r\n{{\"x\":\"");
    let piece = [b'x'; 16 * 1024];
    let mut is_taken = stream.write_all(head.as_bytes()).await.is_ok();
    let mut sent = 0;
    while is_taken && sent < HUGE {
        is_taken = stream.write_all(&piece).await.is_ok();
        sent += piece.len();
        let mut most = shared.poured.lock().unwrap();
        *most = sent.max(*most);
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Got> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut line = lines.next().unwrap().split(' ');
    let (method, target) = (line.next().unwrap().to_owned(), line.next().unwrap());
    let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers: Vec<_> = lines.filter_map(split).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, text)| text.parse().unwrap());
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    let body: Vec<u8> = buffer.drain(..length).collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let form = [query.as_bytes(), b"&", &body].concat();
    let parameters = url::form_urlencoded::parse(&form).into_owned().collect();
    Some(Got { method, path: path.to_owned(), parameters, headers })
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece).await {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            buffer.extend_from_slice(&piece[..length]);
            Some(())
        }
    }
}
