//! Who is another in the configuration after a restart, or is a namesake of somebody there.

use std::fs;

use mcp_bridge::base::clock::{Clock, Timestamp};
use serde_json::json;

use crate::support::app::{BASIC, PASSWORD};
use crate::support::client::{REDIRECT_URI, Tokens, http};
use crate::support::mcp::Session;
use crate::support::program::{command, run};
use crate::support::{App, Browser, Client};

const BOTH: &str = "scopes: [\"mcp:read\", \"mcp:write\"]";
const ROBOT: &str =
    "    clients:\n      - {client_id: robot, client_secret: SECRET, grant_types: [client_credentials], SCOPES}\n";
const SECRET: &str = "a secret of more than 32 characters, long";
const NAMES: [&str; 6] = ["changed", "narrowed", "disabled", "removed", "widened", "kept"];

fn hash() -> String {
    format!("\"{}\"", bcrypt::hash(PASSWORD, 4).unwrap())
}

fn user(name: &str, scopes: &str) -> String {
    format!("        - {{username: {name}, password_hash: {}, {scopes}}}\n", hash())
}

fn people(lines: &[String]) -> String {
    let (head, tail) = BASIC.split_once("        - {username: alice").unwrap();
    let (_, tail) = tail.split_once("    allow_dynamic").unwrap();
    let robot = ROBOT.replace("SECRET", &format!("\"{SECRET}\"")).replace("SCOPES", BOTH);
    format!("{head}{}{robot}    allow_dynamic{tail}", lines.concat())
}

/// Changes the configuration and restarts.
fn restarted(app: App, change: impl FnOnce(String) -> String) -> App {
    let path = app.folder.path().join("config.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, change(text)).unwrap();
    app.restart_in_place()
}

/// Somebody who is signed in in a browser, and tokens of theirs for the client.
async fn log_in(client: &Client, user: &str) -> (Browser, Tokens) {
    let mut browser = Browser::new();
    let page = client.authorize(&mut browser, user, &[]).await;
    let tokens = client.redeem(&page.answer("code").unwrap_or_else(|| panic!("no code for {user} in {page:?}"))).await;
    (browser, tokens)
}

async fn robot(app: &App, secret: &str) -> Tokens {
    let form = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", secret)];
    Client::read(http().post(format!("{}/oauth/token", app.url)).form(&form)).await
}

async fn status(app: &App, tokens: &Tokens) -> u16 {
    Session::new(app, tokens.access()).status().await
}

/// Whether the access token, the refresh token and the browser are still good: all three or none.
async fn is_in(app: &App, client: &mut Client, (browser, tokens): &mut (Browser, Tokens)) -> bool {
    client.reconnect();
    browser.reconnect();
    let access = status(app, tokens).await == 200;
    let refreshed = client.refresh(tokens.refresh()).await;
    let refresh = refreshed.status == 200;
    if refresh {
        *tokens = refreshed;
    }
    let page = browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    let session = !page.body.contains("name=\"password\"");
    assert!(access == refresh && refresh == session, "access {access}, refresh {refresh}, browser {session}");
    access
}

#[tokio::test]
async fn rt_10_a_restart_ends_what_was_granted_to_who_is_another_now_and_to_nobody_else() {
    let lines: Vec<_> = NAMES
        .into_iter()
        .map(|name| user(name, if name == "widened" { "scopes: [\"mcp:read\"]" } else { BOTH }))
        .collect();
    let app = restarted(App::with(&people(&lines)), |text| text);
    let mut client = Client::register(&app).await;
    let mut all = Vec::new();
    for name in NAMES {
        all.push((name, log_in(&client, name).await));
    }
    let robots = robot(&app, SECRET).await;
    let app = restarted(app, |text| text);
    for (name, person) in &mut all {
        assert!(is_in(&app, &mut client, person).await, "{name}: nothing changed");
    }
    assert_eq!(status(&app, &robots).await, 200, "nothing changed");
    let others = |text: String| {
        let changed = |line: &str| match NAMES.into_iter().find(|name| line.contains(&format!("username: {name},"))) {
            Some("changed") => user("changed", BOTH),
            Some("narrowed") => format!("{}\n", line.replace(", \"mcp:write\"", "")),
            Some("disabled") => format!("{}\n", line.replace('}', ", disabled: true}")),
            Some("removed") => String::new(),
            Some("widened") => format!("{}\n", line.replace("[\"mcp:read\"]", "[\"mcp:read\", \"mcp:write\"]")),
            _ => format!("{}\n", line.replace(SECRET, "another secret of more than 32 characters")),
        };
        text.lines().map(changed).collect()
    };
    let app = restarted(app, others);
    for (name, person) in &mut all {
        let stays = ["widened", "kept"].contains(name);
        assert_eq!(is_in(&app, &mut client, person).await, stays, "{name}");
    }
    assert_eq!(status(&app, &robots).await, 401, "another secret");
    let back = log_in(&client, "changed").await.1;
    let robots = robot(&app, "another secret of more than 32 characters").await;
    let app = restarted(app, |text| text);
    assert_eq!((status(&app, &back).await, status(&app, &robots).await), (200, 200), "it is done once");
}

#[tokio::test]
async fn rt_10_another_plain_password_ends_what_was_granted_too() {
    let lines = [format!("        - {{username: alice, password_file: FILE, {BOTH}}}\n")];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, PASSWORD).unwrap();
    let app = restarted(App::with(&people(&lines).replace("FILE", file.to_str().unwrap())), |text| text);
    let mut client = Client::register(&app).await;
    let mut alice = log_in(&client, "alice").await;
    let app = restarted(app, |text| text);
    assert!(is_in(&app, &mut client, &mut alice).await, "nothing changed");
    fs::write(&file, "another one").unwrap();
    let app = restarted(app, |text| text);
    assert!(!is_in(&app, &mut client, &mut alice).await);
}

/// The password is mixed with a key of the folder; the key that signs stands elsewhere.
#[tokio::test]
async fn rt_10_another_folder_of_keys_ends_nothing_and_another_password_after_it_does() {
    let lines = [format!("        - {{username: alice, password_file: FOLDER/password, {BOTH}}}\n")];
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    fs::write(folder.path().join("password"), PASSWORD).unwrap();
    assert!(run(folder.path(), &["keygen", "--out", "signing.pem"]).status.success());
    let signing = "    signing: {key_file: FOLDER/signing.pem, key_dir: keys}\n    allow_dynamic";
    let yaml = people(&lines).replace("    allow_dynamic", signing).replace("FOLDER", place);
    let app = restarted(App::with(&yaml), |text| text);
    let mut client = Client::register(&app).await;
    let mut alice = log_in(&client, "alice").await;
    let app = restarted(app, |text| text.replace("key_dir: keys", "key_dir: other-keys"));
    assert!(is_in(&app, &mut client, &mut alice).await, "her password is the same");
    let app = restarted(app, |text| text);
    assert!(is_in(&app, &mut client, &mut alice).await);
    fs::write(folder.path().join("password"), "another one").unwrap();
    let app = restarted(app, |text| text);
    assert!(!is_in(&app, &mut client, &mut alice).await);
}

/// Adds a user of the store by the side.
fn add_user(app: &App, name: &str) {
    let mut command = command(&app.folder, &["user", "add", name, "--scopes", "mcp:read"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{PASSWORD}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn rt_10_a_namesake_in_the_store_takes_over_nothing() {
    let app = restarted(App::with(&people(&[user("kept", BOTH)])), |text| text);
    add_user(&app, "bob");
    let with = |text: String| {
        let kept = "        - {username: kept";
        text.replace(kept, &format!("{}{kept}", user("bob", BOTH)))
    };
    let app = restarted(app, with);
    let mut client = Client::register(&app).await;
    let (mut bob, mut kept) = (log_in(&client, "bob").await, log_in(&client, "kept").await);
    let without =
        |text: String| text.lines().filter(|line| !line.contains("bob")).map(|line| format!("{line}\n")).collect();
    let app = restarted(app, without);
    assert!(is_in(&app, &mut client, &mut kept).await);
    assert!(!is_in(&app, &mut client, &mut bob).await, "this one had more than the other may");
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[("scope", Some("mcp:read"))])).await;
    let asked = browser.submit(&login, &[("username", "bob"), ("password", PASSWORD)]).await;
    assert!(asked.body.contains("value=\"allow\""), "what the one allowed the other has not: {asked:?}");
    let page = browser.submit(&asked, &[("decision", "allow")]).await;
    let mut stored = (browser, client.redeem(&page.answer("code").unwrap()).await);
    assert!(is_in(&app, &mut client, &mut stored).await);
    let app = restarted(app, with);
    assert!(!is_in(&app, &mut client, &mut stored).await, "nor the other way round");
}

/// The program's commands go by the clock of the machine.
#[tokio::test]
async fn reg_18_a_client_that_the_operator_added_does_not_expire_unused() {
    let days = 3 * 24 * 3600;
    let now = Clock::system().now().unix();
    let clock = Clock::fixed(Timestamp::from_unix(now + days));
    let app = App::with_clock(BASIC, clock);
    let added = run(&app.folder, &["client", "add", "Phone", "--redirect-uri", REDIRECT_URI, "--public"]);
    let printed = String::from_utf8(added.stdout).unwrap();
    let id = printed.trim().strip_prefix("client_id\t").unwrap_or_else(|| panic!("{printed}"));
    let client = Client::known(&app.url, id);
    assert_eq!(client.tokens().await.status, 200);
    // One that registered itself does expire.
    let other = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI]})).await;
    app.clock.advance(std::time::Duration::from_secs(3 * 24 * 3600));
    let page = Browser::new().open(&other.authorize_url(&[])).await;
    assert_eq!((page.status, page.goes_nowhere()), (400, true), "{page:?}");
}
