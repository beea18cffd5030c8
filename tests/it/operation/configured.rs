//! What a change of the configuration does beside another process, and what a reload leaves as it is.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::operation::{PEOPLE, bare_folder, hashed, log_in};
use crate::support::app::PASSWORD;
use crate::support::client::{REDIRECT_URI, Tokens, http};
use crate::support::mcp::Session;
use crate::support::{Browser, Client, Program};

/// What both processes are called by people.
const PUBLIC: &str = "http://127.0.0.1:9";

/// The `number`-th start of a bridge there.
fn start(folder: &Path, yaml: &str, number: usize) -> Program {
    let (file, log) = (format!("{number}.yaml"), format!("log-{number}"));
    fs::write(folder.join(&file), yaml.replace("{output: log}", &format!("{{output: {log}}}"))).unwrap();
    Program::start_beside(folder, &file, &log)
}

async fn status(program: &Program, tokens: &Tokens) -> u16 {
    Session::at(&format!("{}/mcp", program.url), tokens.access()).status().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_10_an_older_process_beside_takes_back_nothing_and_lets_nobody_in_as_before() {
    let folder = TempDir::new().unwrap();
    let listen = format!("  listen: 127.0.0.1:0\n  public_url: \"{PUBLIC}\"\n");
    let old = hashed(PEOPLE).replace("  listen: 127.0.0.1:0\n", &listen);
    let one = start(folder.path(), &old, 1);
    let metadata = json!({"redirect_uris": [REDIRECT_URI]});
    let at = |program: &Program| {
        let (url, metadata) = (program.url.clone(), metadata.clone());
        async move { Client::register_for(&format!("{PUBLIC}/mcp"), &url, metadata).await }
    };
    let client = at(&one).await;
    let (alice, rita) = (log_in(&client, "alice").await, log_in(&client, "rita").await);
    let changed = |line: &str| match line.contains("username: alice") {
        true => format!(
            "        - {{username: alice, password_hash: \"{}\", scopes: [\"mcp:read\"]}}\n",
            bcrypt::hash("another one", 4).unwrap()
        ),
        false => format!("{line}\n"),
    };
    let new: String = old.lines().map(changed).collect();
    let other = start(folder.path(), &new, 2);
    for program in [&one, &other] {
        crate::operation::until(|| futures(status(program, &alice)) == 401).await;
        assert_eq!(status(program, &rita).await, 200);
    }
    // The older process knows the old password, and is not to take it.
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let refused = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    let client = at(&other).await;
    let login = browser.open(&client.authorize_url(&[])).await;
    let asked = browser.submit(&login, &[("username", "alice"), ("password", "another one")]).await;
    let page = browser.submit(&asked, &[("decision", "allow")]).await;
    let back = client.redeem(&page.answer("code").unwrap()).await;
    for _ in 0..2 {
        assert_eq!(hung_up(folder.path(), &one, 1), hung_up(folder.path(), &other, 2));
        assert_eq!((status(&one, &back).await, status(&other, &back).await), (200, 200), "it is done once");
    }
}

/// Tells it to look at its configuration again, in which nothing has changed, and waits for its word.
fn hung_up(folder: &Path, program: &Program, number: usize) -> usize {
    let outcomes = || {
        fs::read_to_string(folder.join(format!("log-{number}")))
            .unwrap()
            .matches("the configuration was reloaded")
            .count()
    };
    let before = outcomes();
    program.hang_up();
    let began = std::time::Instant::now();
    while outcomes() == before {
        assert!(began.elapsed() < crate::operation::LONG, "it reloads");
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
    outcomes() - before
}

/// What comes of this, waited for where nothing can be awaited.
fn futures<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_a_namesake_in_the_store_takes_over_nothing_after_a_reload() {
    let yaml = hashed(&PEOPLE.replace("        - {username: rita", "        - {username: bob, password_hash: HASH, scopes: [\"mcp:read\", \"mcp:write\"]}\n        - {username: rita"));
    let without: String =
        yaml.lines().filter(|line| !line.contains("username: bob")).map(|line| format!("{line}\n")).collect();
    // Added while there is no other.
    let program = Program::start(bare_folder(&without), &[]);
    program.beside(&["user", "add", "bob", "--scopes", "mcp:read"], &format!("{PASSWORD}\n"));
    program.configure(&yaml);
    assert!(program.reload(), "{}", program.log());
    let client = crate::operation::register(&program).await;
    let (bob, rita) = (log_in(&client, "bob").await, log_in(&client, "rita").await);
    assert_eq!(bob.text("scope"), "mcp:read mcp:write");
    program.configure(&without);
    assert!(program.reload(), "{}", program.log());
    assert_eq!((status(&program, &bob).await, status(&program, &rita).await), (401, 200));
    assert_eq!(client.refresh(bob.refresh()).await.error(), "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tok_10_wrong_client_secrets_are_counted_on_over_a_reload() {
    let clients = "    clients:\n      - {client_id: known, client_secret: \"a secret of more than 32 characters, long\", redirect_uris: [\"https://client.example/cb\"]}\n    allow_dynamic";
    let program = Program::start(bare_folder(&hashed(&PEOPLE.replace("    allow_dynamic", clients))), &[]);
    let guess = || {
        let form = [("grant_type", "refresh_token"), ("refresh_token", "x")];
        http().post(format!("{}/oauth/token", program.url)).basic_auth("known", Some("a guess")).form(&form)
    };
    for _ in 0..10 {
        assert_eq!(Client::read(guess()).await.status, 401);
    }
    assert_eq!(Client::read(guess()).await.status, 429);
    assert!(program.reload(), "{}", program.log());
    assert_eq!(Client::read(guess()).await.status, 429, "the guesser has no more tries than before");
}
