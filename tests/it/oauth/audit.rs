//! The audit trail of whole flows: what stands in it, what does not, and what happens when it cannot be written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{BASIC, PASSWORD, WRONG};
use crate::support::client::{REDIRECT_URI, VERIFIER, http};
use crate::support::mcp::Session;
use crate::support::program::run;
use crate::support::{App, Browser, Client, Program};

/// The usual bridge, with a trail in `audit.jsonl`.
pub fn recorded() -> App {
    recorded_with(BASIC)
}

/// The same with another configuration.
pub fn recorded_with(yaml: &str) -> App {
    App::with(&format!("{yaml}audit: {{enabled: true, path: audit.jsonl}}\n"))
}

fn trail(folder: &Path) -> PathBuf {
    folder.join("audit.jsonl")
}

/// What is told of others than keys.
pub fn lines(folder: &Path) -> Vec<Value> {
    all_lines(folder).into_iter().filter(|line| line["event"] != "key").collect()
}

pub fn all_lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(trail(folder)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Of each line event, outcome, reason, subject, and whether it names the client.
pub fn told(folder: &Path, client: &Client) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let name = |line: &Value| if line["oauth_client_id"] == client.id.as_str() { "client" } else { "-" };
    let members = ["event", "outcome", "reason", "subject"];
    lines(folder)
        .iter()
        .map(|line| format!("{} {}", members.map(|member| text(&line[member])).join(" "), name(line)))
        .collect()
}

#[tokio::test]
async fn rt_1_and_tok_1_a_whole_life_of_a_grant_stands_in_the_trail() {
    let app = recorded();
    let folder = app.folder.path();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let wrong = browser.submit(&login, &[("username", "Alice"), ("password", WRONG)]).await;
    let unknown = browser.submit(&wrong, &[("username", "a-password-in-the-wrong-field"), ("password", "x")]).await;
    let consent = browser.submit(&unknown, &[("username", "alice"), ("password", PASSWORD)]).await;
    let code = browser.submit(&consent, &[("decision", "allow")]).await.answer("code").unwrap();
    let first = client.redeem(&code).await;
    let second = client.refresh(first.refresh()).await;
    assert_eq!(client.refresh(first.refresh()).await.refresh(), second.refresh(), "within its grace");
    client.refresh(second.refresh()).await;
    app.clock.advance(Duration::from_secs(61));
    assert_eq!(client.refresh(first.refresh()).await.error(), "invalid_grant");
    assert_eq!(Session::at(&app.resource(), second.access()).status().await, 401);
    assert_eq!(client.redeem(&code).await.error(), "invalid_grant");
    let expected = [
        "client added - - client",
        "login refused wrong_credentials alice client",
        "login refused wrong_credentials - client",
        "login accepted - alice client",
        "consent allowed asked alice client",
        "grant issued authorization_code alice client",
        "refresh_grace repeated - alice client",
        "refresh_reuse revoked - alice client",
        "token refused invalid_grant alice client",
        "access refused revoked alice client",
        "code_replay revoked - alice client",
    ];
    assert_eq!(told(folder, &client), expected);
    let lines = lines(folder);
    assert!(lines.iter().all(|line| line["address"] == "127.0.0.1" && line["ts"].as_str().unwrap().len() == 20));
    let requests: BTreeSet<&str> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(requests.len(), 10, "the reuse and its answer are one request: {lines:#?}");
    assert_eq!(lines[5]["scopes"], "mcp:read mcp:write");
    assert_eq!(lines[5]["grant"], lines[9]["grant"]);
}

#[tokio::test]
async fn what_a_person_and_a_client_end_stands_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    let denied = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&denied.authorize_url(&[])).await;
    let consent = browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    browser.submit(&consent, &[("decision", "deny")]).await;
    let tokens = client.tokens().await;
    assert_eq!(client.revoke(tokens.access()).await, 200);
    assert_eq!(client.revoke(tokens.refresh()).await, 200);
    assert_eq!(client.revoke(tokens.refresh()).await, 200);
    let told = told(app.folder.path(), &client);
    assert!(told.contains(&"consent denied - rita -".to_owned()), "{told:#?}");
    assert_eq!(
        told[told.len() - 2..],
        ["access_token revoked - alice client", "grant revoked by_its_client alice client"]
    );
}

#[tokio::test]
async fn what_is_refused_names_its_request_and_floods_nothing() {
    let app = recorded();
    let client = Client::register_as(
        &app,
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"}),
    )
    .await;
    let unregistered = client.authorize_url(&[("redirect_uri", Some("https://evil.example/cb"))]);
    let page = Browser::new().open(&unregistered).await;
    assert_eq!(page.status, 400);
    for number in 0..50 {
        let forged = format!("eyJhbGciOiJub25lIn0.e30.{number}");
        assert_eq!(Session::at(&app.resource(), &forged).status().await, 401);
    }
    let wrong = [("grant_type", "refresh_token".to_owned()), ("refresh_token", "x".to_owned())];
    let request = http().post(format!("{}/oauth/token", app.url)).basic_auth(&client.id, Some("a wrong secret"));
    assert_eq!(Client::read(request.form(&wrong)).await.error(), "invalid_client");
    let expected = [
        "client added - - client",
        "authorize refused unregistered_redirect_uri - client",
        "access refused bad_token - -",
        "token refused client_authentication_failed - client",
    ];
    assert_eq!(told(app.folder.path(), &client), expected);
    assert_eq!(lines(app.folder.path())[1]["request_id"], page.header("x-request-id"));
    let expired = Client::register(&app).await.tokens().await;
    app.clock.advance(Duration::from_secs(24 * 3600));
    let before = lines(app.folder.path()).len();
    assert_eq!(Session::at(&app.resource(), expired.access()).status().await, 401);
    assert_eq!(lines(app.folder.path()).len(), before, "every client presents a token that has just ended");
}

#[tokio::test]
async fn log_1_no_secret_is_in_the_trail() {
    let app = recorded();
    let client =
        Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI], "client_name": "Named by a stranger"})).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[("state", Some("state-of-the-client"))])).await;
    let wrong = browser.submit(&login, &[("username", "typed into the wrong field"), ("password", WRONG)]).await;
    let consent = browser.submit(&wrong, &[("username", "alice"), ("password", PASSWORD)]).await;
    let cookies: Vec<String> = browser.cookies.values().cloned().collect();
    let code = browser.submit(&consent, &[("decision", "allow")]).await.answer("code").unwrap();
    let first = client.redeem(&code).await;
    let second = client.refresh(first.refresh()).await;
    client.refresh(first.refresh()).await;
    client.redeem(&code).await;
    Session::at(&app.resource(), second.access()).status().await;
    let text = std::fs::read_to_string(trail(app.folder.path())).unwrap();
    assert!(text.lines().count() >= 7, "{text}");
    let csrf = consent.csrf();
    let mut secrets = vec![PASSWORD, WRONG, VERIFIER, &code, &csrf, "state-of-the-client", "typed into"];
    secrets.extend(["Named by", first.access(), first.refresh(), second.access(), second.refresh()]);
    secrets.extend(cookies.iter().map(String::as_str));
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the trail");
        let digest = mcp_bridge::base::digest::Digest::of_bytes(secret.as_bytes()).base64url();
        assert!(!text.contains(&digest[..8]), "nor is its digest");
    }
}

/// Makes the trail a device that is always full, as an operator's disk may be.
fn fill(folder: &Path) {
    std::fs::rename(trail(folder), folder.join("before.jsonl")).unwrap();
    std::os::unix::fs::symlink("/dev/full", trail(folder)).unwrap();
}

#[tokio::test]
async fn log_6_a_full_disk_hands_nothing_out_and_takes_away_all_the_same() {
    let app = recorded();
    let folder = app.folder.path();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let (code, unfinished) = (client.code().await, Browser::new());
    fill(folder);

    let refused = crate::support::client::register(&app, json!({"redirect_uris": [REDIRECT_URI]}).to_string()).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    let mut browser = unfinished;
    let login = browser.open(&client.authorize_url(&[])).await;
    let page = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(page.status, 503, "nobody is let in: {}", page.body);
    let redeemed = client.redeem(&code).await;
    assert_eq!((redeemed.status, redeemed.error()), (503, "temporarily_unavailable"));

    let session = Session::initialize(&app, tokens.access()).await;
    session.tool("whoami", json!({})).await;
    let next = client.refresh(tokens.refresh()).await;
    assert_eq!(next.status, 200, "whoever is in stays in");
    assert_eq!(client.revoke(next.refresh()).await, 200, "and gets out");
    assert_eq!(Session::at(&app.resource(), next.access()).status().await, 401);

    std::fs::remove_file(trail(folder)).unwrap();
    let redeemed = client.redeem(&code).await;
    assert_eq!(redeemed.status, 200, "the code was not spent in vain: {redeemed:?}");
    let lines = lines(folder);
    assert_eq!((lines[0]["event"].as_str(), lines[0]["outcome"].as_str()), (Some("audit"), Some("lost")));
    assert!(lines[0]["count"].as_u64().unwrap() >= 3, "{lines:#?}");
    assert_eq!(lines.last().unwrap()["event"], "grant");
}

const PROGRAM: &str = r#"
log: {output: log}
audit: {enabled: true, path: audit.jsonl}
server:
  listen: 127.0.0.1:0
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    builtin: {users: [{username: alice, password_hash: HASH, scopes: ["mcp:read", "mcp:write"]}]}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["https://client.example/cb"]
upstreams: {me: {builtin: whoami}}
"#;

fn program() -> Program {
    let folder = tempfile::TempDir::new().unwrap();
    let hash = format!("\"{}\"", bcrypt::hash(PASSWORD, 4).unwrap());
    std::fs::write(folder.path().join("config.yaml"), PROGRAM.replace("HASH", &hash)).unwrap();
    Program::start(folder, &[])
}

#[tokio::test]
async fn log_5_what_was_answered_stands_in_the_trail_after_kill_9() {
    let mut program = program();
    let client =
        Client::register_for(&format!("{}/mcp", program.url), &program.url, json!({"redirect_uris": [REDIRECT_URI]}))
            .await;
    let page = client.authorize(&mut Browser::new(), "alice", &[]).await;
    assert_eq!(client.redeem(&page.answer("code").unwrap()).await.status, 200);
    let pid = rustix::process::Pid::from_raw(i32::try_from(program.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(program.ended(), None, "it was killed");
    let told = told(program.folder.path(), &client);
    assert_eq!(told.last().unwrap(), "grant issued authorization_code alice client", "{told:#?}");
    assert_eq!(told.len(), 4);
}

/// The bridge notices, and `audit verify` shows it from then on.
#[tokio::test]
async fn lines_cut_off_the_trail_of_a_running_bridge_show() {
    let program = program();
    let folder = program.folder.path();
    let client =
        Client::register_for(&format!("{}/mcp", program.url), &program.url, json!({"redirect_uris": [REDIRECT_URI]}))
            .await;
    let log_in = async || client.authorize(&mut Browser::new(), "alice", &[]).await.answer("code").unwrap();
    log_in().await;
    let verified = || run(folder, &["audit", "verify"]).status.code();
    assert_eq!((verified(), program.log().contains("were cut off")), (Some(0), false));
    let text = std::fs::read_to_string(trail(folder)).unwrap();
    let kept: String = text.lines().take(text.lines().count() - 2).map(|line| format!("{line}\n")).collect();
    std::fs::write(trail(folder), kept).unwrap();
    assert_eq!(verified(), Some(0), "nobody else can see it");
    log_in().await;
    assert_eq!(verified(), Some(1));
    assert_eq!(program.log().matches("were cut off or changed since they were written").count(), 1);
}

#[test]
fn log_8_a_crash_leaves_no_image_of_the_process() {
    let program = program();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

#[tokio::test]
async fn reg_17_clients_that_lose_their_place_stand_in_the_trail() {
    let on = "    allow_dynamic_registration: true\n";
    let bounds = format!("{on}    registration: {{max_clients: 3, unused_expiry: 1h}}\n");
    let app = App::with(&format!("{}audit: {{enabled: true, path: audit.jsonl}}\n", BASIC.replace(on, &bounds)));
    let named = |name: &str| json!({"redirect_uris": [REDIRECT_URI], "client_name": name});
    let first = Client::register_as(&app, named("first")).await;
    let again = Client::register_as(&app, named("first")).await;
    let renewed = Client::register_as(&app, named("first")).await;
    assert!(renewed.id == again.id && again.id != first.id, "the first is managed");
    Client::register_as(&app, named("second")).await;
    Client::register_as(&app, named("third")).await;
    let told_of = |client: &Client| -> Vec<String> {
        told(app.folder.path(), client).into_iter().filter(|line| line.ends_with(" client")).collect()
    };
    assert_eq!(told_of(&first), ["client added - - client", "client evicted made_room - client"]);
    assert_eq!(told_of(&again), ["client added - - client", "client renewed - - client"]);
    app.clock.advance(Duration::from_secs(3601));
    Client::register_as(&app, named("fourth")).await;
    let evicted = told(app.folder.path(), &first);
    assert_eq!(evicted.iter().filter(|line| line.starts_with("client evicted expired")).count(), 3, "{evicted:#?}");
}
