//! Signing keys change while clients are at work, and none of them notices.

use std::collections::{HashMap, HashSet};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::{BASIC, PASSWORD};
use crate::support::client::{REDIRECT_URI, http};
use crate::support::mcp::Session;
use crate::support::program::{command, run};
use crate::support::{App, Client, Program};

const PROGRAM: &str = r#"
log: {level: info, output: log}
server:
  listen: 127.0.0.1:0
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    builtin:
      users:
        - {username: alice, password_hash: HASH, scopes: ["mcp:read", "mcp:write"]}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["https://client.example/cb"]
upstreams:
  me: {builtin: whoami}
"#;

fn program_folder(yaml: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    std::fs::write(folder.path().join("config.yaml"), yaml.replace("HASH", &format!("\"{hash}\""))).unwrap();
    folder
}

fn key_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

async fn published(url: &str) -> HashSet<String> {
    let set: Value = http().get(format!("{url}/oauth/jwks")).send().await.unwrap().json().await.unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Refreshes and calls until told to stop; every answer must be a good one. Gives the keys that it met.
async fn work(
    client: &Client,
    resource: &str,
    refresh: String,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> HashSet<String> {
    let (mut refresh, mut keys) = (refresh, HashSet::new());
    while !stop.load(Ordering::SeqCst) {
        let tokens = client.refresh(&refresh).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        assert_eq!(Session::at(resource, tokens.access()).status().await, 200);
        keys.insert(key_of(tokens.access()));
        refresh = tokens.refresh().to_owned();
        done.fetch_add(1, Ordering::SeqCst);
    }
    keys
}

/// Another server that keeps our key set for an hour: no token must need a key that it has not.
async fn watch(app: &App, stop: &AtomicBool) {
    let (mut keys, mut fetched_at) = (published(&app.url).await, app.clock.now());
    let client = Client::register(app).await;
    let mut refresh = client.tokens().await.refresh().to_owned();
    while !stop.load(Ordering::SeqCst) {
        let before = app.clock.now();
        let tokens = client.refresh(&refresh).await;
        refresh = tokens.refresh().to_owned();
        if before.since(fetched_at) >= Duration::from_secs(3600) {
            (keys, fetched_at) = (published(&app.url).await, before);
        } else if app.clock.now() == before {
            assert!(keys.contains(&key_of(tokens.access())), "a key that was not published for an hour");
        }
    }
}

#[tokio::test]
async fn jwt_15_keys_rotate_under_load_and_no_valid_token_is_refused() {
    let app = App::with(
        &BASIC.replace("mode: builtin", "mode: builtin\n    token_lifetime: 4h\n    signing: {rotation_interval: 2h}"),
    );
    let client = Client::register(&app).await;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let resource = app.resource();
    let mut chains = Vec::new();
    for _ in 0..6 {
        chains.push(client.tokens().await.refresh().to_owned());
    }
    let workers = chains.into_iter().map(|refresh| work(&client, &resource, refresh, &stop, &done));
    let turn_the_clock = async {
        let mut kept: HashMap<String, i64> = HashMap::new();
        // Not a part of an hour, so that the watcher does not fetch just when a key is made.
        for _ in 0..26 {
            app.clock.advance(Duration::from_secs(1500));
            let (advanced, seen) = (Instant::now(), done.load(Ordering::SeqCst));
            // A while of work with this time, in which the folder is looked at.
            while advanced.elapsed() < Duration::from_millis(1200) || done.load(Ordering::SeqCst) < seen + 6 {
                assert!(advanced.elapsed() < Duration::from_secs(60), "nothing goes on");
                tokio::task::yield_now().await;
                let _ = published(&app.url).await;
            }
            let token = client.tokens().await.access().to_owned();
            kept.insert(token, app.clock.now().unix() + 4 * 3600);
            for (token, ends_at) in &kept {
                let expected = if app.clock.now().unix() < *ends_at { 200 } else { 401 };
                assert_eq!(Session::new(&app, token).status().await, expected);
            }
        }
        stop.store(true, Ordering::SeqCst);
        kept.keys().map(|token| key_of(token)).collect::<HashSet<_>>()
    };
    let (signed_with, met, ()) =
        tokio::join!(turn_the_clock, futures_util::future::join_all(workers), watch(&app, &stop));
    assert!(signed_with.len() >= 5, "in eleven hours: {signed_with:?}");
    assert!(met.iter().all(|keys| keys.len() >= 5), "{met:?}");
    let keys = published(&app.url).await;
    assert!(keys.len() <= 5, "keys whose tokens have ended are gone: {keys:?}");
}

#[tokio::test]
async fn jwt_15_a_key_made_beside_the_running_bridge_is_taken_into_use_and_a_killed_command_does_no_harm() {
    let program = Program::start(program_folder(PROGRAM), &[]);
    let resource = format!("{}/mcp", program.url);
    let client = Client::register_for(&resource, &program.url, json!({"redirect_uris": [REDIRECT_URI]})).await;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let first = client.tokens().await;
    let workers = [client.tokens().await, client.tokens().await].map(|tokens| {
        let refresh = tokens.refresh().to_owned();
        work(&client, &resource, refresh, &stop, &done)
    });
    let rotate = async {
        for round in 0..20_u32 {
            let mut killed = command(&program.folder, &["key", "rotate", "--now"]);
            let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::timeout(Duration::from_millis(u64::from(round) * 2), std::future::pending::<()>())
                .await
                .unwrap_err();
            killed.kill().unwrap();
            killed.wait().unwrap();
        }
        let output = run(&program.folder, &["key", "rotate", "--now"]);
        assert!(output.status.success(), "{}", said(&output));
        let next = said(&output).split(' ').next().unwrap().to_owned();
        // Those of the killed ones that were quick enough have made keys before it, and each has a second of its own to sign from.
        let (added, mut tokens) = (Instant::now(), client.tokens().await);
        while key_of(tokens.access()) != next {
            assert!(added.elapsed() < Duration::from_secs(60), "{next} is not used");
            tokens = client.refresh(tokens.refresh()).await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(rotate, futures_util::future::join_all(workers));
    assert_eq!(Session::at(&resource, first.access()).status().await, 200, "signed with the first key of all");
    assert!(published(&program.url).await.contains(&key_of(first.access())));
    // What is there can be opened again, and the list says what it is for.
    let listed = said(&run(&program.folder, &["key", "list"]));
    let roles: Vec<&str> = listed.lines().map(|line| line.split('\t').nth(2).unwrap()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "signs").count(), 1, "{listed}");
    assert_eq!((roles.first(), roles.last()), (Some(&"before"), Some(&"signs")), "{listed}");
    assert!(run(&program.folder, &["config", "check"]).status.success());
    let log = program.stop();
    assert!(log.contains("a signing key was added") && !log.contains("ERROR"), "{log}");
}

#[test]
fn the_next_key_is_made_once_and_says_from_when_it_signs() {
    let folder = program_folder(PROGRAM);
    let first = said(&run(&folder, &["key", "rotate"]));
    assert!(first.contains(" signs from 20"), "{first}");
    let listed = said(&run(&folder, &["key", "list"]));
    assert!(listed.contains("\tES256\tsigns\t20") && listed.contains("keys/signing-es256-"), "{listed}");
    let next = said(&run(&folder, &["key", "rotate"]));
    assert!(next.contains(" signs from 20") && next != first, "{next}");
    let again = said(&run(&folder, &["key", "rotate"]));
    assert!(again.contains("published already") && again.contains("--now"), "{again}");
    assert_eq!(said(&run(&folder, &["key", "list"])).lines().count(), 2);
}

#[test]
fn a_rotation_stands_in_the_trail_under_the_name_of_who_typed_it() {
    let folder = program_folder(&format!("{PROGRAM}audit: {{enabled: true, path: audit.jsonl}}\n"));
    let first = said(&run(&folder, &["key", "rotate"]));
    let line = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["event"], &line["outcome"]), (&"key".into(), &"made".into()), "{line}");
    assert!(first.starts_with(line["key_id"].as_str().unwrap()) && line["operator_uid"].is_number(), "{first} {line}");
}

#[test]
fn keys_that_are_not_generated_are_not_rotated_and_the_text_says_what_to_do() {
    let with_file = program_folder(&PROGRAM.replace("    builtin:", "    signing: {key_file: key.pem}\n    builtin:"));
    assert!(run(&with_file, &["keygen", "--out", "key.pem"]).status.success());
    let output = run(&with_file, &["key", "rotate"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("additional_keys"), "{}", said(&output));
    let memory = program_folder(&PROGRAM.replace("    builtin:", "    signing: {ephemeral: true}\n    builtin:"));
    assert_eq!(run(&memory, &["key", "rotate", "--now"]).status.code(), Some(64));
}

#[test]
fn a_generated_key_that_others_can_read_is_a_fault_at_start_and_in_config_check() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = program_folder(PROGRAM);
    assert!(run(&folder, &["key", "rotate"]).status.success());
    let mut files = std::fs::read_dir(folder.path().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|extension| extension == "pem")).unwrap();
    for mode in [0o640, 0o644] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        for arguments in [&["config", "check"][..], &["serve"], &["key", "list"]] {
            let output = run(&folder, arguments);
            assert_eq!(output.status.code(), Some(78), "{arguments:?} {mode:o}");
            assert!(said(&output).contains("run: chmod 600 "), "{}", said(&output));
        }
    }
}

/// A copy of the folder that was put back by another user, say.
#[tokio::test]
async fn jwt_15_a_file_that_holds_no_fit_key_and_does_not_sign_stops_no_rotation() {
    let app = App::start();
    let file = app.folder.path().join("keys/signing-es256-1700000000.pem");
    std::fs::write(file, "no key").unwrap();
    let first = published(&app.url).await;
    app.clock.advance(Duration::from_secs(30 * 86_400 - 3600));
    let began = Instant::now();
    while published(&app.url).await.len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "no next key is published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(published(&app.url).await.is_superset(&first));
}
