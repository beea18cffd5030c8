//! Servers that speak TLS: whom the bridge believes, and what it shows.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use super::certificates::{Authority, write};
use super::fake_server::{FakeServer, Got, Reply};
use super::support::{Client, bridge, http_with, refused};
use mcp_bridge::config::section::{ClientCertificate, Trust, Upstream, UpstreamTls};

fn echo(got: &Got) -> Option<Reply> {
    let (id, _, arguments) = got.call();
    (got.method() == "tools/call").then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or("")))
}

fn upstream(url: &str, tls: UpstreamTls) -> Upstream {
    http_with("t", url, |settings| settings.tls = tls)
}

fn trusting(file: &Path) -> UpstreamTls {
    UpstreamTls { trust: Trust::Authorities(file.to_owned()), ..UpstreamTls::default() }
}

async fn works(upstream: Upstream) {
    let bridge = bridge(&[upstream]).await;
    let client = Client::connect(&bridge, "ada").await;
    assert_eq!(client.tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

/// An authority, and its file in a folder.
fn authority(folder: &Path, name: &str) -> (Authority, PathBuf) {
    let authority = Authority::new(name);
    let file = write(folder, &format!("{name}.pem"), &authority.pem());
    (authority, file)
}

#[tokio::test]
async fn proxy_16_a_server_is_believed_whose_authority_is_trusted_and_whose_name_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, file) = authority(folder.path(), "ours");
    let (_, other) = authority(folder.path(), "other");
    let server = FakeServer::start_tls(ours.issue(&["127.0.0.1"]).server(None), echo).await;
    works(upstream(&server.url, trusting(&file))).await;
    // One file may name several authorities.
    let both = write(folder.path(), "both.pem", &[std::fs::read(&other).unwrap(), ours.pem()].concat());
    works(upstream(&server.url, trusting(&both))).await;
    let taken = server.got().len();
    for tls in [UpstreamTls::default(), trusting(&other)] {
        let reason = refused(upstream(&server.url, tls)).await;
        assert!(reason.contains("UnknownIssuer"), "{reason}");
    }
    assert_eq!(server.got().len(), taken, "nothing is sent to whom nobody vouches for");

    let wrong = FakeServer::start_tls(ours.issue(&["127.0.0.2", "localhost"]).server(None), echo).await;
    let reason = refused(upstream(&wrong.url, trusting(&file))).await;
    assert!(reason.contains("not valid for name"), "{reason}");
    let late = FakeServer::start_tls(ours.issue_until(&["127.0.0.1"], -60).server(None), echo).await;
    let reason = refused(upstream(&late.url, trusting(&file))).await;
    assert!(reason.contains("expired"), "{reason}");
    assert!(wrong.got().is_empty() && late.got().is_empty());
    // What is asked for in so many words.
    for server in [&server, &wrong, &late] {
        works(upstream(&server.url, UpstreamTls { trust: Trust::Anybody, ..UpstreamTls::default() })).await;
    }
}

#[tokio::test]
async fn proxy_16_server_name_is_asked_for_and_looked_for_and_the_host_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, file) = authority(folder.path(), "ours");
    let server = FakeServer::start_tls(ours.issue(&["mcp.internal"]).server(None), echo).await;
    let named = |name: &str| UpstreamTls { server_name: Some(name.to_owned()), ..trusting(&file) };
    works(upstream(&server.url, named("mcp.internal"))).await;
    let address = server.url.trim_start_matches("https://").trim_end_matches("/mcp");
    for got in server.got() {
        assert_eq!((got.header(":server-name"), got.header("host")), (vec!["mcp.internal"], vec![address]));
    }
    let by_name = server.url.replace("127.0.0.1", "localhost");
    works(upstream(&by_name, named("mcp.internal"))).await;
    assert!(server.got().last().unwrap().header("host")[0].starts_with("localhost:"));
    let reason = refused(upstream(&server.url, named("other.internal"))).await;
    assert!(reason.contains("not valid for name"), "{reason}");
}

#[tokio::test]
async fn proxy_16_a_server_that_asks_for_a_certificate_gets_the_configured_one() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, file) = authority(folder.path(), "ours");
    let clients = Authority::new("clients");
    let server = FakeServer::start_tls(ours.issue(&["127.0.0.1"]).server(Some(&clients)), echo).await;
    let (cert_file, key_file) = clients.issue(&["bridge.internal"]).write(folder.path());
    let own = ClientCertificate { cert_file: cert_file.clone(), key_file };
    let with_own = || UpstreamTls { client_certificate: Some(own.clone()), ..trusting(&file) };
    works(upstream(&server.url, with_own())).await;
    let taken = server.got().len();
    let reason = refused(upstream(&server.url, trusting(&file))).await;
    assert!(!reason.is_empty());
    // One that another authority made, in the same place: files are read for each connection.
    ours.issue(&["bridge.internal"]).write(folder.path());
    let reason = refused(upstream(&server.url, with_own())).await;
    assert!(!reason.is_empty());
    assert_eq!(server.got().len(), taken);
    clients.issue(&["bridge.internal"]).write(folder.path());
    works(upstream(&server.url, with_own())).await;
    std::fs::remove_file(&cert_file).unwrap();
    let reason = refused(upstream(&server.url, with_own())).await;
    assert!(reason.contains("cert.pem cannot be read"), "{reason}");
}

#[tokio::test]
async fn proxy_11_a_handshake_that_does_not_end_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/mcp", listener.local_addr().unwrap());
    let began = Instant::now();
    let reason = refused(http_with("t", &url, |settings| settings.connect_timeout = Duration::from_millis(200))).await;
    assert!(reason.contains("no connection"), "{reason}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
