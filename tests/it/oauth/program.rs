//! The real program: what it logs, what a second process does to it, the keys and users of the seed's configuration.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bridge::fake_server::FakeServer;
use crate::support::app::{PASSWORD, WRONG};
use crate::support::browser::Page;
use crate::support::client::{REDIRECT_URI, Tokens, VERIFIER, http};
use crate::support::mcp::Session;
use crate::support::{Browser, Client, Program};

const OPEN: &str = r#"
log: {level: trace, output: log}
server:
  listen: 127.0.0.1:0
  trusted_proxies: [127.0.0.1/32]
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    builtin:
      users:
        - {username: alice, password_env: ALICE_PASSWORD, scopes: ["mcp:read", "mcp:write"]}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["https://client.example/cb"]
upstreams:
  me: {builtin: whoami}
"#;

/// The block of the seed, with a hash and a key in place of its dots.
const SEED: &str = r#"
log: {output: log}
server:
  listen: 127.0.0.1:0
  allowed_hosts: [127.0.0.1]
  oauth_server:
    enabled: true
    issuer: "https://mcp.example.com"
    mode: builtin
    token_lifetime: 1h
    refresh_token_lifetime: 24h
    signing:
      algorithm: RS256
      key_file: "jwt-private.pem"
    builtin:
      users:
        - username: admin
          password_hash: "$2a$04$HASH"
          scopes: ["mcp:read", "mcp:write"]
        - username: reader
          password_env: "READER_PASSWORD"
          scopes: ["mcp:read"]
    allowed_redirect_uris:
      - "https://claude.ai/api/mcp/auth_callback"
    scopes_supported:
      - "mcp:read"
      - "mcp:write"
upstreams:
  me: {builtin: whoami}
"#;

fn folder(yaml: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    folder
}

async fn register(program: &Program, metadata: Value) -> Client {
    Client::register_for(&format!("{}/mcp", program.url), &program.url, metadata).await
}

fn session(program: &Program, tokens: &Tokens) -> Session {
    Session::at(&format!("{}/mcp", program.url), tokens.access())
}

/// Everything said in confidence during these exchanges.
#[derive(Default)]
struct Confided(Vec<(&'static str, String)>);

impl Confided {
    fn page(&mut self, browser: &Browser, page: &Page) {
        self.0.push(("csrf token", page.csrf()));
        self.0.extend(browser.cookies.values().map(|value| ("cookie", value.clone())));
    }

    fn tokens(&mut self, tokens: &Tokens) {
        let signature = tokens.access().rsplit('.').next().unwrap_or_default();
        self.0.push(("access token", signature.to_owned()));
        self.0.push(("refresh token", tokens.refresh().to_owned()));
    }

    fn stand_nowhere_in(&self, log: &str) {
        for (what, secret) in &self.0 {
            assert!(secret.len() >= 8, "{what}: {secret:?}");
            assert!(!log.contains(secret.as_str()), "a {what} is in the log: {secret}");
        }
    }
}

#[tokio::test]
async fn log_3_and_log_1_no_query_and_no_secret_is_logged_at_any_level() {
    let upstream = FakeServer::start(|_| None).await;
    let yaml = format!("{OPEN}  far: {{url: \"{}\", auth: {{token: upstream-credential-1}}}}\n", upstream.url);
    let program = Program::start(folder(&yaml), &[("ALICE_PASSWORD", PASSWORD)]);
    let mut confided = Confided::default();
    let client = register(
        &program,
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_post"}),
    )
    .await;
    let secret = client.registration["client_secret"].as_str().unwrap().to_owned();
    let mut browser = Browser::new();
    browser.address = Some("203.0.113.5");
    let login = browser.open(&client.authorize_url(&[("state", Some("a-state-to-keep"))])).await;
    confided.page(&browser, &login);
    // A password typed into the field of the name is one too.
    let wrong = browser.submit(&login, &[("username", "typed-in-the-wrong-field"), ("password", WRONG)]).await;
    let consent = browser.submit(&wrong, &[("username", "alice"), ("password", PASSWORD)]).await;
    confided.page(&browser, &consent);
    let code = browser.submit(&consent, &[("decision", "allow")]).await.answer("code").unwrap();
    let mut redemption = client.redemption(&code);
    assert_eq!(client.token(&redemption).await.status, 401, "without its secret");
    redemption.push(("client_secret", secret.clone()));
    let bad = client.token(&[&redemption[..], &[("code", "given-twice".to_owned())]].concat()).await;
    assert_eq!(bad.error(), "invalid_request");
    let tokens = client.token(&redemption).await;
    let refreshed = client.refresh_with(tokens.refresh(), &[("client_secret", &secret)]).await;
    for tokens in [&tokens, &refreshed] {
        confided.tokens(tokens);
    }
    let session = session(&program, &refreshed).initialized(serde_json::json!({})).await;
    session.tool("me__echo", json!({"text": "an argument of a call"})).await;
    let bent = format!("{}AAAA", refreshed.access());
    let refused = http().post(format!("{}/mcp?access_token={bent}", program.url)).bearer_auth(&bent);
    assert_eq!(refused.send().await.unwrap().status().as_u16(), 401);
    assert_eq!(client.token(&redemption).await.error(), "invalid_grant", "a replay, which is a warning");
    let odd = http().get(format!("{}/oauth/authorize?client_id=x&state=a-state-to-keep&x=%zz", program.url));
    assert_eq!(odd.send().await.unwrap().status().as_u16(), 400);
    confided.0.extend([
        ("password", PASSWORD.to_owned()),
        ("password", WRONG.to_owned()),
        ("password", "typed-in-the-wrong-field".to_owned()),
        ("client secret", secret),
        ("code", code),
        ("code", "given-twice".to_owned()),
        ("verifier", VERIFIER.to_owned()),
        ("state", "a-state-to-keep".to_owned()),
        ("upstream credential", "upstream-credential-1".to_owned()),
        ("argument", "an argument of a call".to_owned()),
    ]);
    assert!(upstream.got().iter().any(|got| got.header("authorization") == ["Bearer upstream-credential-1"]));
    let log = program.stop();
    assert!(log.contains("TRACE") && log.contains("login succeeded") && log.contains("redeemed twice"), "{log}");
    confided.stand_nowhere_in(&log);
}

#[tokio::test]
async fn login_23_who_is_locked_out_by_another_process_is_out_at_once() {
    let folder = folder(&OPEN.replace("users:", "lockout: {max_failures: 9}").replace(
        "        - {username: alice, password_env: ALICE_PASSWORD, scopes: [\"mcp:read\", \"mcp:write\"]}\n",
        "",
    ));
    let program = Program::start(folder, &[]);
    program.beside(&["user", "add", "alice"], &format!("{PASSWORD}\n"));
    let client = register(&program, json!({"redirect_uris": [REDIRECT_URI]})).await;
    for (command, input) in [("disable", ""), ("passwd", PASSWORD), ("remove", "")] {
        let tokens = client.tokens().await;
        let session = session(&program, &tokens);
        assert_eq!(session.status().await, 200);
        program.beside(&["user", command, "alice"], &format!("{input}\n"));
        let done = Instant::now();
        while session.status().await == 200 {
            assert!(done.elapsed() < Duration::from_secs(5), "{command}");
        }
        assert_eq!(session.status().await, 401, "{command}");
        assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant", "{command}");
        if command == "disable" {
            program.beside(&["user", "enable", "alice"], "");
            assert_eq!(session.status().await, 401, "what was revoked stays so");
        }
    }
}

/// What the seed says about making keys, and the forms openssl has besides.
const KEYS: [(&str, &[&str]); 5] = [
    ("RS256", &["genrsa", "-out", "jwt-private.pem", "2048"]),
    ("RS256", &["genrsa", "-traditional", "-out", "jwt-private.pem", "2048"]),
    ("ES256", &["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "jwt-private.pem"]),
    ("ES256", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "jwt-private.pem"]),
    ("EdDSA", &["genpkey", "-algorithm", "ed25519", "-out", "jwt-private.pem"]),
];

#[tokio::test]
async fn the_configuration_of_the_seed_logs_people_in_with_any_key_of_openssl() {
    for (algorithm, arguments) in KEYS {
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        let yaml = SEED.replace("$2a$04$HASH", &hash.replace("$2b$", "$2a$"));
        let folder = folder(&yaml.replace("RS256", algorithm));
        let made = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let program = Program::start(folder, &[("READER_PASSWORD", PASSWORD)]);
        let callback = "https://claude.ai/api/mcp/auth_callback";
        let resource = "https://mcp.example.com/mcp";
        let client = Client::register_for(resource, &program.url, json!({"redirect_uris": [callback]})).await;
        for (user, scope) in [("admin", "mcp:read mcp:write"), ("reader", "mcp:read")] {
            let back = client.authorize(&mut Browser::new(), user, &[("redirect_uri", Some(callback))]).await;
            assert_eq!(back.answer("iss").as_deref(), Some("https://mcp.example.com"), "{algorithm} {user}");
            let tokens = client.redeem_with(&back.answer("code").unwrap(), "redirect_uri", Some(callback)).await;
            assert_eq!(tokens.text("scope"), scope);
            let who =
                session(&program, &tokens).initialized(serde_json::json!({})).await.tool("whoami", json!({})).await;
            assert!(who["result"]["content"][0]["text"].as_str().unwrap().contains(user), "{who}");
        }
    }
}
