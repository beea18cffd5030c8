//! What passes between a client's HTTP and an upstream's: the message, and nothing else. Both ends are looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fake_server::{FakeServer, Got, Reply};
use crate::support::app::BASIC;
use crate::support::mcp::{Session, last_message};
use crate::support::{App, Browser, Client, Stateless};

/// Echoes what `tools/call` is given.
fn echo(got: &Got) -> Option<Reply> {
    let (id, _, arguments) = got.call();
    (got.method() == "tools/call").then(|| Reply::result(&id, arguments["text"].as_str().unwrap_or("")))
}

/// A bridge before a server, with these further settings of it.
fn before(server: &FakeServer, settings: &str) -> App {
    App::with(&BASIC.replace("me: {builtin: whoami}", &format!("h: {{url: \"{}\"{settings}}}", server.url)))
}

const INJECTED: &str = ", auth: {token: upstream-token}, headers: {X-Api-Key: real, X-User: bridge}";
/// Every header field that a request to an upstream has.
const OURS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    // Of the question for its era that a server is first asked.
    "mcp-method",
    "mcp-protocol-version",
    "mcp-session-id",
    "user-agent",
    "x-api-key",
    "x-user",
];

/// Calls a tool with these header fields, written as they are, beside the token; gives the answer.
async fn call_with(app: &App, fields: &[&str]) -> String {
    let token = Client::register(app).await.tokens().await.access().to_owned();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}});
    let body = body.to_string();
    let host = app.local_url().trim_start_matches("http://").to_owned();
    let has_connection = fields.iter().any(|field| field.starts_with("Connection"));
    let mut head = format!("POST /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n");
    for field in fields.iter().chain(if has_connection { &[][..] } else { &["Connection: close"] }) {
        head.push_str(&format!("{field}\r\n"));
    }
    head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Checks that a call with these fields was answered, and that no request to the server had anything but what is ours.
async fn assert_nothing_passes(fields: &[&str]) {
    let server = FakeServer::start(echo).await;
    let app = before(&server, INJECTED);
    let answer = call_with(&app, fields).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""text":"x""#), "{fields:?}: {answer}");
    assert_eq!(server.got_of("tools/call").len(), 1);
    for got in server.got() {
        let names: BTreeSet<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
        let foreign: Vec<_> = names.iter().filter(|name| !OURS.contains(name)).collect();
        assert!(foreign.is_empty(), "{fields:?}: {foreign:?}");
        assert_eq!(names.len(), got.headers.len(), "each once: {got:?}");
        assert!(got.header("mcp-method").iter().all(|method| *method == got.method()), "{got:?}");
        assert_eq!(got.header("authorization"), ["Bearer upstream-token"]);
        assert_eq!((got.header("x-api-key"), got.header("x-user")), (vec!["real"], vec!["bridge"]));
        assert_eq!(got.header("host"), [server.url.trim_start_matches("http://").trim_end_matches("/mcp")]);
    }
}

#[tokio::test]
async fn proxy_1_no_credential_of_the_client_goes_upstream() {
    assert_nothing_passes(&["Proxy-Authorization: Basic YTpi", "Cookie: session=1; b=2", "X-Auth-Token: evil"]).await;
    let server = FakeServer::start(echo).await;
    let app = before(&server, INJECTED);
    for again in ["Authorization: Bearer other", "authorization: Basic YTpi", "AUTHORIZATION: "] {
        let answer = call_with(&app, &[again]).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{again}: {answer}");
    }
    assert!(server.got_of("tools/call").is_empty());
}

#[tokio::test]
async fn proxy_2_what_the_bridge_injects_cannot_be_said_by_the_client() {
    assert_nothing_passes(&[
        "X-Api-Key: evil",
        "x-api-key: evil",
        "X_Api_Key: evil",
        "X-User: admin",
        "X_User: admin",
        "X-Forwarded-User: admin",
        "X_Forwarded_User: admin",
        "X-Auth-Request-Email: admin@example.com",
        "Remote-User: admin",
        "User-Agent: evil",
    ])
    .await;
}

#[tokio::test]
async fn proxy_3_connection_takes_nothing_away_and_hop_by_hop_fields_end_here() {
    assert_nothing_passes(&["Connection: close, X-Api-Key, Authorization, X-Forwarded-For, Host, Content-Length"])
        .await;
    assert_nothing_passes(&[
        "Connection: close, Keep-Alive",
        "Keep-Alive: timeout=99",
        "TE: trailers, deflate",
        "Trailer: X-Api-Key",
        "Proxy-Connection: keep-alive",
        "Proxy-Authenticate: Basic",
        "Upgrade: h2c",
    ])
    .await;
}

#[tokio::test]
async fn proxy_4_what_a_client_says_of_its_way_here_stays_here() {
    assert_nothing_passes(&[
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Prefix: /admin",
        "Forwarded: for=10.0.0.1;host=evil.example;proto=https",
        "X-Real-IP: 10.0.0.1",
        "Via: 1.1 a, 1.1 b, 1.1 c",
    ])
    .await;
}

#[tokio::test]
async fn proxy_5_no_field_works_magic() {
    let magic = [
        "mcp-init-host: evil.example",
        "x-mcp-authorized: true",
        "router-key: secret-api-key",
        "x-mcp-bridge-user: admin",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /healthz",
        "X-Rewrite-URL: /healthz",
        "Mcp-Param-Role: admin",
        "Traceparent: 00-00000000000000000000000000000001-0000000000000001-01",
    ];
    assert_nothing_passes(&magic).await;
    // And none of them opens the door.
    let server = FakeServer::start(echo).await;
    let app = before(&server, "");
    let mut request = crate::support::client::http().post(app.resource()).header("content-type", "application/json");
    for field in magic {
        let (name, value) = field.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    assert_eq!(request.body("{}").send().await.unwrap().status().as_u16(), 401);
}

#[tokio::test]
async fn proxy_7_a_redirect_is_not_followed_with_credentials_or_without() {
    let elsewhere = FakeServer::start(echo).await;
    let target = elsewhere.url.clone();
    let server = FakeServer::start(move |got| {
        let (_, _, arguments) = got.call();
        let location = arguments["to"].as_str().unwrap_or_default().replace("ELSEWHERE", &target);
        let status = u16::try_from(arguments["status"].as_u64()?).unwrap();
        Some(Reply::Whole { status, headers: vec![("Location", location)], body: String::new() })
    })
    .await;
    let app = before(&server, INJECTED);
    let session = Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await;
    for status in [301, 302, 303, 307, 308] {
        for to in ["ELSEWHERE", "http://169.254.169.254/latest/meta-data", "//127.0.0.1:1/", "/mcp?again"] {
            let answer = session.tool("echo", json!({"status": status, "to": to})).await;
            assert_eq!(answer["error"]["code"], -32000, "{status} {to}: {answer}");
        }
    }
    assert!(elsewhere.got().is_empty(), "{:?}", elsewhere.got());
    assert_eq!(server.got_of("tools/call").len(), 20, "each was sent once");
}

#[tokio::test]
async fn proxy_8_an_upstreams_challenge_is_not_ours() {
    let server = FakeServer::start(|got| {
        let status = u16::try_from(got.call().2["status"].as_u64()?).unwrap();
        let challenge = "Bearer resource_metadata=\"https://evil.example/.well-known/oauth-protected-resource\"";
        let headers = vec![("WWW-Authenticate", challenge.to_owned())];
        Some(Reply::Whole { status, headers, body: "{\"error\":\"invalid_token\"}".to_owned() })
    })
    .await;
    let app = before(&server, INJECTED);
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let (session, stateless) = (Session::initialize(&app, &token).await, Stateless::new(&app, &token));
    for status in [401, 403, 407] {
        let call = json!({"name": "echo", "arguments": {"status": status}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
        for page in [session.post(&message).await, stateless.page("tools/call", call.clone()).await] {
            assert_eq!((page.status, page.header("www-authenticate")), (200, ""), "{page:?}");
            assert!(last_message(&page)["error"]["code"].is_i64() && !page.body.contains("evil"), "{page:?}");
        }
    }
}

#[tokio::test]
async fn proxy_9_an_upstreams_fields_reach_no_client_and_its_cookies_no_later_request() {
    let server = FakeServer::start(|got| {
        let (id, _, arguments) = got.call();
        if got.method() != "tools/call" {
            return None;
        }
        let text = format!("{} {}", arguments["text"], got.header("cookie").len());
        let body =
            json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}}).to_string();
        let headers = [
            ("Set-Cookie", "who=ada; Path=/"),
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Location", "https://evil.example"),
            ("Clear-Site-Data", "\"*\""),
            ("Strict-Transport-Security", "max-age=0"),
            ("Content-Security-Policy", "script-src *"),
            ("Alt-Svc", "h3=\":443\""),
            ("Server", "evil"),
            ("Link", "<https://evil.example>; rel=preload"),
            ("Refresh", "0; url=https://evil.example"),
            ("Mcp-Session-Id", "stolen"),
            ("Cache-Control", "public, max-age=999"),
            ("X-Evil", "1"),
            ("Content-Type", "application/json"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        Some(Reply::Whole { status: 200, headers, body })
    })
    .await;
    let app = before(&server, "");
    let allowed = ["content-length", "content-type", "cache-control", "date", "x-content-type-options"];
    for client in 0..2 {
        let session = Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await;
        for round in 0..3 {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": client}}});
            let page = session.post(&message).await;
            assert_eq!(last_message(&page)["result"]["content"][0]["text"], format!("{client} 0"), "{round}");
            let foreign: Vec<_> = page.headers.keys().filter(|name| !allowed.contains(&name.as_str())).collect();
            assert!(foreign.is_empty() && page.header("cache-control") == "no-store", "{page:?}");
        }
    }
}

#[tokio::test]
async fn proxy_10_answers_that_are_cut_or_ambiguous_leave_nothing_for_the_next() {
    let server = FakeServer::start(|got| {
        let (id, _, arguments) = got.call();
        let answer =
            |text: &str| json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"text": text}]}}).to_string();
        let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let (wrong, right) = (answer("wrong"), answer("right"));
        let cut = match arguments["how"].as_str()? {
            "status" => format!("HTTP/1.1 2OO OK\r\nContent-Length: {}\r\n\r\n{wrong}", wrong.len()),
            "cr" => format!("{json}X-A: a\rb\r\nContent-Length: {}\r\n\r\n{wrong}", wrong.len()),
            "nul" => format!("{json}X-A: a\0b\r\nContent-Length: {}\r\n\r\n{wrong}", wrong.len()),
            "large" => format!("{json}X-A: {}\r\n\r\n", "a".repeat(1 << 20)),
            "lengths" => format!("{json}Content-Length: 5\r\nContent-Length: {}\r\n\r\n{wrong}", wrong.len()),
            "events" => format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\ndata: {wrong}"
            ),
            "flood" => "HTTP/1.1 102 Processing\r\n\r\n".repeat(100_000),
            // Two answers to one question: the second belongs to nobody.
            "two" => {
                let twice = format!(
                    "{json}Content-Length: {}\r\n\r\n{right}{json}Content-Length: {}\r\n\r\n{wrong}",
                    right.len(),
                    wrong.len()
                );
                return Some(Reply::Hang(twice));
            }
            _ => return Some(Reply::result(&id, "right")),
        };
        Some(Reply::Cut(cut))
    })
    .await;
    let app = before(&server, "");
    let session = Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await;
    for how in ["status", "cr", "nul", "large", "lengths", "events", "flood"] {
        let answer = session.tool("echo", json!({"how": how})).await;
        assert_eq!(answer["error"]["code"], -32000, "{how}: {answer}");
        let next = session.tool("echo", json!({"how": "well"})).await;
        assert_eq!(next["result"]["content"][0]["text"], "right", "after {how}");
    }
    for _ in 0..3 {
        assert_eq!(session.tool("echo", json!({"how": "two"})).await["result"]["content"][0]["text"], "right");
        assert_eq!(session.tool("echo", json!({"how": "well"})).await["result"]["content"][0]["text"], "right");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_12_a_thousand_calls_to_one_that_hangs_hold_up_no_other() {
    let dead = FakeServer::start(|got| (got.method() == "tools/call").then(|| Reply::Hang(String::new()))).await;
    let well = FakeServer::start(echo).await;
    let upstreams = format!("dead: {{url: \"{}\"}}\n  well: {{url: \"{}\"}}", dead.url, well.url);
    let yaml = BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  shutdown_timeout: 1s");
    let app = App::with(&yaml.replace("me: {builtin: whoami}", &upstreams));
    let mut hanging = tokio::task::JoinSet::new();
    let mut session = None;
    for _ in 0..2 {
        let token = Client::register(&app).await.tokens().await.access().to_owned();
        let client = Stateless::new(&app, &token);
        for _ in 0..500 {
            let client = client.clone();
            hanging
                .spawn(async move { client.page("tools/call", json!({"name": "dead__echo", "arguments": {}})).await });
        }
        session = Some(Session::initialize(&app, &token).await);
    }
    let session = session.unwrap();
    for round in 0..50 {
        let answer = session.tool("well__echo", json!({"text": round.to_string()})).await;
        assert_eq!(answer["result"]["content"][0]["text"], round.to_string());
    }
    hanging.abort_all();
}

#[tokio::test]
async fn proxy_13_answers_without_end_are_refused_and_nothing_is_unpacked() {
    const MEBIBYTE: usize = 1 << 20;
    let server = FakeServer::start(|got| {
        let (_, _, arguments) = got.call();
        let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        Some(Reply::Hang(match arguments["how"].as_str()? {
            "json" => format!("{json}\r\n{}", " ".repeat(17 * MEBIBYTE)),
            "declared" => format!("{json}Content-Length: 10737418240\r\n\r\n{}", " ".repeat(17 * MEBIBYTE)),
            "line" => format!("{events}data: {}", "x".repeat(17 * MEBIBYTE)),
            "lines" => format!("{events}{}", format!("data: {}\n", "x".repeat(MEBIBYTE)).repeat(17)),
            "comment" => format!("{events}: {}", "x".repeat(17 * MEBIBYTE)),
            "packed" => format!("{json}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\u{1f}x"),
            _ => return None,
        }))
    })
    .await;
    let app = before(&server, "");
    let session = Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await;
    for how in ["json", "declared", "line", "lines", "comment", "packed"] {
        let answer = session.tool("echo", json!({"how": how})).await;
        assert_eq!(answer["error"]["code"], -32000, "{how}: {answer}");
    }
    assert!(server.got().iter().all(|got| got.header("accept-encoding") == ["identity"]), "none was asked for");
}

#[tokio::test]
async fn proxy_14_a_call_is_sent_once_whatever_becomes_of_it() {
    let server = FakeServer::start(|got| {
        (got.method() == "tools/call").then(|| match got.call().2["how"].as_str() {
            Some("read") => Reply::Cut(String::new()),
            Some("head") => Reply::Cut("HTTP/1.1 200 OK\r\n".to_owned()),
            Some("502") => Reply::status(502),
            Some("503") => {
                Reply::Whole { status: 503, headers: vec![("Retry-After", "0".to_owned())], body: String::new() }
            }
            _ => Reply::status(429),
        })
    })
    .await;
    let app = before(&server, "");
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize(&app, &token).await;
    let stateless = Stateless::new(&app, &token);
    for (count, how) in ["read", "head", "502", "503", "429"].into_iter().enumerate() {
        assert_eq!(session.tool("echo", json!({"how": how})).await["error"]["code"], -32000, "{how}");
        assert_eq!(stateless.tool("echo", json!({"how": how})).await["error"]["code"], -32603, "{how}");
        assert_eq!(server.got_of("tools/call").len(), 2 * (count + 1), "{how}");
    }
}

#[tokio::test]
async fn proxy_15_calls_of_two_people_interleaved_on_kept_connections_stay_theirs() {
    let server = FakeServer::start(echo).await;
    let app = before(&server, &format!("{INJECTED}, tools: {{echo: {{scopes: [\"mcp:read\"]}}}}"));
    let mut calls = tokio::task::JoinSet::new();
    for who in ["alice", "rita"] {
        let client = Client::register(&app).await;
        let page = client.authorize(&mut Browser::new(), who, &[]).await;
        let token = client.redeem(&page.answer("code").unwrap()).await.access().to_owned();
        let client = Stateless::new(&app, &token);
        for call in 0..200 {
            let (client, text) = (client.clone(), format!("{who} {call}"));
            calls.spawn(async move {
                let answer = client.tool("echo", json!({"text": text})).await;
                assert_eq!(answer["result"]["content"][0]["text"], text);
            });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    for got in server.got_of("tools/call") {
        assert_eq!(got.header("authorization"), ["Bearer upstream-token"], "the bridge's own, whoever calls");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_24_a_client_that_reads_nothing_is_cut_off_and_its_call_with_it() {
    let server = FakeServer::start(|got| {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x".repeat(100_000)}});
        let events = format!("event: message\ndata: {message}\n\n").repeat(500);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        (got.method() == "tools/call").then(|| Reply::Hang(format!("{head}{events}")))
    })
    .await;
    let app = App::with(
        &BASIC
            .replace("me: {builtin: whoami}", &format!("h: {{url: \"{}\"}}", server.url))
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  write_timeout: 1s"),
    );
    let client = Stateless::new(&app, Client::register(&app).await.tokens().await.access());
    let params = json!({"name": "echo", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "debug"}});
    // reqwest reads no more than it is asked for, beyond what the sockets hold.
    let unread = client.send(1, "tools/call", params).await;
    let dropped = async {
        while server.got_of("notifications/cancelled").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), dropped).await.expect("the call is cancelled");
    drop(unread);
}
