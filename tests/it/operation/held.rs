//! Requests that are under way while the configuration changes: held back by who sends them, or by whom the bridge asks.

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::operation::{LONG, PEOPLE, bare_folder, hashed, register};
use crate::support::app::PASSWORD;
use crate::support::browser::Page;
use crate::support::client::{Client, REDIRECT_URI, Tokens, http};
use crate::support::mcp::Session;
use crate::support::provider::SUBJECT;
use crate::support::{Browser, Program, Provider};

/// A form of which all but the last byte is sent, and which the bridge has begun to read.
struct Held {
    stream: TcpStream,
    last: u8,
}

impl Held {
    async fn begin(program: &Program, path: &str, headers: &str, fields: &[(&str, &str)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        Self::begin_with(program, &format!("POST {path}"), &headers, &form).await
    }

    /// Any body, with these headers.
    async fn begin_with(program: &Program, method_and_path: &str, headers: &str, body: &str) -> Self {
        let host = program.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        // RFC 9110 §10.1.1: who asks for it is told when the request has come to where it is answered.
        let head = format!(
            "{method_and_path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\nConnection: close\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut told).await.unwrap();
        assert!(told.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&told));
        let (last, most) = body.as_bytes().split_last().unwrap();
        stream.write_all(most).await.unwrap();
        Self { stream, last: *last }
    }

    /// The form of a page of this browser.
    async fn of_page(program: &Program, browser: &Browser, page: &Page, fields: &[(&str, &str)]) -> Self {
        let cookies: Vec<String> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = format!("Cookie: {}\r\nOrigin: null\r\nSec-Fetch-Site: same-origin\r\n", cookies.join("; "));
        let csrf = page.csrf();
        let fields = [&[("csrf", csrf.as_str())], fields].concat();
        let action = page.action();
        Self::begin(program, action.strip_prefix(&program.url).unwrap(), &headers, &fields).await
    }

    /// Sends the rest; gives the answer, head and all.
    async fn finish(mut self) -> String {
        self.stream.write_all(&[self.last]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// The configuration with another line in the place of Rita's.
fn rita(yaml: &str, line: &str) -> String {
    let old = yaml.lines().find(|line| line.contains("rita")).unwrap();
    yaml.replace(&format!("{old}\n"), line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_a_login_held_back_over_a_reload_is_judged_by_what_is_in_force_then() {
    let yaml = hashed(PEOPLE);
    let other = bcrypt::hash("another horse", 4).unwrap();
    let changed =
        rita(&yaml, &format!("        - {{username: rita, password_hash: \"{other}\", scopes: [\"mcp:read\"]}}\n"));
    let program = Program::start(bare_folder(&yaml), &[]);
    let client = register(&program).await;
    for (after, password, status) in
        [(rita(&yaml, ""), PASSWORD, "401"), (changed.clone(), PASSWORD, "401"), (changed, "another horse", "303")]
    {
        program.configure(&yaml);
        assert!(program.reload(), "{}", program.log());
        let mut browser = Browser::new();
        let page = browser.open(&client.authorize_url(&[])).await;
        let fields = [("username", "rita"), ("password", password)];
        let held = Held::of_page(&program, &browser, &page, &fields).await;
        program.configure(&after);
        assert!(program.reload(), "{}", program.log());
        let answer = held.finish().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_a_yes_held_back_over_a_reload_that_leaves_its_person_less_is_none() {
    let yaml = hashed(PEOPLE);
    let wide = yaml.replace("scopes: [\"mcp:read\"]}", "scopes: [\"mcp:read\", \"mcp:write\"]}");
    let program = Program::start(bare_folder(&wide), &[]);
    let client = register(&program).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[("scope", Some("mcp:read mcp:write"))])).await;
    let consent = browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    assert_eq!(consent.ticked(), ["mcp:read", "mcp:write"]);
    let fields = [("decision", "allow"), ("scope", "mcp:read"), ("scope", "mcp:write")];
    let held = Held::of_page(&program, &browser, &consent, &fields).await;
    program.configure(&yaml);
    assert!(program.reload(), "{}", program.log());
    let answer = held.finish().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("code="), "{answer}");
}

/// The grant for assertions of an enterprise's identity provider.
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SECRET: &str = "a secret of more than 32 characters, long";

fn with_robot(robot: &str) -> String {
    let robot = format!(
        "    clients:\n      - {{client_id: robot, {robot}, grant_types: [client_credentials], scopes: [\"mcp:read\"]}}\n"
    );
    hashed(PEOPLE).replace("    allow_dynamic", &format!("{robot}    allow_dynamic"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tok_14_a_secret_held_back_over_a_reload_that_changes_it_is_worth_nothing() {
    let yaml = with_robot(&format!("client_secret: \"{SECRET}\""));
    let program = Program::start(bare_folder(&yaml), &[]);
    let fields = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET)];
    let good = Held::begin(&program, "/oauth/token", "", &fields).await;
    assert!(good.finish().await.starts_with("HTTP/1.1 200 "));
    let held = Held::begin(&program, "/oauth/token", "", &fields).await;
    program.configure(&yaml.replace(SECRET, "another secret of more than 32 characters"));
    assert!(program.reload(), "{}", program.log());
    let answer = held.finish().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("invalid_client"), "{answer}");
}

/// What requests of before still gave is looked for within two seconds, also while one is held back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tok_14_what_a_changed_secret_gives_is_not_taken_back_with_what_the_one_before_gave() {
    let yaml = with_robot(&format!("client_secret: \"{SECRET}\""));
    let program = Program::start(bare_folder(&yaml), &[]);
    let newer = "another secret of more than 32 characters";
    let fields = |secret| [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", secret)];
    let _held = Held::begin(&program, "/oauth/token", "", &fields(SECRET)).await;
    program.configure(&yaml.replace(SECRET, newer));
    assert!(program.reload(), "{}", program.log());
    let tokens = Client::read(http().post(format!("{}/oauth/token", program.url)).form(&fields(newer))).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(status(&program, &tokens).await, 200, "after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_held_back_over_a_reload_that_changes_the_secret_is_nobodys() {
    let yaml = with_robot(&format!("client_secret: \"{SECRET}\""));
    let program = Program::start(bare_folder(&yaml), &[]);
    let fields = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET)];
    let tokens = Client::read(http().post(format!("{}/oauth/token", program.url)).form(&fields)).await;
    let fields = [("token", tokens.access()), ("client_id", "robot"), ("client_secret", SECRET)];
    let held = Held::begin(&program, "/oauth/revoke", "", &fields).await;
    program.configure(&yaml.replace(SECRET, "another secret of more than 32 characters"));
    assert!(program.reload(), "{}", program.log());
    let answer = held.finish().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("invalid_client"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_held_back_over_a_reload_is_judged_by_what_is_in_force_then() {
    let yaml = hashed(PEOPLE);
    let program = Program::start(bare_folder(&yaml), &[]);
    let client = register(&program).await;
    let text = |member: &str| client.registration[member].as_str().unwrap();
    let json = "Content-Type: application/json\r\n";
    let owner = format!("{json}Authorization: Bearer {}\r\n", text("registration_access_token"));
    let put = format!("PUT {}", text("registration_client_uri").strip_prefix(&program.url).unwrap());
    let body = json!({"client_id": client.id, "redirect_uris": [REDIRECT_URI]}).to_string();
    let closed = yaml.replace("allow_dynamic_registration: true", "allow_dynamic_registration: false");
    let narrow = yaml.replace(REDIRECT_URI, "https://other.example/cb");
    for (after, status) in [(narrow, "400"), (closed, "404")] {
        program.configure(&yaml);
        assert!(program.reload(), "{}", program.log());
        let held = [
            Held::begin_with(&program, "POST /oauth/register", json, &body).await,
            Held::begin_with(&program, &put, &owner, &body).await,
        ];
        program.configure(&after);
        assert!(program.reload(), "{}", program.log());
        for held in held {
            let answer = held.finish().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    }
}

/// A host that answers its first request with `answer`, when it is told to; it says when it was asked.
fn slow_host(answer: String) -> (String, mpsc::Receiver<()>, mpsc::Sender<()>) {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ((asked, is_asked), (go, may_go)) = (mpsc::channel(), mpsc::channel());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        asked.send(()).unwrap();
        may_go.recv().unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        let _ = stream.write_all(format!("{head}{answer}").as_bytes());
    });
    (address, is_asked, go)
}

async fn status(program: &Program, tokens: &Tokens) -> u16 {
    Session::at(&format!("{}/mcp", program.url), tokens.access()).status().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_what_is_granted_after_two_reloads_by_the_one_before_both_ends_too() {
    let key = ES256.generate_key_pair().unwrap();
    let (host, is_asked, go) = slow_host(json!({"keys": [key.to_jwk_public_key()]}).to_string());
    let provider = Provider::start();
    let others = format!(
        "    client_id_metadata_documents: {{enabled: false, timeout: 10s, danger_allow_addresses: [\"{host}\"]}}\n    \
         enterprise: {{issuers: [{{issuer: \"{}\", default_scopes: [\"mcp:read\"]}}]}}\n    clients:\n      \
         - {{client_id: other, client_secret: \"{SECRET}\", grant_types: [\"{ASSERTION}\"]}}",
        provider.url
    );
    let yaml = with_robot(&format!("jwks_uri: \"http://{host}/jwks\"")).replace("    clients:", &others);
    let yaml = yaml.replace("client_credentials", &format!("\"{ASSERTION}\""));
    let program = Program::start(bare_folder(&yaml), &[]);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({"iss": "robot", "sub": "robot", "aud": program.url, "exp": now + 60, "jti": "1"}).to_string();
    let signer = ES256.signer_from_jwk(&key.to_jwk_private_key()).unwrap();
    let assertion = josekit::jws::serialize_compact(claims.as_bytes(), &JwsHeader::new(), &signer).unwrap();
    let about = json!({"iss": provider.url, "sub": SUBJECT, "aud": program.url, "client_id": "robot", "jti": "2",
        "iat": now, "exp": now + 60, "resource": format!("{}/mcp", program.url), "scope": "mcp:read"});
    let form = [
        ("grant_type", ASSERTION.to_owned()),
        ("assertion", provider.signed("oauth-id-jag+jwt", &about)),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
        ("client_assertion", assertion),
    ];
    let request = http().post(format!("{}/oauth/token", program.url)).form(&form);
    let under_way = tokio::spawn(Client::read(request));
    tokio::task::spawn_blocking(move || is_asked.recv_timeout(LONG)).await.unwrap().expect("its keys are asked for");
    // The robot is removed, and then something else changes; the bridge waits for its keys all the while.
    let without: Vec<&str> = yaml.lines().filter(|line| !line.contains("robot")).collect();
    let without = without.join("\n") + "\n";
    for yaml in [without.clone(), without + "  more: {builtin: whoami}\n"] {
        program.configure(&yaml);
        assert!(program.reload(), "{}", program.log());
    }
    go.send(()).unwrap();
    let tokens = under_way.await.unwrap();
    assert_eq!(tokens.status, 200, "the request ends as it began: {tokens:?}");
    let began = Instant::now();
    while status(&program, &tokens).await != 401 {
        assert!(began.elapsed() < LONG, "what it was given outlives its client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
