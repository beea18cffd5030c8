//! HTTP/1.1 messages, one after another, over one connection (RFC 9112): just enough for peers on this machine, and strict about it.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that messages are read from and written to.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A message, request or answer.
#[derive(Debug)]
pub struct Message {
    /// Request line or status line.
    pub first_line: String,
    /// `Mcp-Session-Id`.
    pub session: Option<String>,
    /// Whether the peer will close the connection.
    pub close: bool,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Message {
    /// The status of an answer; 0 when the line has none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

enum Length {
    Known(usize),
    Chunked,
    None,
}

impl Connection {
    /// Takes over a stream.
    ///
    /// # Errors
    /// The socket refuses `TCP_NODELAY`.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Writes a whole message.
    ///
    /// # Errors
    /// The peer is gone.
    pub async fn write(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message).await
    }

    /// Reads the next message; `None` when the peer closed before one began.
    ///
    /// # Errors
    /// The peer closed in the middle of a message, or sent what is none.
    pub async fn read(&mut self) -> Result<Option<Message>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let (mut message, length) = head(&self.buffer[..end])?;
        self.buffer.drain(..end + 4);
        match length {
            Length::Known(length) => message.body = self.take(length).await?,
            Length::Chunked => self.read_chunks(&mut message.body).await?,
            Length::None => {}
        }
        Ok(Some(message))
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.need().await?;
            };
            let size = std::str::from_utf8(&self.buffer[..end]).ok();
            let size = size.and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok());
            let size = size.ok_or_else(|| invalid("a chunk without a size"))?;
            self.buffer.drain(..end + 2);
            let mut chunk = self.take(size + 2).await?;
            chunk.truncate(size);
            body.append(&mut chunk);
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.need().await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn need(&mut self) -> Result<()> {
        if self.fill().await? { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    async fn fill(&mut self) -> Result<bool> {
        self.buffer.reserve(4096);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

fn head(bytes: &[u8]) -> Result<(Message, Length)> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("a head that is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let first_line = lines.next().unwrap_or_default().to_owned();
    let mut message = Message { first_line, session: None, close: false, body: Vec::new() };
    let mut length = Length::None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Err(invalid("a header line without a colon")) };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Known(value.parse().map_err(|_| invalid("a Content-Length that is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            message.close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            message.session = Some(value.to_owned());
        }
    }
    Ok((message, length))
}

/// Where `needle` first stands in `bytes`.
#[must_use]
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
