//! Who leaves the configuration is out at once, whoever stays notices nothing.

use std::fs;

use serde_json::json;

use crate::operation::{LONG, PEOPLE, bare_folder, hashed, log_in, register, session};
use crate::support::Program;
use crate::support::client::{Client, Tokens, http};

const ROBOT: &str = "    clients:\n      - {client_id: robot, client_secret: \"a secret of more than 32 characters, long\", grant_types: [client_credentials], scopes: [\"mcp:read\"]}\n";

fn user(name: &str, more: &str) -> String {
    format!("        - {{username: {name}, password_hash: HASH{more}}}\n")
}

fn people(users: &[(&str, &str)], clients: &str) -> String {
    let (head, tail) = PEOPLE.split_once("        - {username: alice").unwrap();
    let tail = tail.split_once("    allow_dynamic").unwrap().1;
    let users: String = users.iter().map(|(name, more)| user(name, more)).collect();
    format!("{head}{users}{clients}    allow_dynamic{tail}")
}

async fn robot(program: &Program) -> Tokens {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "robot"),
        ("client_secret", "a secret of more than 32 characters, long"),
    ];
    Client::read(http().post(format!("{}/oauth/token", program.url)).form(&form)).await
}

const BOTH: &str = ", scopes: [\"mcp:read\", \"mcp:write\"]";
const READ: &str = ", scopes: [\"mcp:read\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_who_is_removed_disabled_or_changed_is_out_at_once_and_nobody_else() {
    let names = ["removed", "disabled", "changed", "narrowed", "widened", "kept"];
    let before = [BOTH, BOTH, BOTH, BOTH, READ, BOTH];
    let users: Vec<_> = names.into_iter().zip(before).collect();
    let yaml = hashed(&people(&users, ROBOT));
    let program = Program::start(bare_folder(&yaml), &[]);
    let client = register(&program).await;
    let mut all = Vec::new();
    for name in names {
        all.push((name, log_in(&client, name).await));
    }
    let robots = robot(&program).await;
    let (removed, kept) = (session(&program, all[0].1.access()).await, session(&program, all[5].1.access()).await);
    let (ending, lasting) = (removed.listen().await, kept.listen().await);
    // A line of the new file is the old one where nothing changed, hash and all.
    let mut lines: Vec<String> = yaml.lines().map(str::to_owned).collect();
    let at = |name: &str, lines: &[String]| {
        lines.iter().position(|line| line.contains(&format!("username: {name},"))).unwrap()
    };
    let place = at("disabled", &lines);
    lines[place] = lines[place].replace("}", ", disabled: true}");
    let place = at("changed", &lines);
    lines[place] = hashed(&user("changed", BOTH)).trim_end().to_owned();
    let place = at("narrowed", &lines);
    lines[place] = lines[place].replace(", \"mcp:write\"", "");
    let place = at("widened", &lines);
    lines[place] = lines[place].replace("[\"mcp:read\"]", "[\"mcp:read\", \"mcp:write\"]");
    lines.retain(|line| {
        !line.contains("username: removed") && !line.contains("robot") && !line.contains("    clients:")
    });
    program.configure(&(lines.join("\n") + "\n"));
    assert!(program.reload(), "{}", program.log());
    for (name, tokens) in &all {
        let (status, stays) = (session_status(&program, tokens).await, ["widened", "kept"].contains(name));
        assert_eq!(status, if stays { 200 } else { 401 }, "{name}");
        let refreshed = client.refresh(tokens.refresh()).await;
        assert_eq!(refreshed.error(), if stays { "" } else { "invalid_grant" }, "{name}: {refreshed:?}");
    }
    assert_eq!(session_status(&program, &robots).await, 401);
    assert!([400, 401].contains(&robot(&program).await.status), "there is no such client any more");
    let rest = tokio::time::timeout(LONG, ending.text()).await.expect("its stream ends");
    assert!(rest.is_ok(), "{rest:?}");
    assert!(kept.tool("whoami", json!({})).await["result"].is_object());
    drop(lasting);
    // Those who may come in again do so with what is new.
    for name in ["changed", "narrowed"] {
        assert_eq!(session_status(&program, &log_in(&client, name).await).await, 200, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_23_a_client_that_acts_for_itself_with_another_secret_or_less_is_out_at_once() {
    let wide = ROBOT.replace("[\"mcp:read\"]", "[\"mcp:read\", \"mcp:write\"]");
    let hidden = wide.replace("client_secret: \"a secret", "client_secret: \"another secret");
    let yaml = hashed(&people(&[("alice", BOTH)], &wide));
    let program = Program::start(bare_folder(&yaml), &[]);
    let first = robot(&program).await;
    assert!(program.reload());
    assert_eq!(session_status(&program, &first).await, 200, "nothing changed");
    program.configure(&yaml.replace(&wide, ROBOT));
    assert!(program.reload());
    assert_eq!(session_status(&program, &first).await, 401, "it may do less");
    program.configure(&yaml);
    assert!(program.reload());
    let second = robot(&program).await;
    assert_eq!(session_status(&program, &second).await, 200, "nothing ends for more");
    program.configure(&yaml.replace(&wide, &hidden));
    assert!(program.reload());
    assert_eq!(session_status(&program, &second).await, 401, "another secret");
}

async fn session_status(program: &Program, tokens: &Tokens) -> u16 {
    crate::support::mcp::Session::at(&format!("{}/mcp", program.url), tokens.access()).status().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jwt_16_tokens_of_a_key_that_was_taken_away_are_refused_after_a_reload() {
    let program = Program::start(bare_folder(&hashed(PEOPLE)), &[]);
    let client = register(&program).await;
    let alice = log_in(&client, "alice").await;
    let stream = session(&program, alice.access()).await.listen().await;
    assert!(program.reload());
    assert_eq!(session_status(&program, &alice).await, 200, "the same key");
    for entry in fs::read_dir(program.folder.path().join("keys")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("signing") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert!(program.reload());
    assert_eq!(session_status(&program, &alice).await, 401);
    let rest = tokio::time::timeout(LONG, stream.text()).await.expect("its stream ends");
    assert!(rest.is_ok(), "{rest:?}");
    let renewed = client.refresh(alice.refresh()).await;
    assert_eq!(session_status(&program, &renewed).await, 200, "nobody has to log in again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_3_a_door_that_is_closed_ends_what_came_in_while_it_was_open() {
    let yaml = hashed(PEOPLE);
    let open = yaml.replace("  oauth_server:\n", "  auth: {type: none}\n  oauth_server:\n");
    let program = Program::start(bare_folder(&open), &[]);
    let anybody = session(&program, "none").await;
    let stream = anybody.listen().await;
    let status = |path: &str| {
        let request = http().get(format!("{}{path}", program.url));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(status("/.well-known/oauth-protected-resource").await, 404);
    program.configure(&yaml);
    assert!(program.reload(), "{}", program.log());
    let rest = tokio::time::timeout(LONG, stream.text()).await.expect("its stream ends");
    assert!(rest.is_ok(), "{rest:?}");
    assert_eq!((anybody.status().await, status("/.well-known/oauth-protected-resource").await), (401, 200));
    program.configure(&open);
    assert!(program.reload(), "{}", program.log());
    assert_eq!(anybody.status().await, 200);
}
