//! A bridge that goes on beside one that was started after it, with another configuration.

use std::fs;
use std::path::Path;

use crate::operation::replicas::{PUBLIC, register, shared, start};
use crate::operation::{hashed, log_in};
use crate::support::app::PASSWORD;
use crate::support::client::{Tokens, http};
use crate::support::mcp::Session;
use crate::support::{Browser, Client, Program};

const SECRET: &str = "a secret of more than 32 characters, long";
const OTHER: &str = "another secret of more than 32 characters";

fn with_robot(yaml: &str, secret: &str) -> String {
    let robot = format!(
        "    clients:\n      - {{client_id: robot, client_secret: \"{secret}\", grant_types: [client_credentials], scopes: [\"mcp:read\"]}}\n"
    );
    yaml.replace("    allow_dynamic", &format!("{robot}    allow_dynamic"))
}

async fn robot(program: &Program, secret: &str) -> Tokens {
    let form = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", secret)];
    Client::read(http().post(format!("{}/oauth/token", program.url)).form(&form)).await
}

async fn status(program: &Program, tokens: &Tokens) -> u16 {
    Session::at(&format!("{}/mcp", program.url), tokens.access()).status().await
}

/// The configuration without the line of this user.
fn without(yaml: &str, user: &str) -> String {
    let lines = yaml.lines().filter(|line| !line.contains(&format!("username: {user},")));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The configuration with one more user, or another password of one.
fn with(yaml: &str, user: &str) -> String {
    let line = hashed(&format!("        - {{username: {user}, password_hash: HASH, scopes: [\"mcp:read\"]}}\n"));
    without(yaml, user).replace("    allow_dynamic", &format!("{line}    allow_dynamic"))
}

/// Has the `number`-th bridge of a folder read another configuration.
fn reload(program: &Program, (folder, number): (&Path, usize), yaml: &str) {
    let file = folder.join(format!("{number}.yaml"));
    fs::write(&file, yaml.replace("{output: log}", &format!("{{output: log-{number}}}"))).unwrap();
    assert!(program.reload(), "{}", program.log());
}

/// What a login with this password comes to, and what was logged of it.
async fn try_to_log_in(program: &Program, client: &Client, user: &str) -> (u16, String) {
    let before = program.log().len();
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let page = browser.submit(&login, &[("username", user), ("password", PASSWORD)]).await;
    (page.status, program.log()[before..].to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_10_an_older_bridge_gives_nothing_for_a_secret_that_was_rotated_away() {
    let (folder, yaml) = shared();
    let older = start(folder.path(), &with_robot(&yaml, SECRET), 1);
    let first = robot(&older, SECRET).await;
    let newer = start(folder.path(), &with_robot(&yaml, OTHER), 2);
    let answer = robot(&older, SECRET).await;
    assert_eq!((answer.status, answer.error()), (401, "invalid_client"), "{answer:?}");
    assert!(older.log().contains("if that was taken back, restart this one"), "{}", older.log());
    let tokens = robot(&newer, OTHER).await;
    for program in [&older, &newer] {
        until_status(program, &first, 401).await;
        assert_eq!(status(program, &tokens).await, 200);
    }
    drop(newer);
    // A third that knows no robot any more.
    let newest = start(folder.path(), &yaml, 3);
    assert_eq!(robot(&older, SECRET).await.error(), "invalid_client");
    drop(newest);
}

/// What one ends another refuses as soon as it has noticed.
async fn until_status(program: &Program, tokens: &Tokens, expected: u16) {
    let began = std::time::Instant::now();
    while status(program, tokens).await != expected {
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "it has not heard of it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_a_reload_of_an_older_bridge_ends_nothing_that_only_a_newer_one_knows() {
    let (folder, yaml) = shared();
    let yaml = with(&yaml, "carol");
    let older = start(folder.path(), &yaml, 1);
    let newer = start(folder.path(), &with(&with(&yaml, "bob"), "carol"), 2);
    let client = register(&newer).await;
    let mut all = Vec::new();
    for name in ["alice", "rita", "bob", "carol"] {
        all.push((name, log_in(&client, name).await));
    }
    // Rita leaves; so does Carol, who has another password by what is newer.
    reload(&older, (folder.path(), 1), &without(&without(&yaml, "rita"), "carol"));
    for (name, tokens) in &all {
        let expected = if *name == "rita" { 401 } else { 200 };
        assert_eq!(status(&older, tokens).await, expected, "{name}");
        until_status(&newer, tokens, expected).await;
        let refreshed = client.refresh(tokens.refresh()).await;
        assert_eq!(refreshed.error(), if *name == "rita" { "invalid_grant" } else { "" }, "{name}");
    }
    assert!(older.log().contains("another bridge on this store has said something else since"), "{}", older.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_that_was_taken_back_the_log_says_why_nobody_gets_in_and_what_to_do() {
    let (folder, yaml) = shared();
    let older = start(folder.path(), &yaml, 1);
    let newer = start(folder.path(), &with(&yaml, "alice"), 2);
    let client = register(&older).await;
    drop(newer);
    let (status, logged) = try_to_log_in(&older, &client, "alice").await;
    assert_eq!(status, 401);
    assert!(logged.contains("a right password was refused") && logged.contains("user=alice"), "{logged}");
    assert!(logged.contains("if that was taken back, restart this one"), "{logged}");
    let (status, logged) = try_to_log_in(&older, &client, "rita").await;
    assert_eq!((status, logged.contains("WARN")), (200, false), "{logged}");
    drop(older);
    let again = start(folder.path(), &yaml, 3);
    let client = Client::known_for(&format!("{PUBLIC}/mcp"), &again.url, &client.id);
    assert_eq!(try_to_log_in(&again, &client, "alice").await.0, 200);
}
