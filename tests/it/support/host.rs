//! A host on loopback that answers every request with what a test has laid there, and counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A host that publishes documents.
#[derive(Clone)]
pub struct Host {
    /// `127.0.0.1:PORT`.
    pub address: String,
    scheme: &'static str,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    pages: HashMap<String, Page>,
    hits: HashMap<String, usize>,
    connections: usize,
}

/// What lies at a path.
#[derive(Clone)]
enum Page {
    /// Status line and headers, and the content; a length is added.
    Whole(String, Vec<u8>),
    /// Bytes as they are, after which the connection stays open.
    Raw(Vec<u8>),
}

impl Host {
    /// A host with nothing on it.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same, over TLS.
    pub async fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(Some(config.into())).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let host = Self { address, scheme: if tls.is_some() { "https" } else { "http" }, shared };
        let serving = host.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.shared.lock().unwrap().connections += 1;
                let (serving, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serving.answer(stream).await,
                        Some(tls) => {
                            // Who does not believe us goes away.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serving.answer(stream).await;
                        }
                    }
                });
            }
        });
        host
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Lays JSON at a path, with further header lines.
    pub fn json(&self, path: &str, headers: &str, content: &str) {
        let head = format!("200 OK\r\ncontent-type: application/json\r\n{headers}");
        self.put(path, Page::Whole(head, content.into()));
    }

    /// Lays an answer of this status line and these header lines at a path.
    pub fn answer_with(&self, path: &str, head: &str, content: &str) {
        self.put(path, Page::Whole(head.to_owned(), content.into()));
    }

    /// Lays bytes at a path that are sent as they are, and no more.
    pub fn raw(&self, path: &str, bytes: &str) {
        self.put(path, Page::Raw(bytes.into()));
    }

    /// How often a path was asked for.
    pub fn hits(&self, path: &str) -> usize {
        self.shared.lock().unwrap().hits.get(path).copied().unwrap_or_default()
    }

    /// How many have connected.
    pub fn connections(&self) -> usize {
        self.shared.lock().unwrap().connections
    }

    fn put(&self, path: &str, page: Page) {
        self.shared.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    async fn answer(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        let mut piece = [0; 1024];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut piece).await {
                Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let page = {
            let mut shared = self.shared.lock().unwrap();
            *shared.hits.entry(path.clone()).or_default() += 1;
            shared.pages.get(&path).cloned()
        };
        let page = page.unwrap_or_else(|| Page::Whole("404 Not Found\r\n".to_owned(), Vec::new()));
        match page {
            Page::Whole(head, content) => {
                let head = format!("HTTP/1.1 {head}content-length: {}\r\nconnection: close\r\n\r\n", content.len());
                let _gone = stream.write_all(&[head.into_bytes(), content].concat()).await;
            }
            Page::Raw(bytes) => {
                let _gone = stream.write_all(&bytes).await;
                // Until the other side has had enough.
                while matches!(stream.read(&mut piece).await, Ok(read) if read > 0) {}
            }
        }
    }
}
