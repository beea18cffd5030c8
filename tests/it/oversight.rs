//! What an operator types beside a running bridge to see and end what it granted: `client`, `grant`, `audit`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::client::{REDIRECT_URI, http, unique};
use crate::support::mcp::Session;
use crate::support::program::{heard, run};
use crate::support::{Browser, Client, Program};

const CONFIG: &str = r#"
log: {output: log, level: debug}
audit: {enabled: true, path: audit.jsonl}
server:
  listen: 127.0.0.1:0
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    builtin: {users: [{username: alice, password_hash: HASH, scopes: ["mcp:read", "mcp:write"]}]}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["https://client.example/cb"]
    clients:
      - {client_id: robot, client_secret: a-secret-of-the-robot-that-is-long-enough, grant_types: [client_credentials], scopes: ["mcp:read"]}
upstreams: {me: {builtin: whoami}}
"#;

fn folder(yaml: &str) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let hash = format!("\"{}\"", bcrypt::hash(PASSWORD, 4).unwrap());
    std::fs::write(folder.path().join("config.yaml"), yaml.replace("HASH", &hash)).unwrap();
    folder
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}

async fn connect(program: &Program) -> Client {
    let metadata =
        json!({"redirect_uris": [REDIRECT_URI], "client_name": "Named\u{202e} here", "software_version": unique()});
    Client::register_for(&format!("{}/mcp", program.url), &program.url, metadata).await
}

/// Tokens for alice.
async fn tokens(client: &Client) -> crate::support::client::Tokens {
    let page = client.authorize(&mut Browser::new(), "alice", &[]).await;
    let tokens = client.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    tokens
}

fn session(program: &Program, token: &str) -> Session {
    Session::at(&format!("{}/mcp", program.url), token)
}

/// Asserts that a token that worked is refused within a second.
async fn is_out_within_a_second(session: &Session) {
    let began = Instant::now();
    while session.status().await != 401 {
        assert!(began.elapsed() < Duration::from_secs(1), "the token still works");
    }
}

fn trail(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn rt_10_a_grant_is_listed_and_ended_beside_a_running_bridge() {
    let program = Program::start(folder(CONFIG), &[]);
    let folder = program.folder.path();
    let (one, other) = (connect(&program).await, connect(&program).await);
    let (ended, kept) = (tokens(&one).await, tokens(&other).await);
    let (ended_session, kept_session) = (session(&program, ended.access()), session(&program, kept.access()));
    assert_ne!(ended_session.status().await, 401);
    let all = ok(folder, &["grant", "list"]);
    assert_eq!(all.lines().count(), 2, "{all}");
    let listed = ok(folder, &["grant", "list", "--client", &one.id, "--user", "ALICE"]);
    let columns: Vec<&str> = listed.trim_end_matches('\n').split('\t').collect();
    assert_eq!(columns[1..4], ["alice", &one.id, "mcp:read mcp:write"], "{listed}");
    assert!(columns[4].ends_with('Z') && columns.len() == 6, "{listed}");
    assert_eq!(ok(folder, &["grant", "list", "--user", "nobody"]), "");

    ok(folder, &["grant", "revoke", columns[0]]);
    is_out_within_a_second(&ended_session).await;
    assert_eq!(one.refresh(ended.refresh()).await.error(), "invalid_grant");
    assert_ne!(kept_session.status().await, 401);
    for unknown in [columns[0], "none", ""] {
        assert!(refused(folder, 64, &["grant", "revoke", unknown]).contains("grant list"));
    }
    assert_eq!(ok(folder, &["grant", "list"]).lines().count(), 1);
    let line = trail(folder).into_iter().rfind(|line| line["reason"] == "by_operator").unwrap();
    assert_eq!((line["outcome"].as_str(), line["grant"].as_str()), (Some("revoked"), Some(columns[0])));
    assert_eq!(line["operator_uid"], rustix::process::getuid().as_raw());
}

#[tokio::test]
async fn rt_10_a_client_is_listed_and_removed_beside_a_running_bridge() {
    let program = Program::start(folder(CONFIG), &[]);
    let folder = program.folder.path();
    let client = connect(&program).await;
    let tokens = tokens(&client).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "robot"),
        ("client_secret", "a-secret-of-the-robot-that-is-long-enough"),
    ];
    let robot = Client::read(http().post(format!("{}/oauth/token", program.url)).form(&form)).await;
    let listed = ok(folder, &["client", "list"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..3], ["robot", "configured", "1"], "{listed}");
    assert_eq!(rows[1][..5], [&client.id, "registered", "1", "Named here", REDIRECT_URI], "{listed}");
    assert!(rows.len() == 2 && rows.iter().all(|row| row.len() == 7), "{listed}");

    let sessions = [session(&program, tokens.access()), session(&program, robot.access())];
    for session in &sessions {
        assert_ne!(session.status().await, 401);
    }
    ok(folder, &["client", "revoke", &client.id]);
    is_out_within_a_second(&sessions[0]).await;
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_client");
    let said = ok(folder, &["client", "revoke", "robot"]);
    assert!(said.contains("in the configuration"), "{said}");
    is_out_within_a_second(&sessions[1]).await;
    assert!(refused(folder, 64, &["client", "revoke", &client.id]).contains("client list"));
    let told: Vec<String> = trail(folder)
        .iter()
        .filter(|line| line["operator_uid"].is_u64())
        .map(|line| format!("{} {} {}", line["event"], line["outcome"], line["oauth_client_id"]))
        .collect();
    assert_eq!(
        told,
        [format!("\"client\" \"removed\" \"{}\"", client.id), "\"grants\" \"revoked\" \"robot\"".to_owned()]
    );
}

#[tokio::test]
async fn log_7_a_client_that_the_operator_adds_works_and_its_secret_is_shown_once() {
    let program = Program::start(folder(CONFIG), &[]);
    let folder = program.folder.path();
    let printed = ok(folder, &["client", "add", "Reports", "--redirect-uri", REDIRECT_URI]);
    let (id, secret) = printed.split_once('\n').unwrap();
    let (id, secret) = (id.strip_prefix("client_id\t").unwrap(), secret.strip_prefix("client_secret\t").unwrap());
    let secret = secret.trim_end();
    assert!(secret.len() >= 43, "{printed}");
    let client = Client::known(&program.url, id);
    let page = client.authorize(&mut Browser::new(), "alice", &[]).await;
    let code = page.answer("code").unwrap();
    assert_eq!(client.redeem(&code).await.error(), "invalid_client", "it has to prove itself");
    let mut form = client.redemption(&code);
    form.push(("client_secret", secret.to_owned()));
    assert_eq!(client.token(&form).await.status, 200);
    assert!(ok(folder, &["client", "list"]).contains(&format!("{id}\toperator\t1\tReports\t{REDIRECT_URI}\t")));
    for file in ["audit.jsonl", "log", "data/mcp-bridge.db", "data/mcp-bridge.db-wal"] {
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{file} has the secret");
    }

    let public = ok(folder, &["client", "add", "Phone", "--redirect-uri", REDIRECT_URI, "--public"]);
    assert!(public.starts_with("client_id\t") && public.lines().count() == 1, "{public}");
    let elsewhere = ["client", "add", "Evil", "--redirect-uri", "https://evil.example/cb"];
    assert!(refused(folder, 64, &elsewhere).contains("allowed_redirect_uris"));
    assert_eq!(run(folder, &["client", "add", "Nowhere"]).status.code(), Some(64));
}

#[test]
fn where_there_is_nothing_to_see_it_is_said() {
    let forgetful = folder(&format!("{CONFIG}storage: {{type: memory}}\n"));
    for arguments in [&["client", "list"][..], &["grant", "list"]] {
        assert!(refused(forgetful.path(), 78, arguments).contains("memory"));
    }
    let silent = folder(&CONFIG.replace("enabled: true, path: audit.jsonl", "enabled: false"));
    assert!(refused(silent.path(), 78, &["audit", "tail"]).contains("enabled: true"));
    let streamed = folder(&CONFIG.replace("path: audit.jsonl", "path: stdout"));
    assert!(refused(streamed.path(), 78, &["audit", "tail"]).contains("stdout"));
    assert!(refused(streamed.path(), 78, &["audit", "verify"]).contains("stdout"));
    let fresh = folder(CONFIG);
    assert_eq!(ok(fresh.path(), &["audit", "tail"]).lines().count(), 1, "the names of the columns");
    let nowhere = folder(&CONFIG.replace("path: audit.jsonl", "path: config.yaml/audit.jsonl"));
    assert!(refused(nowhere.path(), 74, &["serve"]).contains("audit.path"));
}

#[test]
fn an_identifier_may_begin_with_a_hyphen() {
    let folder = folder(CONFIG);
    for command in ["client", "grant"] {
        assert!(refused(folder.path(), 64, &[command, "revoke", "-Qx7"]).contains("there is no"), "{command}");
    }
    for list in [&["grant", "list", "--client", "-Qx7"][..], &["audit", "tail", "--client", "-Qx7"]] {
        ok(folder.path(), list);
    }
}

#[test]
fn user_commands_stand_in_the_trail_of_a_bridge_that_is_not_running_too() {
    let folder = folder(CONFIG);
    let password = |arguments: &[&str]| {
        use std::io::Write as _;
        let mut child = heard(folder.path(), arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"a good password\n").unwrap();
        assert!(child.wait().unwrap().success());
    };
    password(&["user", "add", "eve"]);
    password(&["user", "passwd", "EVE"]);
    for verb in ["disable", "enable", "remove"] {
        ok(folder.path(), &["user", verb, "eve"]);
    }
    let told: Vec<String> = trail(folder.path())
        .iter()
        .map(|line| format!("{} {} {}", line["event"], line["outcome"], line["subject"]).replace('"', ""))
        .collect();
    let expected = ["added", "password_set", "disabled", "enabled", "removed"].map(|word| format!("user {word} eve"));
    assert_eq!(told, expected);

    let full = folder.path().join("audit.jsonl");
    std::fs::remove_file(&full).unwrap();
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    // The first finds out, and says so, as every later one does.
    let added = refused(folder.path(), 74, &["client", "add", "Reports", "--redirect-uri", REDIRECT_URI]);
    assert!(added.contains("audit trail") && !added.contains("client_secret"), "{added}");
}

fn follow(folder: &Path, arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = heard(folder, arguments).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

#[tokio::test]
async fn the_trail_is_read_filtered_and_followed() {
    let program = Program::start(folder(CONFIG), &[]);
    let folder = program.folder.path();
    let client = connect(&program).await;
    tokens(&client).await;
    let table = ok(folder, &["audit", "tail"]);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("ts                    event          outcome"), "{table}");
    assert_eq!(rows.len(), 7, "the names of the columns, the key and what it is for, and four: {table}");
    let words: Vec<&str> = rows[4].split_whitespace().collect();
    assert_eq!(words[1..7], ["login", "accepted", "-", "alice", &client.id, "127.0.0.1"], "{table}");
    let logins = ok(folder, &["audit", "tail", "--event", "login", "--event", "grant", "--json"]);
    let logins: Vec<Value> = logins.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(logins.iter().map(|line| line["event"].as_str().unwrap()).collect::<Vec<_>>(), ["login", "grant"]);
    let by = |filter: &[&str]| ok(folder, &[&["audit", "tail", "--json"], filter].concat()).lines().count();
    assert_eq!((by(&["--user", "Alice"]), by(&["--user", "eve"])), (3, 0));
    assert_eq!((by(&["--client", &client.id]), by(&["--client", &client.id, "-n", "1"])), (4, 1));

    let (mut following, mut lines) =
        follow(folder, &["audit", "tail", "--json", "-f", "-n", "1", "--client", &client.id]);
    assert!(lines.next().unwrap().contains("\"grant\""));
    std::fs::rename(folder.join("audit.jsonl"), folder.join("audit.jsonl.1")).unwrap();
    connect(&program).await;
    ok(folder, &["client", "revoke", &client.id]);
    let removed: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((removed["event"].as_str(), removed["outcome"].as_str()), (Some("client"), Some("removed")));
    following.kill().unwrap();
    following.wait().unwrap();
    assert_eq!(ok(folder, &["audit", "tail", "--json"]).lines().count(), 8, "those that were put aside are read, too");
}

#[tokio::test]
async fn what_was_changed_in_the_trail_is_found() {
    let program = Program::start(folder(CONFIG), &[]);
    let folder = program.folder.path();
    let trail = folder.join("audit.jsonl");
    assert!(ok(folder, &["audit", "verify"]).starts_with("lines 2, files 1, faults 0\n"), "of the first key");
    let client = connect(&program).await;
    tokens(&client).await;
    ok(folder, &["client", "revoke", &client.id]);
    let report = ok(folder, &["audit", "verify"]);
    let (counted, chain) = report.trim_end().split_once("\nchain ").unwrap();
    assert!(counted.starts_with("lines ") && counted.ends_with(", files 1, faults 0"), "{report}");
    assert!(std::fs::read_to_string(&trail).unwrap().ends_with(&format!("\"chain\":\"{chain}\"}}\n")));
    connect(&program).await;
    ok(folder, &["audit", "verify", "--contains", chain]);

    let text = std::fs::read_to_string(&trail).unwrap();
    let last = text.lines().last().unwrap();
    let copy = folder.join("copy");
    let verify = |text: &str, options: &[&str]| {
        std::fs::write(&copy, text).unwrap();
        refused(folder, 1, &[&["audit", "verify", "copy"], options].concat())
    };
    let changed = verify(&text.replacen("\"alice\"", "\"mallory\"", 1), &[]);
    assert!(changed.contains("copy:4: FAULT: changed") && changed.ends_with("is not as it was written\n"), "{changed}");
    let without = text.lines().enumerate().filter(|(number, _)| *number != 2).map(|(_, line)| format!("{line}\n"));
    assert!(verify(&without.collect::<String>(), &[]).contains("copy:3: FAULT: lines before this one are missing"));
    let forged = text.replace(last, &format!("{{\"event\":\"login\",\"subject\":\"\u{1b}[2J\"}}\n{last}"));
    let shown = verify(&forged, &[]);
    assert!(shown.contains("FAULT: put in since") && !shown.contains('\u{1b}'), "{shown}");
    let cut: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    let cut = verify(&cut, &["--contains", chain]);
    assert!(cut.contains("faults 0") && cut.contains("no line has the chain"), "{cut}");
    assert!(refused(folder, 74, &["audit", "verify", "nowhere"]).contains("nowhere"));
    ok(folder, &["audit", "verify", "audit.jsonl"]);
}

#[test]
fn a_terminal_is_safe_from_what_somebody_else_wrote_into_the_trail() {
    let folder = folder(CONFIG);
    let hostile = "{\"event\":\"login\",\"subject\":\"\\u001b[2J\\u202eeve\\n\"}\nnot JSON \u{1b}[2J\n";
    std::fs::write(folder.path().join("audit.jsonl"), hostile).unwrap();
    for arguments in [&["audit", "tail"][..], &["audit", "tail", "--json"]] {
        let shown = ok(folder.path(), arguments);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    }
}

#[test]
fn on_standard_output_there_are_events_and_nothing_else() {
    let yaml = CONFIG.replace("path: audit.jsonl", "path: stdout").replace(
        "builtin: {users: [{username: alice, password_hash: HASH, scopes: [\"mcp:read\", \"mcp:write\"]}]}",
        "builtin: {create_first_user: true}",
    );
    let folder = folder(&yaml);
    let mut child = heard(folder.path(), &[]).spawn().unwrap();
    let mut greeting = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(greeting.any(|line| line.starts_with("  password")), "the greeting goes to standard error");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.skip_while(|line| line.contains("\"key\""));
    let first: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((first["event"].as_str(), first["subject"].as_str()), (Some("user"), Some("admin")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lines.count(), 0);
}

#[tokio::test]
async fn log_6_a_reader_of_standard_output_that_stops_holds_up_nothing_else() {
    let folder = folder(&CONFIG.replace("path: audit.jsonl", "path: stdout"));
    let mut child = heard(folder.path(), &[]).spawn().unwrap();
    let greeting = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = greeting.take_while(|line| !line.starts_with("  keys")).collect();
    let connector = said.iter().find_map(|line| line.strip_prefix("  connector  ")).unwrap().to_owned();
    let base = connector.trim_end_matches("/mcp").to_owned();
    let client = Client::register_for(&connector, &base, json!({"redirect_uris": [REDIRECT_URI]})).await;
    let session = Session::at(&connector, tokens(&client).await.access());
    let register = async || {
        let metadata = json!({"redirect_uris": [REDIRECT_URI], "software_version": unique()});
        let request = http().post(format!("{base}/oauth/register")).json(&metadata);
        request.send().await.unwrap().status().as_u16()
    };
    // Until the pipe is full: then one waits, and is refused in the end.
    let mut answered = 0;
    while register().await == 201 {
        answered += 1;
        assert!(answered < 2000, "the pipe is never full");
    }
    let mut waiting = Box::pin(register());
    let meanwhile = async {
        for _ in 0..20 {
            assert_eq!(session.status().await, 200);
        }
    };
    tokio::select! {
        biased;
        status = &mut waiting => panic!("{status} came before others were answered"),
        () = meanwhile => {}
    }
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let reading = std::thread::spawn(move || lines.by_ref().filter(|line| line.contains("\"client\"")).count());
    assert_eq!(waiting.await, 201, "with the reader everything is back");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(reading.join().unwrap() >= answered + 2, "and nothing that was answered is missing");
}
