//! A configuration with a fault: it is told where, and what was in force stays in force as a whole.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::operation::{PEOPLE, bare_folder, hashed, log_in, register, session};
use crate::support::Program;

/// What is wrong: a line of the good file, what stands in its place, and what the log says of it.
const FAULTS: [(&str, &str, &str); 11] = [
    ("upstreams:", "upstreams: [", "config.yaml:"),
    ("  rate_limit: {login: {limit: 0}}", "  rate_limitt: {login: {limit: 0}}", "server.rate_limitt"),
    ("    allow_dynamic_registration: true", "    token_lifetime: soon", "server.oauth_server.token_lifetime"),
    ("    enabled: true", "    enabled: true\n    signing: {key_file: gone.pem}", "gone.pem"),
    ("    enabled: true", "    enabled: true\n    issuer: \"http://b.example\"", "server.oauth_server.issuer"),
    ("  me: {builtin: whoami}", "  me: {builtin: whoami}\n  me: {builtin: whoami}", "upstreams.me"),
    ("  me: {builtin: whoami}", "  me: {builtin: whoami}\n  you: {builtin: whoami, prefix: me}", "upstreams.you"),
    (
        "  me: {builtin: whoami}",
        "  me: {url: \"https://x.example/mcp\", auth: {token: \"${NOT_SET_ANYWHERE}\"}}",
        "NOT_SET_ANYWHERE",
    ),
    (
        "  me: {builtin: whoami}",
        "  me: {builtin: whoami}\n  dead: {command: /nonexistent/server, required: true, startup_timeout: 2s}",
        "\"dead\" is required",
    ),
    ("log: {output: log}", "log: {output: no/such/folder/log}", "no/such/folder/log"),
    ("password_hash: BAD", "password_hash: \"$2x$04$aaaa\"", "users[0].password_hash"),
];

/// Makes a file unreadable.
type Spoil = fn(&Path);

/// The good file without `rita`, with another upstream, and with one fault.
fn faulty(yaml: &str, fault: &(&str, &str, &str)) -> String {
    let mut lines: Vec<String> = yaml.lines().filter(|line| !line.contains("rita")).map(str::to_owned).collect();
    if fault.0.ends_with("BAD") {
        let alice = lines.iter_mut().find(|line| line.contains("alice")).unwrap();
        "        - {username: alice, password_hash: \"$2x$04$aaaa\", scopes: [\"mcp:read\"]}".clone_into(alice);
    }
    let text = lines.join("\n") + "\n  more: {builtin: whoami}\n";
    if fault.0.ends_with("BAD") { text } else { text.replacen(fault.0, fault.1, 1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_4_a_bad_configuration_is_told_with_its_line_and_changes_nothing() {
    let yaml = hashed(PEOPLE);
    let program = Program::start(bare_folder(&yaml), &[]);
    let client = register(&program).await;
    let rita = log_in(&client, "rita").await;
    let session = session(&program, rita.access()).await;
    for fault in &FAULTS {
        let text = faulty(&yaml, fault);
        assert_ne!(text, yaml);
        program.configure(&text);
        let before = program.log().len();
        assert!(!program.reload(), "{fault:?}");
        let log = program.log().split_off(before);
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(errors.iter().any(|line| line.contains(fault.2)), "{fault:?}: {log}");
        // What can be seen without asking anybody has its line.
        let written = fault.1.lines().last().unwrap();
        let line = text.lines().enumerate().filter(|(_, line)| *line == written).last().map(|(line, _)| line + 1);
        let is_seen = !(fault.2.contains("dead") || fault.2.contains("gone.pem") || fault.2.contains("folder"));
        if let Some(line) = line.filter(|_| is_seen && fault.2 != "config.yaml:") {
            assert!(log.contains(&format!("config.yaml:{line}: ")), "{fault:?}: {log}");
        }
        assert!(!log.contains("aaaa"), "the value is not printed: {log}");
        // Rita, whom the bad file does not have, works on, and there is no other upstream.
        assert_eq!(session.tool("whoami", json!({})).await["result"]["structuredContent"]["user"], "rita");
        let listed = session.call("tools/list", json!({})).await.to_string();
        assert!(!listed.contains("more__") && !listed.contains("me__"), "{fault:?}: {listed}");
        assert_eq!(client.refresh(rita.refresh()).await.status, 200, "{fault:?}");
    }
    program.configure(&yaml);
    assert!(program.reload(), "{}", program.log());
    assert_eq!(session.status().await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_4_a_file_that_cannot_be_read_changes_nothing() {
    let yaml = hashed(PEOPLE);
    let mut program = Program::start(bare_folder(&yaml), &[]);
    let rita = log_in(&register(&program).await, "rita").await;
    let session = session(&program, rita.access()).await;
    let path = program.folder.path().join("config.yaml");
    let ways: [(&str, Spoil); 5] = [
        ("cannot be read", |path| fs::remove_file(path).unwrap()),
        ("cannot be read", |path| fs::create_dir(path).unwrap()),
        ("is empty", |path| {
            fs::remove_dir(path).unwrap();
            fs::write(path, "").unwrap();
        }),
        ("is empty", |path| fs::write(path, "\n# later\n\n").unwrap()),
        ("not UTF-8", |path| fs::write(path, b"log: \xff\n").unwrap()),
    ];
    for (told, spoil) in ways {
        spoil(&path);
        let before = program.log().len();
        assert!(!program.reload(), "{told}");
        assert!(program.log()[before..].contains(told), "{told}: {}", program.log());
        assert_eq!(session.status().await, 200);
    }
    program.terminate();
    assert_eq!(program.ended(), Some(0), "what went wrong with reloads is no failure of the bridge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_4_reloads_done_and_refused_stand_in_the_trail() {
    let yaml = format!("{}audit: {{enabled: true, path: audit.jsonl}}\n", hashed(PEOPLE));
    let program = Program::start(bare_folder(&yaml), &[]);
    let dead = "  me: {builtin: whoami}\n  dead: {command: /nonexistent/server, required: true, startup_timeout: 2s}";
    for (text, is_done) in [
        (yaml.replace("  me: {builtin", "  you: {builtin"), true),
        (yaml.replace("enabled: true\n", "enabled: maybe\n"), false),
        (yaml.replace("  me: {builtin: whoami}", dead), false),
    ] {
        program.configure(&text);
        assert_eq!(program.reload(), is_done, "{}", program.log());
    }
    let trail = fs::read_to_string(program.folder.path().join("audit.jsonl")).unwrap();
    let lines = trail.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told: Vec<_> = lines
        .filter(|line| line["event"] == "reload")
        .map(|line| (line["outcome"].as_str().unwrap().to_owned(), line["reason"].as_str().map(str::to_owned)))
        .collect();
    let refused = |reason: &str| ("refused".to_owned(), Some(reason.to_owned()));
    assert_eq!(told, [("done".to_owned(), None), refused("faulty"), refused("upstream_unavailable")]);
}
