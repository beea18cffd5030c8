//! `mcp-echo --http 127.0.0.1:PORT` or `mcp-echo --stdio`: the MCP server behind whatever is measured.
//!
//! `--era stateless` speaks MCP 2026-07-28 alone (otherwise the versions before, alone); `--tools N` makes the list that long.

use std::io::Result;
use std::rc::Rc;

use mcp_bench::echo::{Outcome, Server, Stream};
use mcp_bench::http::{Connection, Message};
use mcp_bench::{number, option};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

const NOTHING: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let is_stateless = option("--era").as_deref() == Some("stateless");
    let tools = number("--tools", 3).map_err(std::io::Error::other)?;
    let server = Rc::new(Server::new(is_stateless, tools));
    let local = LocalSet::new();
    match option("--http") {
        Some(address) => local.run_until(http(server, address)).await,
        None => local.run_until(stdio(server)).await,
    }
}

async fn stdio(server: Rc<Server>) -> Result<()> {
    let mut input = BufReader::with_capacity(64 * 1024, tokio::io::stdin());
    // A few lines at most wait to be written: what reads us slowly is to notice that we stop.
    let (lines, written) = mpsc::channel(16);
    let writer = spawn_local(write_lines(written));
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).await? > 0 {
        match server.answer(&line) {
            Outcome::Nothing => {}
            Outcome::Answer(text) | Outcome::Session(text) | Outcome::Refused(_, text) => {
                if lines.send(text).await.is_err() {
                    break;
                }
            }
            Outcome::Stream(stream) => drop(spawn_local(tell(stream, lines.clone()))),
        }
        line.clear();
    }
    drop(lines);
    writer.await?
}

async fn write_lines(mut lines: mpsc::Receiver<String>) -> Result<()> {
    let mut output = tokio::io::stdout();
    let mut waiting = Vec::new();
    while lines.recv_many(&mut waiting, 16).await > 0 {
        let mut text = String::new();
        for line in waiting.drain(..) {
            text.push_str(&line);
            text.push('\n');
        }
        output.write_all(text.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

async fn tell(stream: Stream, lines: mpsc::Sender<String>) {
    let delay = stream.delay;
    for line in stream {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

async fn http(server: Rc<Server>, address: String) -> Result<()> {
    let listener = TcpListener::bind(&address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(serve(server.clone(), Connection::new(stream)?));
    }
}

/// One connection. A peer that goes away or breaks off is not an event here.
async fn serve(server: Rc<Server>, mut connection: Connection) {
    while let Ok(Some(request)) = connection.read().await {
        if respond(&server, &mut connection, &request).await.is_err() || request.close {
            return;
        }
    }
}

async fn respond(server: &Server, connection: &mut Connection, request: &Message) -> Result<()> {
    let text = match request.first_line.split(' ').next() {
        Some("POST") => match server.answer(&request.body) {
            Outcome::Nothing => NOTHING.to_owned(),
            Outcome::Session(text) => json("200 OK", "Mcp-Session-Id: echo-session\r\n", &text),
            Outcome::Answer(text) => json("200 OK", "", &text),
            Outcome::Refused(400, text) => json("400 Bad Request", "", &text),
            Outcome::Refused(_, text) => json("404 Not Found", "", &text),
            Outcome::Stream(stream) => return events(connection, stream).await,
        },
        Some("GET") => return silence(connection).await,
        Some("DELETE") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    connection.write(text.as_bytes()).await
}

/// Progress and the answer, as events.
async fn events(connection: &mut Connection, stream: Stream) -> Result<()> {
    let delay = stream.delay;
    connection.write(STREAM.as_bytes()).await?;
    for text in stream {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let event = format!("event: message\ndata: {text}\n\n");
        connection.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    }
    connection.write(b"0\r\n\r\n").await
}

/// A stream on which nothing happens until the peer leaves.
async fn silence(connection: &mut Connection) -> Result<()> {
    connection.write(STREAM.as_bytes()).await?;
    connection.write(b"3\r\n:\n\n\r\n").await?;
    connection.read().await?;
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

fn json(status: &str, headers: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
}
