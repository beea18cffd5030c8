//! `mcp-bridge healthcheck`: for container health checks and scripts.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::app::Addresses;
use crate::cli::{Failure, load, say};

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `/readyz` of the bridge that this configuration describes. One request on a plain loopback connection: an HTTP
/// client would be more than is asked for.
pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    let listen = config.server.listen;
    if listen.port() == 0 {
        return Err(Failure::runtime(
            "the port is chosen at start (server.listen has port 0); write one to be asked at",
        ));
    }
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    // The guard takes the names that clients use and no others, wherever a request comes from.
    let host = Addresses::new(&config, listen).hosts.into_iter().next().unwrap_or_else(|| address.to_string());
    let unanswered =
        |error| format!("{address} does not answer: {error}; start it with: mcp-bridge -c {}", path.display());
    let answer = ask(address, &host).map_err(|error| Failure::runtime(unanswered(error)))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ready = head.starts_with("HTTP/1.1 200 ");
    if ready { say(body) } else { Err(Failure::runtime(if body.is_empty() { head } else { body })) }
}

/// Where a listener is reached from this machine.
const fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    }
}

fn ask(address: SocketAddr, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
