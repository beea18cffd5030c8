//! HTTP/1.1 messages, one after another, over one connection (RFC 9112): just enough for peers on this machine, and strict about it.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that messages are read from and written to.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    left: Left,
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

/// What is left of the body that is being read.
#[derive(Debug)]
enum Left {
    /// So many bytes.
    Bytes(usize),
    /// So many bytes of a chunk, its end of line included, and chunks after it.
    Chunks(usize),
    Nothing,
}

impl Connection {
    /// Takes over a stream.
    ///
    /// # Errors
    /// The socket refuses `TCP_NODELAY`.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), left: Left::Nothing })
    }

    /// Writes a whole message, or a piece of one.
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
        let Some(mut message) = self.read_head().await? else { return Ok(None) };
        while let Some(mut piece) = self.read_piece(usize::MAX).await? {
            message.body.append(&mut piece);
        }
        Ok(Some(message))
    }

    /// Reads a message up to its body, which is then read with `read_piece`.
    ///
    /// # Errors
    /// As `read`.
    pub async fn read_head(&mut self) -> Result<Option<Message>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let (message, left) = head(&self.buffer[..end])?;
        self.buffer.drain(..end + 4);
        self.left = left;
        Ok(Some(message))
    }

    /// Reads on in the body, at most so many bytes; `None` at its end.
    ///
    /// # Errors
    /// As `read`.
    pub async fn read_piece(&mut self, most: usize) -> Result<Option<Vec<u8>>> {
        if let Left::Chunks(0) = self.left {
            let size = self.chunk_size().await?;
            self.left = Left::Chunks(size + 2);
            if size == 0 {
                self.take(2).await?;
                self.left = Left::Nothing;
            }
        }
        let left = match self.left {
            Left::Bytes(0) | Left::Nothing => return Ok(None),
            Left::Bytes(left) => left,
            // The end of line after a chunk is taken with its last bytes, so that it is nobody's body.
            Left::Chunks(2) => {
                self.take(2).await?;
                self.left = Left::Chunks(0);
                return Ok(Some(Vec::new()));
            }
            Left::Chunks(left) => left - 2,
        };
        if self.buffer.is_empty() {
            self.need().await?;
        }
        let length = left.min(most).min(self.buffer.len());
        match &mut self.left {
            Left::Bytes(left) | Left::Chunks(left) => *left -= length,
            Left::Nothing => {}
        }
        Ok(Some(self.take(length).await?))
    }

    async fn chunk_size(&mut self) -> Result<usize> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            self.need().await?;
        };
        let size = std::str::from_utf8(&self.buffer[..end]).ok();
        let size = size.and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok());
        self.buffer.drain(..end + 2);
        size.ok_or_else(|| invalid("a chunk without a size"))
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.need().await?;
        }
        if length == self.buffer.len() {
            return Ok(std::mem::take(&mut self.buffer));
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn need(&mut self) -> Result<()> {
        if self.fill().await? { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    async fn fill(&mut self) -> Result<bool> {
        // More at a time where much is left: a large body should not cost its reader thousands of reads.
        let wanted = match self.left {
            Left::Bytes(left) | Left::Chunks(left) => left.clamp(4096, 64 * 1024),
            Left::Nothing => 4096,
        };
        self.buffer.reserve(wanted);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

fn head(bytes: &[u8]) -> Result<(Message, Left)> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("a head that is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let first_line = lines.next().unwrap_or_default().to_owned();
    let mut message = Message { first_line, session: None, close: false, body: Vec::new() };
    let mut left = Left::Nothing;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Err(invalid("a header line without a colon")) };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            left = Left::Bytes(value.parse().map_err(|_| invalid("a Content-Length that is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            left = Left::Chunks(0);
        } else if name.eq_ignore_ascii_case("connection") {
            message.close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            message.session = Some(value.to_owned());
        }
    }
    Ok((message, left))
}

/// Where `needle` first stands in `bytes`.
#[must_use]
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
