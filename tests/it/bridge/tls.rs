//! Whom an upstream behind https is believed to be, and by what it believes the bridge.

use serde_json::json;

use super::certificates::Pair;
use super::fake_server::{FakeServer, Got, Reply};
use super::support::{Client, bridge, http, until};
use mcp_bridge::config::section::{HttpProtocol, UpstreamKind, UpstreamTls};

/// Echoes.
fn echo(got: &Got) -> Option<Reply> {
    let (id, _, arguments) = got.call();
    (got.method() == "tools/call").then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or("")))
}

/// Asserts that a server with these settings answers; gives what it was sent.
async fn reached(server: &FakeServer, tls: UpstreamTls) -> Vec<Got> {
    let before = server.got().len();
    let mut upstream = http("safe", &server.url);
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        settings.tls = tls;
    }
    let bridge = bridge(&[upstream]).await;
    assert_eq!(Client::new(&bridge, "ada").tool("echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
    server.got().split_off(before)
}

/// Asserts that nothing is sent to a server with these settings; gives the reason.
async fn refused(server: &FakeServer, tls: UpstreamTls) -> String {
    let before = server.got().len();
    let mut upstream = http("doubtful", &server.url);
    upstream.required = false;
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        settings.tls = tls;
        settings.protocol = HttpProtocol::StreamableHttp;
    }
    let bridge = bridge(&[upstream]).await;
    let reason = || bridge.status()[0].reason.clone().unwrap_or_default();
    until(|| !matches!(reason().as_str(), "" | "it is starting")).await;
    let reason = reason();
    bridge.shutdown().await;
    assert_eq!(server.got().len(), before, "{reason}");
    reason
}

fn by(authority: &Pair) -> UpstreamTls {
    UpstreamTls { authorities: Some(authority.certificate_pem().into_bytes()), ..UpstreamTls::default() }
}

#[tokio::test]
async fn proxy_16_only_a_server_that_is_vouched_for_gets_anything() {
    let (authority, other) = (Pair::authority(), Pair::authority());
    let server = FakeServer::start_tls(Pair::of("localhost", &authority).server(None), echo).await;
    let unknown = refused(&server, UpstreamTls::default()).await;
    assert!(unknown.contains("certificate") && unknown.contains("UnknownIssuer"), "{unknown}");
    let wrong = refused(&server, by(&other)).await;
    assert!(wrong.contains("certificate"), "{wrong}");
    let got = reached(&server, by(&authority)).await;
    assert_eq!(got[0].header("tls-server-name"), ["localhost"]);
    assert_eq!(got[0].header("authorization"), ["Bearer upstream-token"]);

    let server = FakeServer::start_tls(Pair::expired("localhost", &authority).server(None), echo).await;
    let expired = refused(&server, by(&authority)).await;
    assert!(expired.contains("expired"), "{expired}");
    // Whoever says so gets it.
    reached(&server, UpstreamTls { is_unverified: true, ..UpstreamTls::default() }).await;
}

#[tokio::test]
async fn proxy_16_a_server_of_another_name_is_refused_unless_the_name_is_written() {
    let authority = Pair::authority();
    let server = FakeServer::start_tls(Pair::of("mcp.internal.example", &authority).server(None), echo).await;
    let foreign = refused(&server, by(&authority)).await;
    assert!(foreign.contains("not valid for name"), "{foreign}");
    let named = |name: &str| UpstreamTls { server_name: Some(name.to_owned()), ..by(&authority) };
    let got = reached(&server, named("mcp.internal.example")).await;
    let host = server.url.strip_prefix("https://").unwrap().strip_suffix("/mcp").unwrap();
    for got in got {
        assert_eq!(got.header("tls-server-name"), ["mcp.internal.example"]);
        assert_eq!(got.header("host"), [host], "the request is still for the host of url");
    }
    let other = refused(&server, named("other.example")).await;
    assert!(other.contains("not valid for name"), "{other}");
}

#[tokio::test]
async fn a_server_that_asks_who_is_there_is_shown_the_bridges_certificate() {
    let authority = Pair::authority();
    let server = FakeServer::start_tls(Pair::of("localhost", &authority).server(Some(&authority)), echo).await;
    let unknown = refused(&server, by(&authority)).await;
    assert!(unknown.contains("ertificate"), "{unknown}");
    let own = Pair::of("bridge.example", &authority);
    let identity = Some((own.certificate_pem() + &own.key_pem()).into());
    let got = reached(&server, UpstreamTls { identity, ..by(&authority) }).await;
    assert!(got.iter().all(|got| got.header("tls-client") == ["known"]));
}

#[tokio::test]
async fn proxy_11_a_handshake_that_does_not_end_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut upstream = http("mute", &format!("https://{}/mcp", listener.local_addr().unwrap()));
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        settings.connect_timeout = std::time::Duration::from_millis(200);
    }
    let reason = super::support::refused(upstream).await;
    assert!(reason.contains("no connection"), "{reason}");
}
