//! Whom to load, as whom, and in which era: the requests.

use tokio::net::TcpSocket;

use crate::http::{Connection, Message};
use crate::{Result, flag, option};

const SESSIONS: &str = "2025-11-25";
const STATELESS: &str = "2026-07-28";

/// Whom to load, from the command line.
#[derive(Debug)]
pub struct Target {
    address: String,
    path: String,
    /// One caller each; empty where nobody asks who calls.
    pub tokens: Vec<String>,
    /// Whether the client speaks 2026-07-28.
    pub is_stateless: bool,
    small_buffers: bool,
}

/// One caller: its token, and its session if it has one.
#[derive(Clone, Debug)]
pub struct Seat {
    token: usize,
    session: Option<String>,
}

/// What a call asks for.
#[derive(Debug)]
pub struct Asked {
    /// The name of a tool.
    pub tool: String,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// Whether it is to report progress.
    pub with_progress: bool,
}

impl Target {
    /// Reads `--url`, `--token-file` and `--era`.
    ///
    /// # Errors
    /// One of them is missing or wrong; the URL leads away from this machine.
    pub fn from_options() -> Result<Self> {
        let url = option("--url").ok_or("--url is missing")?;
        let rest = url.strip_prefix("http://127.0.0.1:").ok_or("--url must begin with http://127.0.0.1:")?;
        let (port, path) = rest.split_once('/').ok_or("--url has no path")?;
        let tokens = option("--token-file").map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        Ok(Self {
            address: format!("127.0.0.1:{port}"),
            path: format!("/{path}"),
            tokens: tokens.lines().map(str::to_owned).collect(),
            is_stateless: option("--era").as_deref() == Some("stateless"),
            small_buffers: flag("--slow"),
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(&self) -> Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        if self.small_buffers {
            // The kernel would otherwise take megabytes on behalf of a client that does not read.
            socket.set_recv_buffer_size(16 * 1024)?;
        }
        Ok(Connection::new(socket.connect(self.address.parse()?).await?)?)
    }

    /// The caller with this number, before it has a session.
    #[must_use]
    pub fn seat(&self, number: usize) -> Seat {
        Seat { token: number % self.tokens.len().max(1), session: None }
    }

    /// A POST of any JSON.
    #[must_use]
    pub fn post(&self, seat: &Seat, more: &str, body: &str) -> Vec<u8> {
        format!(
            "{}Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.head("POST", seat), body.len()
        )
        .into_bytes()
    }

    /// Any request; `headers` are whole lines.
    #[must_use]
    pub fn any(&self, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}{length}\r\n{body}", self.address).into_bytes()
    }

    /// A tool call, with the `_meta` that this era wants.
    #[must_use]
    pub fn call(&self, seat: &Seat, id: u64, asked: &Asked) -> Vec<u8> {
        let Asked { tool, arguments, with_progress } = asked;
        let progress = if *with_progress { format!(r#""progressToken":{id}"#) } else { String::new() };
        let envelope = if self.is_stateless { ENVELOPE } else { "" };
        let comma = if *with_progress && self.is_stateless { "," } else { "" };
        let meta = match envelope.len() + progress.len() {
            0 => String::new(),
            _ => format!(r#","_meta":{{{envelope}{comma}{progress}}}"#),
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}{meta}}}}}"#
        );
        let headers = if self.is_stateless {
            format!("MCP-Protocol-Version: {STATELESS}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n")
        } else {
            String::new()
        };
        self.post(seat, &headers, &body)
    }

    /// A GET for the stream of a session.
    #[must_use]
    pub fn listen(&self, seat: &Seat) -> Vec<u8> {
        format!("{}Accept: text/event-stream\r\n\r\n", self.head("GET", seat)).into_bytes()
    }

    /// Opens the session of a caller; in the stateless era there is nothing to open.
    ///
    /// # Errors
    /// It is refused.
    pub async fn open(&self, connection: &mut Connection, number: usize) -> Result<Seat> {
        let mut seat = self.seat(number);
        if self.is_stateless {
            return Ok(seat);
        }
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{SESSIONS}","capabilities":{{}},"clientInfo":{{"name":"mcp-load","version":"0.1.0"}}}}}}"#
        );
        let answer = exchange(connection, &self.post(&seat, "", &body)).await?;
        if answer.status() != 200 || crate::http::find(&answer.body, b"\"result\"").is_none() {
            return Err(unexpected("initialize", &answer));
        }
        seat.session = answer.session;
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let accepted = exchange(connection, &self.post(&seat, "", initialized)).await?;
        if accepted.status() != 202 {
            return Err(unexpected("notifications/initialized", &accepted));
        }
        Ok(seat)
    }

    /// Ends the session of a caller.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn close(&self, connection: &mut Connection, seat: &Seat) -> Result<()> {
        if seat.session.is_some() {
            let request = format!("{}Content-Length: 0\r\n\r\n", self.head("DELETE", seat));
            exchange(connection, request.as_bytes()).await?;
        }
        Ok(())
    }

    fn head(&self, method: &str, seat: &Seat) -> String {
        // Every client says what it is, and to who reads the header it is one field more.
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mcp-load\r\n", self.path, self.address);
        if let Some(token) = self.tokens.get(seat.token) {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        if let Some(session) = &seat.session {
            head += &format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {SESSIONS}\r\n");
        }
        head
    }
}

const ENVELOPE: &str = concat!(
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"mcp-load","version":"0.1.0"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}"#,
);

/// A request and its whole answer.
///
/// # Errors
/// The connection broke.
pub async fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Message> {
    connection.write(request).await?;
    Ok(connection.read().await?.ok_or("closed instead of an answer")?)
}

/// What to say about an answer that is not as it should be.
#[must_use]
pub fn unexpected(what: &str, answer: &Message) -> Box<dyn std::error::Error> {
    let text = String::from_utf8_lossy(&answer.body);
    format!("{what}: {} {}", answer.first_line, text.chars().take(300).collect::<String>()).into()
}
