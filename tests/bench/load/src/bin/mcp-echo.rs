//! `mcp-echo --http 127.0.0.1:PORT` or `mcp-echo --stdio`: the MCP server behind whatever is measured.

use std::io::Result;

use mcp_bench::echo::{Outcome, answer};
use mcp_bench::http::{Connection, Message};
use mcp_bench::option;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match option("--http") {
        Some(address) => http(&address).await,
        None => stdio().await,
    }
}

async fn stdio() -> Result<()> {
    let mut input = BufReader::with_capacity(64 * 1024, tokio::io::stdin());
    let mut output = tokio::io::stdout();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).await? > 0 {
        if let Outcome::Answer(mut text) | Outcome::Session(mut text) = answer(&line) {
            text.push('\n');
            output.write_all(text.as_bytes()).await?;
            output.flush().await?;
        }
        line.clear();
    }
    Ok(())
}

async fn http(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(Connection::new(stream)?));
    }
}

/// One connection. A peer that goes away or breaks off is not an event here.
async fn serve(mut connection: Connection) {
    while let Ok(Some(request)) = connection.read().await {
        if connection.write(response(&request).as_bytes()).await.is_err() || request.close {
            return;
        }
    }
}

fn response(request: &Message) -> String {
    match request.first_line.split(' ').next() {
        Some("POST") => match answer(&request.body) {
            Outcome::Nothing => "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Outcome::Session(text) => json("Mcp-Session-Id: echo-session\r\n", &text),
            Outcome::Answer(text) => json("", &text),
        },
        Some("DELETE") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        // There is nothing to tell on a stream of its own (MCP 2025-11-25, Streamable HTTP: 405 is the answer then).
        _ => "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".to_owned(),
    }
}

fn json(headers: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
}
