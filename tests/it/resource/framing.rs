//! Framing, with bytes as no client of HTTP would send them: where one request ends and the next begins is never in doubt.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{App, Client};

/// What a smuggled request would be: it is answered only when the one before it was understood, and ends the connection.
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
/// A whole message.
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
/// The same as the only chunk.
const CHUNKED_PING: &str = "28\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n0\r\n\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked";

/// An endpoint for everybody, so that nothing but the framing decides.
fn open() -> App {
    App::with("server: {listen: \"127.0.0.1:0\", read_timeout: 1s}\nupstreams: {me: {builtin: whoami}}\n")
}

/// Sends bytes as they are, and reads until the other side ends the connection.
async fn raw(app: &App, bytes: &str) -> String {
    let mut stream = TcpStream::connect(app.local_url().trim_start_matches("http://")).await.unwrap();
    // The other side may have said no before it read everything.
    let _refused = stream.write_all(bytes.as_bytes()).await;
    rest(&mut stream).await
}

/// What comes until the end of the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answers = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            answers.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection ends");
    String::from_utf8_lossy(&answers).into_owned()
}

/// The status codes of what was answered.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.").skip(1).map(|answer| answer[2..].split([' ', '\r']).next().unwrap()).collect()
}

/// The start line and the fields that every message here has.
fn post(fields: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n{fields}\r\n\r\n"
    )
}

/// What is answered to a message with these fields and this content, and to the request behind it.
async fn sent(app: &App, fields: &str, content: &str) -> String {
    raw(app, &format!("{}{content}{NEXT}", post(fields))).await
}

async fn assert_refused(app: &App, fields: &str, content: &str) {
    let answers = sent(app, fields, content).await;
    assert_eq!(statuses(&answers), ["400"], "{fields:?} {content:?}: {answers}");
}

async fn assert_taken(app: &App, fields: &str, content: &str) {
    let answers = sent(app, fields, content).await;
    assert_eq!(statuses(&answers), ["200", "200"], "{fields:?} {content:?}: {answers}");
}

#[tokio::test]
async fn smug_1_a_length_beside_chunks_is_400_and_the_end_of_the_connection() {
    let app = open();
    assert_taken(&app, "Content-Length: 40", PING).await;
    assert_taken(&app, CHUNKED, CHUNKED_PING).await;
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 40\r\nTRANSFER-ENCODING: Chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
    ] {
        assert_refused(&app, fields, CHUNKED_PING).await;
    }
    // RFC 9112 §6.1: chunks are not known to HTTP/1.0.
    let old = post(CHUNKED).replace("HTTP/1.1", "HTTP/1.0") + CHUNKED_PING + NEXT;
    assert_eq!(statuses(&raw(&app, &old).await), ["400"]);
}

#[tokio::test]
async fn smug_2_a_length_that_reads_in_two_ways_is_400_and_the_end_of_the_connection() {
    let app = open();
    for length in ["+5", "-5", "0x5", "5\u{b}", "5, 5", "5;5", "", "5 5", "99999999999999999999999", "5.0", "\u{665}"] {
        assert_refused(&app, &format!("Content-Length: {length}"), "xxxxx").await;
    }
    assert_refused(&app, "Content-Length: 5\r\nContent-Length: 6", "xxxxx").await;
    assert_refused(&app, "Content-Length: 40\r\ncontent-length: 40", PING).await;
    // RFC 9110 §5.5: white space around a value is no part of it.
    assert_taken(&app, "Content-Length: \t40 ", PING).await;
}

#[tokio::test]
async fn smug_2_a_length_beyond_all_bounds_is_413_before_anything_of_it_has_come() {
    let app = open();
    for length in ["10485761", "4294967296", "9223372036854775809", "18446744073709551615"] {
        let answers = raw(&app, &post(&format!("Content-Length: {length}"))).await;
        assert_eq!(statuses(&answers), ["413"], "{length}: {answers}");
    }
}

#[tokio::test]
async fn smug_4_chunks_are_read_strictly() {
    let app = open();
    for size in ["", " 28", "0x28", "+28", "-1", "28;ext=\"\n\"", "10000000000000000", "28\r", "zz", "28;\u{0}"] {
        assert_refused(&app, CHUNKED, &format!("{size}\r\n{PING}\r\n0\r\n\r\n")).await;
    }
    for content in [
        format!("28\r\n{PING}0\r\n\r\n"),
        format!("28\n{PING}\n0\n\n"),
        format!("28\r\n{PING}\n0\r\n\r\n"),
        format!("28\r{PING}\r\n0\r\n\r\n"),
        format!("28\r\n{PING}\rX0\r\n\r\n"),
        format!("27\r\n{PING}\r\n0\r\n\r\n"),
    ] {
        assert_refused(&app, CHUNKED, &content).await;
    }
    assert_taken(&app, CHUNKED, &format!("28;name=value\r\n{PING}\r\n0\r\n\r\n")).await;
    assert_taken(&app, CHUNKED, &format!("000000000000000000028\r\n{PING}\r\n0\r\n\r\n")).await;
}

#[tokio::test]
async fn smug_4_what_trails_is_never_taken_for_the_head() {
    let app = App::start();
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let trailing = |trailers: &str| CHUNKED_PING.replace("0\r\n\r\n", &format!("0\r\n{trailers}\r\n\r\n"));
    for trailers in [
        format!("Authorization: Bearer {token}"),
        format!("authorization: Bearer {token}\r\nContent-Length: 5\r\nHost: 127.0.0.1"),
    ] {
        let answers = sent(&app, CHUNKED, &trailing(&trailers)).await;
        assert_eq!(statuses(&answers)[0], "401", "{answers}");
    }
    let with_token = format!("{CHUNKED}\r\nAuthorization: Bearer {token}");
    assert_taken(&app, &with_token, &trailing("Content-Length: 5\r\nTransfer-Encoding: chunked")).await;
}

#[tokio::test]
async fn smug_5_malformed_fields_are_400() {
    let app = open();
    for field in [
        "X-A: b\r\n folded",
        "X-A : b",
        " X-A: b",
        "X-A: a\0b",
        "X-A: a\rb",
        "X-A: b\rContent-Length: 40",
        "X(A: b",
        "X-\u{e9}: b",
        ": b",
        "X-A",
    ] {
        assert_refused(&app, &format!("{field}\r\nContent-Length: 40"), PING).await;
    }
    for line in [
        "GET /healthz\r\nHost: 127.0.0.1",
        "GET /a b HTTP/1.1\r\nHost: 127.0.0.1",
        "GET /\0 HTTP/1.1\r\nHost: 127.0.0.1",
    ] {
        assert_eq!(statuses(&raw(&app, &format!("{line}\r\n\r\n{NEXT}")).await), ["400"], "{line:?}");
    }
}

#[tokio::test]
async fn smug_5_a_lone_line_feed_hides_no_length() {
    let app = open();
    // RFC 9112 §2.2 lets a recipient take it for the end of a line. Who does not, sees a value with a line feed in it, which
    // no proxy may pass on; and beside a length of its own what it hides makes two.
    assert_refused(&app, "X-A: b\nContent-Length: 5\r\nContent-Length: 40", PING).await;
    assert_refused(&app, "X-A: b\nTransfer-Encoding: chunked\r\nContent-Length: 40", PING).await;
}

#[tokio::test]
async fn smug_5_heads_are_bounded() {
    let app = open();
    let many =
        |count: usize, size: usize| (0..count).map(|n| format!("X-{n}: {}\r\n", "a".repeat(size))).collect::<String>();
    assert_taken(&app, &format!("{}Content-Length: 40", many(80, 10)), PING).await;
    assert_taken(&app, &format!("{}Content-Length: 40", many(30, 1000)), PING).await;
    for (count, size) in [(94, 10), (101, 10), (40, 1000), (1, 40_000)] {
        let answers = raw(&app, &(post(&format!("{}Content-Length: 40", many(count, size))) + PING)).await;
        assert_eq!(statuses(&answers), ["431"], "{count} of {size}: {answers}");
    }
    for (length, status) in [(16_000, "200"), (17_000, "414"), (60_000, "414")] {
        let target =
            format!("GET /healthz?{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", "a".repeat(length));
        assert_eq!(statuses(&raw(&app, &target).await), [status], "{length}");
    }
}

#[tokio::test]
async fn smug_6_a_request_in_the_pipe_is_somebody_of_its_own() {
    let app = App::start();
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let message = |fields: &str| post(&format!("{fields}Content-Length: 40")) + PING;
    let (with, without) = (message(&format!("Authorization: Bearer {token}\r\n")), message(""));
    // Neither the one before nor the one after lends its token, and each has its own answer, in order.
    for order in ["+-", "-+", "+-+-", "--+"] {
        let pipe: String = order.chars().map(|c| if c == '+' { with.as_str() } else { without.as_str() }).collect();
        let mut expected: Vec<_> = order.chars().map(|c| if c == '+' { "200" } else { "401" }).collect();
        expected.push("200");
        assert_eq!(statuses(&raw(&app, &(pipe + NEXT)).await), expected, "{order}");
    }
}

#[tokio::test]
async fn smug_6_what_was_not_read_is_never_a_request() {
    let app = App::start();
    // The content of a refused request looks like requests, and is much or has not come yet.
    for (path, fields) in [("/mcp", ""), ("/mcp", "Content-Type: text/plain\r\n"), ("/oauth/token", ""), ("/none", "")]
    {
        for content in [NEXT.repeat(2), NEXT.repeat(3000)] {
            let length = content.len();
            let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Length: {length}\r\n\r\n");
            let answers = raw(&app, &format!("{head}{content}{NEXT}")).await;
            let statuses = statuses(&answers);
            assert!(statuses.len() <= 2 && statuses[0].starts_with('4'), "{path} {length}: {statuses:?}");
        }
    }
}

#[tokio::test]
async fn smug_7_content_where_none_is_expected_stays_content() {
    let app = open();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        for framing in
            [format!("Content-Length: {}\r\n\r\n{NEXT}", NEXT.len()), format!("{CHUNKED}\r\n\r\n{CHUNKED_PING}")]
        {
            let request = format!("{method} /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}");
            let answers = raw(&app, &(request + NEXT)).await;
            assert_eq!(statuses(&answers).len(), 2, "{method}: {answers}");
        }
    }
}

#[tokio::test]
async fn smug_7_expecting_to_go_on_loses_no_step() {
    let app = open();
    let expecting = post("Expect: 100-continue\r\nContent-Length: 40");
    let answers = raw(&app, &format!("{expecting}{PING}{expecting}{PING}{NEXT}")).await;
    let finals: Vec<_> = statuses(&answers).into_iter().filter(|status| *status != "100").collect();
    assert_eq!(finals, ["200", "200", "200"], "{answers}");
    // Nobody waits for ever for what was announced.
    let answers = raw(&app, &expecting).await;
    assert_eq!(statuses(&answers).last(), Some(&"408"), "{answers}");
}

#[tokio::test]
async fn smug_7_no_other_protocol_is_switched_to() {
    let app = open();
    // Clients that know HTTP/2 offer it in clear text; they are served as if they had not.
    let offer =
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 40";
    assert_eq!(statuses(&sent(&app, offer, PING).await)[0], "200");
    let socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 40";
    assert_refused(&app, socket, PING).await;
    assert_refused(&app, &socket.replace("Connection: Upgrade\r\n", ""), PING).await;
    let shake = format!("GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{socket}\r\n\r\n{NEXT}");
    let answers = raw(&app, &shake).await;
    assert_eq!(statuses(&answers).len(), 1, "{answers}");
    assert!(statuses(&answers)[0].starts_with('4') && !answers.contains("101"), "{answers}");
}

#[tokio::test]
async fn smug_8_http_2_is_not_spoken() {
    let app = open();
    for line in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /healthz HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n"] {
        assert_eq!(statuses(&raw(&app, line).await), ["400"], "{line:?}");
    }
    // Not compiled in: nothing a peer could say would bring it about.
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let actix = lock.split("[[package]]").find(|package| package.contains("name = \"actix-http\"")).unwrap();
    assert!(!actix.contains("\"h2"), "{actix}");
    // Nor is what is compressed: it would be unpacked beside its connection, where nobody asks for the next piece (`src/http/body.rs`).
    assert!(!["flate2", "brotli", "zstd"].iter().any(|package| actix.contains(package)), "{actix}");
}

#[tokio::test]
async fn a_body_is_read_as_its_pieces_come() {
    let app = App::with(
        "server: {listen: \"127.0.0.1:0\", workers: 1, read_timeout: 5s}\nupstreams: {me: {builtin: whoami}}\n",
    );
    let address = app.local_url();
    let address = address.trim_start_matches("http://");
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":2,"method":"ping","params":{{"_meta":{{"x":"{}"}}}}}}"#, "x".repeat(300_000));
    for body in [PING, &long] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = post(&format!("Connection: close\r\nContent-Length: {}", body.len()));
        let (first, rest_of_body) = body.split_at(7);
        for piece in [head.as_str(), first, rest_of_body] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            // The same thread serves somebody else in between, so that they come apart.
            assert_eq!(statuses(&raw(&app, NEXT).await), ["200"]);
        }
        assert_eq!(statuses(&rest(&mut stream).await), ["200"], "{} bytes", body.len());
    }
}
