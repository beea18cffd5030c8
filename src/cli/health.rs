//! `mcp-bridge healthcheck`: for container health checks and scripts.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::cli::{Failure, load, say};

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `/readyz` of the bridge that this configuration describes. One request on a plain loopback connection: an HTTP
/// client would be more than is asked for.
pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let listen = load(path)?.server.listen;
    let address = match listen.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
        _ => listen,
    };
    let answer =
        ask(address).map_err(|error| Failure { code: 1, text: format!("{address} does not answer: {error}") })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ready = head.starts_with("HTTP/1.1 200 ");
    if ready { say(body) } else { Err(Failure::runtime(if body.is_empty() { head } else { body })) }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
