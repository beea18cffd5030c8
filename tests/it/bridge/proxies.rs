//! Proxies on the way to an upstream: those that are written, and no others.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::Pair;
use super::fake_server::{FakeServer, Got, Reply};
use super::support::{Client, bridge, http};
use crate::support::program::Program;
use mcp_bridge::config::section::{Upstream, UpstreamKind, UpstreamTls};

fn echo(got: &Got) -> Option<Reply> {
    let (id, _, arguments) = got.call();
    (got.method() == "tools/call").then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or("")))
}

fn through(proxy: String, url: &str) -> Upstream {
    let mut upstream = http("far", url);
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        settings.proxy_url = Some(proxy.into());
    }
    upstream
}

async fn assert_answers(upstream: Upstream) {
    let bridge = bridge(&[upstream]).await;
    assert_eq!(Client::new(&bridge, "ada").tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

/// A proxy that does what `greet` says, which gives the target's address, and passes on everything after that.
async fn tunnel<F>(
    greet: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>)
where
    F: Future<Output = (TcpStream, String)> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&said);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let greeted = greet(stream, Arc::clone(&log));
            tokio::spawn(async move {
                let (mut stream, target) = greeted.await;
                let mut target = TcpStream::connect(target).await.unwrap();
                let _over = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
            });
        }
    });
    (port, said)
}

/// SOCKS5 (RFC 1928) with user name and password (RFC 1929), to IPv4 addresses.
async fn socks(mut stream: TcpStream, said: Arc<Mutex<Vec<String>>>) -> (TcpStream, String) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let mut methods = vec![0; usize::from(head[1])];
    stream.read_exact(&mut methods).await.unwrap();
    assert!(methods.contains(&2));
    stream.write_all(&[5, 2]).await.unwrap();
    let mut words = Vec::new();
    assert_eq!(stream.read_u8().await.unwrap(), 1);
    for _ in 0..2 {
        let mut word = vec![0; usize::from(stream.read_u8().await.unwrap())];
        stream.read_exact(&mut word).await.unwrap();
        words.push(String::from_utf8(word).unwrap());
    }
    said.lock().unwrap().push(words.join(":"));
    stream.write_all(&[1, 0]).await.unwrap();
    let mut request = [0; 10];
    stream.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..4], [5, 1, 0, 1]);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let [_, _, _, _, a, b, c, d, high, low] = request;
    (stream, format!("{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([high, low])))
}

/// An HTTP proxy's CONNECT (RFC 9110 §9.3.6), to `localhost`.
async fn connect(mut stream: TcpStream, said: Arc<Mutex<Vec<String>>>) -> (TcpStream, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let port = head.split([':', ' ']).nth(2).unwrap().to_owned();
    said.lock().unwrap().push(head);
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    (stream, format!("127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_written_http_proxy_is_asked_and_gets_its_own_credentials() {
    let proxy = FakeServer::start(echo).await;
    let address = proxy.url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap().to_owned();
    assert_answers(through(format!("http://ada:p%40ss@{address}"), "http://mcp.invalid/mcp")).await;
    for got in proxy.got() {
        assert!(got.line.contains(" http://mcp.invalid/mcp HTTP/1.1"), "{}", got.line);
        // ada:p@ss
        assert_eq!(got.header("proxy-authorization"), ["Basic YWRhOnBAc3M="]);
        assert_eq!(got.header("host"), ["mcp.invalid"]);
    }
}

#[tokio::test]
async fn what_goes_through_a_proxy_to_https_is_not_the_proxys_to_read() {
    let authority = Pair::authority();
    let server = FakeServer::start_tls(Pair::of("localhost", &authority).server(None), echo).await;
    let (port, said) = tunnel(connect).await;
    let mut upstream = through(format!("http://ada:secret@127.0.0.1:{port}"), &server.url);
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        let authorities = Some(authority.certificate_pem().into_bytes());
        settings.tls = UpstreamTls { authorities, ..UpstreamTls::default() };
    }
    assert_answers(upstream).await;
    let said = said.lock().unwrap();
    assert!(!said.is_empty());
    for said in said.iter() {
        assert!(said.starts_with("CONNECT localhost:") && said.contains("YWRhOnNlY3JldA=="), "{said}");
        assert!(!said.contains("upstream-token") && !said.contains("core"), "{said}");
    }
    assert!(server.got().iter().all(|got| got.header("proxy-authorization").is_empty()));
}

#[tokio::test]
async fn a_written_socks_proxy_is_asked() {
    let server = FakeServer::start(echo).await;
    let (port, said) = tunnel(socks).await;
    assert_answers(through(format!("socks5://ada:s%40cret@127.0.0.1:{port}"), &server.url)).await;
    assert_eq!(said.lock().unwrap()[0], "ada:s@cret");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_not_gone_past() {
    let proxy = FakeServer::start(|_| Some(Reply::status(407))).await;
    let server = FakeServer::start(echo).await;
    let address = proxy.url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap().to_owned();
    for (url, said) in [(server.url.as_str(), "407"), ("https://mcp.invalid/mcp", "proxy")] {
        let reason = super::support::refused(through(format!("http://ada:hush@{address}"), url)).await;
        assert!(reason.contains(said) && !reason.contains("hush"), "{reason}");
    }
    assert!(server.got().is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_said_without_its_password() {
    let mut upstream = through("http://ada:secret@127.0.0.1:1".to_owned(), "http://mcp.invalid/mcp");
    upstream.required = false;
    let bridge = bridge(&[upstream.clone()]).await;
    super::support::until(|| bridge.status()[0].reason.as_deref().is_some_and(|reason| reason != "it is starting"))
        .await;
    let status = format!("{:?} {upstream:?}", bridge.status());
    assert!(status.contains("no connection") && !status.contains("secret"), "{status}");
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_18_neither_the_environment_nor_a_client_chooses_a_proxy() {
    let server = FakeServer::start(echo).await;
    let evil = FakeServer::start(echo).await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "server: {{listen: '127.0.0.1:0', auth: {{type: none}}}}\nlog: {{output: log}}\n\
         upstreams: {{far: {{url: '{}', required: true, prefix: ''}}}}\n",
        server.url
    );
    std::fs::write(folder.path().join("config.yaml"), text).unwrap();
    let proxy = evil.url.strip_suffix("/mcp").unwrap();
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let environment = names.map(|name| (name, proxy));
    let program = Program::start(folder, &environment);
    let call = super::support::tool_call("1", "echo", &json!({"text": "x"}));
    let request = crate::support::client::http().post(format!("{}/mcp", program.url)).header("Proxy", proxy).body(call);
    let request = request.header("content-type", "application/json");
    let answer = request.header("accept", "application/json, text/event-stream").send().await.unwrap();
    let answer = answer.text().await.unwrap();
    assert!(answer.contains(r#""text":"x""#), "{answer}");
    assert!(evil.got().is_empty());
    assert!(server.got().iter().all(|got| got.header("proxy").is_empty() && got.line.contains(" /mcp ")));
    program.stop();
}
