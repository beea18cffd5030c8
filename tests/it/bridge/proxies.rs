//! Servers behind a proxy: what it is told, and what passes through it.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates::{Authority, write};
use super::fake_server::{FakeServer, Got, Reply, read};
use super::support::{Client, bridge, http_with, refused};
use mcp_bridge::config::section::{Trust, Upstream, UpstreamKind};
use mcp_bridge::config::{Config, Environment};

fn echo(got: &Got) -> Option<Reply> {
    let (id, _, arguments) = got.call();
    (got.method() == "tools/call").then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or("")))
}

async fn works(upstream: Upstream) {
    let bridge = bridge(&[upstream]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

/// As a configuration file has it.
fn through(url: &str, proxy_url: &str, more: &str) -> Upstream {
    let text = format!("upstreams: {{p: {{required: true, url: '{url}', proxy_url: '{proxy_url}'{more}}}}}");
    let config = Config::parse(&text, std::path::Path::new("/"), &Environment::table(&[]));
    config.unwrap_or_else(|faults| panic!("{faults}")).upstreams.remove(0)
}

/// What a proxy was told: the head of each request, or the words of the SOCKS protocol.
type Told = Arc<Mutex<Vec<String>>>;

/// A proxy for HTTP that lets through who shows `ada:p@ss`. With TLS when it has something to do it with.
async fn http_proxy(tls: Option<TlsAcceptor>) -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let told = Told::default();
    let log = Arc::clone(&told);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, log) = (tls.clone(), Arc::clone(&log));
            tokio::spawn(async move {
                match tls {
                    None => carry(stream, log).await,
                    Some(tls) => carry(tls.accept(stream).await.unwrap(), log).await,
                }
            });
        }
    });
    (address, told)
}

async fn carry(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, log: Told) {
    let mut buffer = Vec::new();
    while let Some(got) = read(&mut stream, &mut buffer).await {
        log.lock().unwrap().push(format!("{} {:?}", got.line, got.headers));
        let Some(target) = got.line.split(' ').nth(1) else { return };
        // base64 of `ada:p@ss`.
        if got.header("proxy-authorization") != ["Basic YWRhOnBAc3M="] {
            let refusal = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=evil\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(refusal.as_bytes()).await.unwrap();
        }
        if got.line.starts_with("CONNECT") {
            let mut server = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Go\r\n\r\n").await.unwrap();
            // Ends when either side does, which is no fault.
            let _ended = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            return;
        }
        // The whole URL stands in the line; what is behind gets the path alone.
        let rest = target.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let mut server = TcpStream::connect(host).await.unwrap();
        let method = got.line.split(' ').next().unwrap();
        let mut head = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in got.headers.iter().filter(|(name, _)| name != "proxy-authorization") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        server.write_all(format!("{head}\r\n{}", got.body).as_bytes()).await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

#[tokio::test]
async fn proxy_18_what_is_configured_is_gone_through_and_told_nothing_of_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let file = write(folder.path(), "ours.pem", &ours.pem());
    let server = FakeServer::start_tls(ours.issue(&["127.0.0.1"]).server(None), echo).await;
    let (proxy, told) = http_proxy(None).await;
    let more = format!(", tls: {{ca_cert: '{}'}}, auth: {{token: upstream-token}}", file.display());
    works(through(&server.url, &format!("http://ada:p%40ss@{proxy}"), &more)).await;
    let address = server.url.trim_start_matches("https://").trim_end_matches("/mcp").to_owned();
    for line in told.lock().unwrap().iter() {
        assert!(line.starts_with(&format!("CONNECT {address} HTTP/1.1")), "{line}");
        assert!(!line.contains("upstream-token"), "{line}");
    }
    assert!(!told.lock().unwrap().is_empty());
    for got in server.got() {
        assert_eq!(got.header("authorization"), ["Bearer upstream-token"]);
        assert!(got.header("proxy-authorization").is_empty(), "{got:?}");
    }
}

#[tokio::test]
async fn proxy_18_a_plain_server_is_reached_through_a_proxy_with_tls_too() {
    let server = FakeServer::start(echo).await;
    let (proxy, told) = http_proxy(None).await;
    works(through(&server.url, &format!("http://ada:p%40ss@{proxy}"), "")).await;
    assert!(told.lock().unwrap()[0].starts_with(&format!("POST {} HTTP/1.1", server.url)), "{told:?}");

    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let file = write(folder.path(), "ours.pem", &ours.pem());
    let config = ours.issue(&["127.0.0.1"]).server(None);
    let (proxy, told) = http_proxy(Some(Arc::new(config).into())).await;
    let server = FakeServer::start_tls(ours.issue(&["127.0.0.1"]).server(None), echo).await;
    let upstream = through(&server.url, &format!("https://ada:p%40ss@{proxy}"), "");
    let UpstreamKind::Http(mut settings) = upstream.kind else { panic!() };
    settings.tls.trust = Trust::Authorities(file);
    works(http_with("p", &server.url, |all| *all = *settings)).await;
    assert!(told.lock().unwrap()[0].starts_with("CONNECT"), "{told:?}");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_not_there_is_named() {
    let server = FakeServer::start(echo).await;
    let (proxy, _told) = http_proxy(None).await;
    let reason = refused(through(&server.url, &format!("http://ada:hush-hush@{proxy}"), "")).await;
    assert!(reason.contains("proxy") && reason.contains("407"), "{reason}");
    let reason = refused(through("https://mcp.invalid/mcp", &format!("http://ada:hush-hush@{proxy}"), "")).await;
    assert!(reason.contains("proxy") && !reason.contains("hush"), "{reason}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let reason = refused(through(&server.url, &format!("socks5://ada:hush-hush@{closed}"), "")).await;
    assert!(reason.contains("no connection") && !reason.contains("hush"), "{reason}");
    assert!(server.got().is_empty(), "nothing goes past the proxy");
}

#[tokio::test]
async fn proxy_18_a_socks_proxy_is_told_name_or_address_and_the_password() {
    let server = FakeServer::start(echo).await;
    for (scheme, host, asked) in [("socks5", "127.0.0.1", "1"), ("socks5h", "localhost", "3")] {
        let (proxy, told) = socks_proxy().await;
        let url = server.url.replace("127.0.0.1", host);
        works(through(&url, &format!("{scheme}://ada:p%40ss@{proxy}"), "")).await;
        let told = told.lock().unwrap();
        assert!(told.iter().all(|words| *words == format!("ada p@ss {asked}")) && !told.is_empty(), "{told:?}");
    }
}

/// RFC 1928 and RFC 1929, as much as one client needs.
async fn socks_proxy() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let told = Told::default();
    let log = Arc::clone(&told);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(socks(stream, Arc::clone(&log)));
        }
    });
    (address, told)
}

async fn socks(mut stream: TcpStream, log: Told) {
    async fn take(stream: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }
    async fn text(stream: &mut TcpStream) -> String {
        let length = take(stream, 1).await[0];
        String::from_utf8(take(stream, length.into()).await).unwrap()
    }
    let methods = take(&mut stream, 2).await[1];
    assert!(take(&mut stream, methods.into()).await.contains(&2));
    stream.write_all(&[5, 2]).await.unwrap();
    take(&mut stream, 1).await;
    let (user, password) = (text(&mut stream).await, text(&mut stream).await);
    stream.write_all(&[1, 0]).await.unwrap();
    let kind = take(&mut stream, 4).await[3];
    let host = match kind {
        1 => take(&mut stream, 4).await.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        _ => text(&mut stream).await,
    };
    let port = take(&mut stream, 2).await;
    log.lock().unwrap().push(format!("{user} {password} {kind}"));
    let port = u16::from_be_bytes([port[0], port[1]]);
    let mut server = TcpStream::connect((host.as_str(), port)).await.unwrap();
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}
