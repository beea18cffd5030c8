//! What comes before everything: names, origins, framing.

use std::time::Duration;

use mcp_bridge::protocol::mcp::message::MAX_DEPTH;
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
async fn host_1_a_name_in_the_target_counts_too() {
    // RFC 9112 §3.2.2: it counts instead of `Host`.
    let app = App::start();
    for (target, host, expected) in [
        ("http://evil.example/healthz", "127.0.0.1", "421"),
        ("http://127.0.0.1/healthz", "evil.example", "421"),
        ("http://user@127.0.0.1/healthz", "127.0.0.1", "400"),
        ("http://127.0.0.1/healthz", "127.0.0.1", "200"),
    ] {
        let answer = raw(&app, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(status(&answer), expected, "{target} {host}");
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

/// With bodies of 64 KiB at most, and a second for each pause in them.
async fn bounded() -> (App, Session) {
    let app = App::with(
        &BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  max_request_body: 64KiB\n  read_timeout: 1s"),
    );
    let tokens = Client::register(&app).await.tokens().await;
    let session = Session::new(&app, tokens.access());
    (app, session)
}

#[tokio::test]
async fn mcp_7_bodies_are_bounded_in_size_and_never_compressed() {
    let (app, session) = bounded().await;
    let padded = |size: usize| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{{\"pad\":\"{}\"}}}}", "x".repeat(size))
    };
    assert_eq!(session.post_raw(padded(60_000)).await.status, 200);
    assert_eq!(session.post_raw(padded(70_000)).await.status, 413);
    // Of which no length was declared.
    let pieces = (0..70).map(|_| Ok::<_, std::io::Error>("x".repeat(1000)));
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    assert_eq!(session.post_raw(chunked).await.status, 413);
    let declared = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: {}\r\nContent-Length: 70000\r\n\r\n{{",
        session.authorization()
    );
    assert_eq!(status(&raw(&app, &declared).await), "413", "what is declared too large is not waited for");
    let gzip = session
        .request(reqwest::Method::POST)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(vec![0x1f, 0x8b]);
    assert_eq!(gzip.send().await.unwrap().status().as_u16(), 415);
}

#[tokio::test]
async fn mcp_7_nesting_and_numbers_of_elements_cost_no_more_than_their_bytes() {
    let app = App::start();
    let session = Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await;
    let within = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"value":{value}}}}}"#);
    let nested = |depth: usize| within(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert_eq!(session.post_raw(nested(MAX_DEPTH - 2)).await.status, 200);
    for depth in [MAX_DEPTH + 1, 200, 100_000, 5_000_000] {
        assert_eq!(session.post_raw(nested(depth)).await.status, 400, "{depth}");
    }
    let million = format!("[{}1]", "1,".repeat(1_000_000));
    assert_eq!(session.post_raw(within(&million)).await.status, 200);
    assert_eq!(session.post_raw(million).await.status, 400, "no batches here");
    assert_eq!(session.status().await, 200);
}

#[tokio::test]
async fn mcp_8_a_body_may_pause_for_so_long_and_last_for_so_long() {
    let (app, session) = bounded().await;
    for (path, kind, authorization) in [
        ("/mcp", "application/json", format!("Authorization: {}\r\n", session.authorization())),
        ("/oauth/token", "application/x-www-form-urlencoded", String::new()),
        ("/oauth/register", "application/json", String::new()),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}Content-Type: {kind}\r\nContent-Length: 100\r\n\r\n{{"
        );
        assert_eq!(status(&raw(&app, &head).await), "408", "{path}: a pause");
        assert_eq!(status(&drip(&app, &head).await), "408", "{path}: without a pause");
    }
}

/// Sends a head and then a byte of content again and again, never pausing for a second, until there is an answer.
async fn drip(app: &App, head: &str) -> String {
    let stream = TcpStream::connect(app.local_url().trim_start_matches("http://")).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    write.write_all(head.as_bytes()).await.unwrap();
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            length = read.read(&mut buffer) => return String::from_utf8_lossy(&buffer[..length.unwrap()]).into_owned(),
            _ = beat.tick() => drop(write.write_all(b"x").await),
        }
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
