//! What comes before everything: names, origins, framing.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::BASIC;
use crate::support::browser::Page;
use crate::support::client::http;
use crate::support::mcp::{Session, initialize};
use crate::support::{App, Client};

const ROUTES: [&str; 12] = [
    "/mcp",
    "/",
    "/sse",
    "/messages",
    "/oauth/register",
    "/oauth/token",
    "/oauth/authorize",
    "/oauth/revoke",
    "/oauth/jwks",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-authorization-server",
    "/metrics",
];

/// Sends bytes as they are, and reads what comes back until the connection ends or the first answer is complete.
async fn raw(app: &App, bytes: &str) -> String {
    let mut stream = TcpStream::connect(app.local_url().trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

#[tokio::test]
async fn host_1_names_that_are_not_ours_are_refused_on_every_route() {
    let app = App::start();
    for route in ROUTES {
        for host in ["evil.example", "evil.example:8080", "localhost.evil", "127.0.0.1.nip.io", "0.0.0.0"] {
            for method in ["GET", "POST"] {
                let answer =
                    raw(&app, &format!("{method} {route} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")).await;
                assert_eq!(status(&answer), "421", "{method} {route} {host}");
            }
        }
    }
}

#[tokio::test]
async fn host_2_our_names_are_accepted() {
    let app =
        App::with(&BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  allowed_hosts: [Bridge.Internal]"));
    for host in ["localhost:1", "127.0.0.1:2", "[::1]:3", "localhost", "bridge.internal"] {
        let answer = raw(&app, &format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(status(&answer), "200", "{host}");
    }
}

#[tokio::test]
async fn host_3_foreign_origins_are_refused_for_every_method() {
    let app = App::start();
    for origin in ["http://evil.example", "null", "http://localhost.evil", "https://127.0.0.1", "HTTP://LOCALHOST"] {
        for method in ["POST", "GET", "DELETE", "OPTIONS"] {
            let request = http().request(method.parse().unwrap(), app.resource()).header("origin", origin);
            assert_eq!(request.send().await.unwrap().status().as_u16(), 403, "{method} {origin}");
        }
    }
    let twice = http().post(app.resource()).header("origin", &app.url).header("origin", &app.url);
    assert_eq!(twice.send().await.unwrap().status().as_u16(), 403);
    let port = app.url.rsplit(':').next().unwrap();
    for origin in [app.url.clone(), format!("http://localhost:{port}"), format!("http://[::1]:{port}")] {
        let ours = http().post(app.resource()).header("origin", &origin);
        assert_eq!(ours.send().await.unwrap().status().as_u16(), 401, "{origin}");
    }
    let other_port = http().post(app.resource()).header("origin", "http://localhost:1");
    assert_eq!(other_port.send().await.unwrap().status().as_u16(), 403);
}

#[tokio::test]
async fn host_5_a_simple_cross_site_post_runs_nothing() {
    let app = App::start();
    let tokens = Client::register(&app).await.tokens().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}}).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let request =
            http().post(app.resource()).bearer_auth(tokens.access()).header("content-type", kind).body(call.clone());
        assert_eq!(request.send().await.unwrap().status().as_u16(), 415, "{kind}");
    }
    let preflight = http().request(reqwest::Method::OPTIONS, app.resource()).header("origin", "http://evil.example");
    assert!(preflight.send().await.unwrap().headers().get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn meta_5_a_missing_repeated_or_malformed_host_is_400_and_the_end_of_the_connection() {
    let app = App::start();
    for hosts in ["", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n", "Host: a b\r\n", "Host: user@h\r\n", "Host: \r\n"] {
        let answer = raw(&app, &format!("GET /healthz HTTP/1.1\r\n{hosts}\r\n")).await;
        assert!(matches!(status(&answer), "400" | "closed"), "{hosts:?}: {answer}");
        assert!(answer.is_empty() || answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn smug_1_ambiguous_framing_is_400() {
    let app = App::start();
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Transfer-Encoding: xchunked",
    ] {
        let answer = raw(&app, &format!("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n0\r\n\r\n")).await;
        assert!(matches!(status(&answer), "400" | "501" | "closed"), "{headers}: {answer}");
    }
}

#[tokio::test]
async fn mcp_7_mcp_8_bodies_are_bounded_in_size_and_time() {
    let app = App::with(
        &BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  max_request_body: 64KiB\n  read_timeout: 1s"),
    );
    let tokens = Client::register(&app).await.tokens().await;
    let session = Session::new(&app, tokens.access());
    let padded = |size: usize| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{{\"pad\":\"{}\"}}}}", "x".repeat(size))
    };
    assert_eq!(session.post_raw(padded(60_000)).await.status, 200);
    assert_eq!(session.post_raw(padded(70_000)).await.status, 413);
    let declared = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: 70000\r\n\r\n{{",
        tokens.access()
    );
    assert_eq!(status(&raw(&app, &declared).await), "413", "what is declared too large is not waited for");
    let gzip = session
        .request(reqwest::Method::POST)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(vec![0x1f, 0x8b]);
    assert_eq!(gzip.send().await.unwrap().status().as_u16(), 415);
    for (path, kind, authorization) in [
        ("/mcp", "application/json", format!("Authorization: Bearer {}\r\n", tokens.access())),
        ("/oauth/token", "application/x-www-form-urlencoded", String::new()),
    ] {
        let slow = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}Content-Type: {kind}\r\nContent-Length: 100\r\n\r\n{{"
        );
        assert_eq!(status(&raw(&app, &slow).await), "408", "{path}");
    }
}

#[tokio::test]
async fn host_6_an_open_endpoint_works_without_a_token_and_is_announced() {
    let app = App::with("server: {listen: \"127.0.0.1:0\"}\nupstreams: {me: {builtin: whoami}}\n");
    let session = Session::initialize(&app, "none").await;
    let who = session.tool("whoami", json!({})).await;
    assert!(who["result"]["content"][0]["text"].is_string(), "{who}");
}

#[tokio::test]
async fn an_endpoint_whose_path_only_sounds_like_a_page_is_none() {
    // Browsers that may use it get CORS, and their posts are not taken for forms of ours.
    let yaml = BASIC.replace(
        "listen: 127.0.0.1:0",
        "listen: 127.0.0.1:0\n  mcp_path: /authorized\n  allowed_origins: [\"https://inspector.example\"]",
    );
    let app = App::with(&yaml);
    let request = http().post(format!("{}/authorized", app.local_url()));
    let request = request.header("origin", "https://inspector.example").header("sec-fetch-site", "cross-site");
    let page = Page::read(request.json(&initialize("2025-11-25")).send().await.unwrap()).await;
    assert_eq!((page.status, page.header("access-control-allow-origin")), (401, "https://inspector.example"));
}
