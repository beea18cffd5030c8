//! Messages cut at line feeds. [MCP 2025-11-25, stdio](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio)

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::base::limit::Limit;

/// A line may have this many bytes.
pub const MAX_LINE: usize = 16 * 1024 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::bytes("line of a child's output", MAX_LINE, "the child is restarted")];

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: BytesMut,
    searched: usize,
    limit: usize,
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// A line has no end.
    #[error("it wrote a line of more than {0} bytes")]
    TooLong(usize),
    /// Reading failed.
    #[error("reading from it failed: {0}")]
    Read(#[from] std::io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of `source`, each of at most `limit` bytes.
    #[must_use]
    pub fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: BytesMut::new(), searched: 0, limit }
    }

    /// The next line that is not blank, without its end. `None` at the end of the source; what stands there without a
    /// line feed is no line.
    ///
    /// # Errors
    /// A line that is too long, or the source's own.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LineFault> {
        loop {
            while let Some(line) = self.cut() {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > self.limit {
                return Err(LineFault::TooLong(self.limit));
            }
            self.buffer.reserve(8 * 1024);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn cut(&mut self) -> Option<Bytes> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + found + 1).freeze();
        self.searched = 0;
        let kept = line.trim_ascii();
        Some(line.slice_ref(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn child_10_lines_end_as_they_like_and_blank_ones_do_not_count() {
        let mut lines = Lines::new(&b"{\"a\":1}\r\n\n  \r\n\0\xff\n  b \nunfinished"[..], 100);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push(line);
        }
        assert_eq!(read, [&b"{\"a\":1}"[..], b"\0\xff", b"b"]);
    }

    #[tokio::test]
    async fn child_10_an_endless_line_is_refused() {
        let mut lines = Lines::new(tokio::io::repeat(b'x'), 10_000);
        assert!(matches!(lines.next().await, Err(LineFault::TooLong(10_000))));
    }

    #[tokio::test]
    async fn a_line_may_come_in_pieces() {
        let (mut writer, reader) = tokio::io::duplex(3);
        let mut lines = Lines::new(reader, 100);
        let write =
            async move { tokio::io::AsyncWriteExt::write_all(&mut writer, b"0123456789\nabc\n").await.unwrap() };
        let (line, ()) = tokio::join!(lines.next(), write);
        assert_eq!((line.unwrap().unwrap(), lines.next().await.unwrap().unwrap()), ("0123456789".into(), "abc".into()));
    }
}
