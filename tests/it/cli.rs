//! The program as it is typed: what it prints, and how it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use mcp_bridge::base::clock::Timestamp;
use mcp_bridge::base::id::UserId;
use mcp_bridge::config::section::Storage;
use mcp_bridge::model::account::{Account, Profile};
use mcp_bridge::store::Sqlite;
use tempfile::TempDir;

use crate::support::program::{heard, run};

const CONFIG: &str = r#"
server:
  listen: 127.0.0.1:0
  oauth_server:
    enabled: true
    builtin: {create_first_user: true}
    allow_dynamic_registration: true
    allowed_redirect_uris: ["@loopback"]
upstreams:
  me: {builtin: whoami}
"#;

fn folder(yaml: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    folder
}

fn with_input(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = heard(folder, arguments).stdin(Stdio::piped()).spawn().unwrap();
    // A program that refuses to go on ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A bridge that was started as a person would. It is told to stop when this is dropped.
struct Started {
    child: Child,
    greeting: Vec<String>,
}

impl Started {
    fn new(folder: &Path) -> Self {
        let mut child = heard(folder, &["-c", "config.yaml"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = Vec::new();
        while !greeting.last().is_some_and(|line: &String| line.starts_with("  keys")) {
            greeting.push(lines.next().expect("the greeting goes on").unwrap());
        }
        Self { child, greeting }
    }

    fn said(&self, word: &str) -> Option<String> {
        let line = self.greeting.iter().find(|line| line.trim_start().starts_with(word))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    }

    fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_and_version_are_no_errors_and_a_wrong_word_is_64() {
    let folder = folder(CONFIG);
    for arguments in [&["--version"][..], &["--help"], &["user", "--help"]] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(0));
    }
    assert!(text(&run(folder.path(), &["--version"])).starts_with(concat!("mcp-bridge ", env!("CARGO_PKG_VERSION"))));
    for arguments in [&["sevre"][..], &["--nonsense"], &["user"]] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(64), "{arguments:?}");
    }
}

#[test]
fn the_allocator_is_compiled_as_asked_and_its_thread_runs() {
    let folder = folder(CONFIG);
    let output = heard(folder.path(), &["--version"]).env("_RJEM_MALLOC_CONF", "stats_print:true").output().unwrap();
    let said = text(&output);
    for asked in [
        "\"max_background_threads:1,",
        "(background_thread: true)",
        "opt.dirty_decay_ms: 1000 ",
        "opt.muzzy_decay_ms: 0 ",
        "opt.tcache_gc_incr_bytes: 1048576\n",
        "opt.tcache_nslots_small_min: 64\n",
    ] {
        assert!(said.contains(asked), "{asked:?} is not in force: was .cargo/config.toml read?\n{said}");
    }
}

#[test]
fn a_faulty_or_missing_file_is_78_and_every_fault_is_told() {
    let bad = folder("server:\n  lisen: 127.0.0.1:0\n  idle_timeout: soon\n");
    for arguments in [&["config", "check"][..], &["serve"], &["user", "list"]] {
        let output = run(bad.path(), arguments);
        assert_eq!(output.status.code(), Some(78), "{}", text(&output));
        assert!(
            text(&output).contains("did you mean `listen`") || text(&output).contains("did you mean listen"),
            "{}",
            text(&output)
        );
        assert!(text(&output).contains("idle_timeout"));
    }
    let missing = run(bad.path(), &["-c", "nowhere.yaml"]);
    assert_eq!(missing.status.code(), Some(78), "{}", text(&missing));
}

#[test]
fn ops_6_a_start_with_a_bad_file_is_over_at_once_and_leaves_nothing_behind() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let samples = std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().path());
    for sample in samples.filter(|path| path.is_file()) {
        let folder = folder(&std::fs::read_to_string(&sample).unwrap());
        let [checked, started] = [&["config", "check"][..], &[]].map(|arguments| run(folder.path(), arguments));
        assert_eq!(started.status.code(), Some(78), "{}: {}", sample.display(), text(&started));
        assert_eq!((checked.status.code(), text(&checked)), (Some(78), text(&started)), "one check for both");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{}", sample.display());
    }
}

#[test]
fn ops_14_warnings_are_in_the_log_of_every_start() {
    let folder = folder(&CONFIG.replace("me: {builtin: whoami}", "{}"));
    for _ in 0..2 {
        let mut started = Started::new(folder.path());
        let mut log = BufReader::new(started.child.stderr.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains("no MCP server is behind the bridge")));
        assert_eq!(started.stop(), 0);
    }
}

#[test]
fn the_first_start_prints_the_login_once() {
    let folder = folder(CONFIG);
    let started = Started::new(folder.path());
    assert_eq!(started.said("login").as_deref(), Some("admin"));
    assert!(started.said("password").is_some_and(|password| password.len() >= 20));
    assert!(started.said("connector").unwrap().ends_with("/mcp"));
    assert_eq!(started.stop(), 0);
    let again = Started::new(folder.path());
    assert_eq!((again.said("login"), again.said("password")), (None, None));
    let keys = std::fs::read_dir(folder.path().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = keys.chain([folder.path().join("data/mcp-bridge.db")]).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
    assert_eq!(again.stop(), 0);
}

#[test]
fn a_port_that_is_taken_is_74_and_a_dead_bridge_is_unhealthy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder(&CONFIG.replace("127.0.0.1:0", &address));
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(74), "{}", text(&output));
    assert!(text(&output).contains("server.listen"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is made before the port is ours");
    drop(taken);
    assert_eq!(run(folder.path(), &["healthcheck"]).status.code(), Some(1));
    let started = Started::new(folder.path());
    let healthy = run(folder.path(), &["healthcheck"]);
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy));
    assert_eq!(started.stop(), 0);
}

#[test]
fn a_bridge_is_asked_for_its_health_by_the_name_it_serves() {
    // On an address that is no name of the bridge, as every address is in a container.
    let free = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().to_string();
    let public = "enabled: true\n    issuer: https://mcp.example.com";
    let folder = folder(&CONFIG.replace("127.0.0.1:0", &free).replace("enabled: true", public));
    let started = Started::new(folder.path());
    let healthy = run(folder.path(), &["healthcheck"]);
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy));
    assert_eq!(started.stop(), 0);
    let dead = run(folder.path(), &["healthcheck"]);
    assert_eq!(dead.status.code(), Some(1));
    assert!(text(&dead).contains("start it with"), "{}", text(&dead));
}

#[test]
fn a_required_upstream_that_is_missing_is_69() {
    let folder =
        folder(&CONFIG.replace(
            "me: {builtin: whoami}",
            "gone: {command: /nonexistent/server, required: true, startup_timeout: 2s}",
        ));
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
}

#[test]
fn a_start_that_fails_keeps_no_user_whose_password_nobody_saw() {
    let gone = "gone: {command: /nonexistent/server, required: true, startup_timeout: 2s}";
    let folder = folder(&CONFIG.replace("me: {builtin: whoami}", gone));
    assert_eq!(run(folder.path(), &[]).status.code(), Some(69));
    std::fs::write(folder.path().join("config.yaml"), CONFIG).unwrap();
    let started = Started::new(folder.path());
    assert!(started.said("password").is_some(), "{:?}", started.greeting);
    assert_eq!(started.stop(), 0);
}

#[test]
fn a_start_that_waits_for_an_upstream_can_be_stopped() {
    let silent = "silent: {command: sh, args: [-c, 'echo started >&2; while read -r line; do :; done'], required: true, startup_timeout: 60s}";
    let folder = folder(&CONFIG.replace("me: {builtin: whoami}", silent));
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = heard(folder.path(), &[]).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains("started")), "the upstream runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert!(log.all(|line| !line.unwrap().contains("panic")));
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn users_are_managed_beside_a_running_bridge() {
    let folder = folder(CONFIG);
    let started = Started::new(folder.path());
    let ok = |arguments: &[&str], input: &str| {
        let output = with_input(folder.path(), arguments, input);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        text(&output)
    };
    ok(&["user", "add", "Eve", "--scopes", "mcp:read"], "a good password\n");
    assert_eq!(with_input(folder.path(), &["user", "add", "EVE"], "x\n").status.code(), Some(64), "the same person");
    ok(&["user", "disable", "eve"], "");
    assert!(ok(&["user", "list"], "").contains("eve\tdisabled\tmcp:read\t\tpassword\n"));
    ok(&["user", "enable", "eve"], "");
    ok(&["user", "passwd", "eve"], "another password\n");
    ok(&["user", "remove", "eve"], "");
    assert!(!ok(&["user", "list"], "").contains("eve"));
    for arguments in [["user", "disable", "eve"], ["user", "remove", "eve"]] {
        assert_eq!(run(folder.path(), &arguments).status.code(), Some(64));
    }
    assert_eq!(
        with_input(folder.path(), &["user", "add", "long"], &format!("{}\n", "x".repeat(73))).status.code(),
        Some(64)
    );
    assert_eq!(started.stop(), 0);
}

/// Remembers somebody as a login at a provider does; the person's name there, and what the provider says of the e-mail address.
fn remember(folder: &Path, issuer: &str, subject: &str, email: Option<&str>) {
    let storage = Storage::Sqlite { path: folder.join("data/mcp-bridge.db") };
    let now = Timestamp::from_unix(1_800_000_000);
    let store = Sqlite::open(&storage, now, std::time::Duration::from_secs(900)).unwrap();
    let account = Account {
        user: UserId::federated(issuer, subject),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        profile: Profile { email: email.map(str::to_owned), ..Profile::default() },
        refresh_token: None,
        disabled: false,
        created_at: now,
        confirmed_at: now,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(store.record_account(account)).unwrap(), "{subject} is not disabled");
}

#[test]
fn people_of_identity_providers_are_managed_by_their_identifiers() {
    let folder = folder(CONFIG);
    let ok = |arguments: &[&str], input: &str| {
        let output = with_input(folder.path(), arguments, input);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        text(&output)
    };
    ok(&["user", "add", "eve", "--email", "eve@example.com"], "a good password\n");
    remember(folder.path(), "https://idp.example", "Ann|7", Some("ann@example.com"));
    remember(folder.path(), "https://idp.example", "ann|7", None);
    remember(folder.path(), "https://a.example/", "1", Some("x\t\u{1b}[2J\nroot\tactive\u{202e}"));
    let person = "https://idp.example#Ann|7";
    ok(&["user", "disable", person], "");
    let expected = [
        "eve\tactive\tmcp:read mcp:write\teve@example.com\tpassword\n",
        "https://a.example/#1\tactive\t\tx\\t\\u{1b}[2J\\nroot\\tactive\\u{202e}\thttps://a.example/\n",
        "https://idp.example#Ann|7\tdisabled\t\tann@example.com\thttps://idp.example\n",
        "https://idp.example#ann|7\tactive\t\t\thttps://idp.example\n",
    ];
    assert_eq!(ok(&["user", "list"], ""), expected.concat());
    ok(&["user", "enable", person], "");
    assert!(ok(&["user", "remove", person], "").contains("user disable"), "it says how to lock somebody out");
    assert_eq!(ok(&["user", "list"], ""), [expected[0], expected[1], expected[3]].concat());
}

#[test]
fn a_person_of_an_identity_provider_has_no_password_to_set() {
    let folder = folder(CONFIG);
    remember(folder.path(), "https://idp.example", "7", None);
    let listed = text(&run(folder.path(), &["user", "list"]));
    for verb in ["add", "passwd"] {
        let output = with_input(folder.path(), &["user", verb, "https://idp.example#7"], "a good password\n");
        assert_eq!(output.status.code(), Some(64), "{verb}: {}", text(&output));
        assert!(text(&output).contains("logs in at an identity provider"), "{verb}: {}", text(&output));
    }
    for verb in ["disable", "enable", "remove"] {
        let output = run(folder.path(), &["user", verb, "https://idp.example#8"]);
        assert_eq!(output.status.code(), Some(64), "{verb}: nobody is called so");
        assert!(text(&output).contains("user list"), "{verb}: {}", text(&output));
    }
    assert_eq!(text(&run(folder.path(), &["user", "list"])), listed);
}

#[test]
fn files_that_cannot_be_used_are_74_and_named() {
    let folder = folder(CONFIG);
    std::fs::write(folder.path().join("no-folder"), "").unwrap();
    let with = |yaml: &str| {
        std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
        let output = run(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(74), "{}", text(&output));
        text(&output)
    };
    let key_dir = with(&CONFIG.replace("enabled: true", "enabled: true\n    signing: {key_dir: no-folder/keys}"));
    assert!(key_dir.contains("no-folder/keys") && key_dir.contains("server.oauth_server.signing"), "{key_dir}");
    let log = with(&format!("{CONFIG}log: {{output: no-folder/bridge.log}}\n"));
    assert!(log.contains("Not a directory") && log.contains("log.output"), "{log}");
    let database = with(&format!("{CONFIG}storage: {{path: no-folder/bridge.db}}\n"));
    assert!(database.contains("no-folder/bridge.db: Not a directory"), "{database}");
}

#[test]
fn what_would_have_no_effect_on_users_is_refused() {
    let hash = bcrypt::hash("correct horse", 4).unwrap();
    let user = format!("users: [{{username: Ada, password_hash: \"{hash}\", scopes: [\"mcp:read\"]}}]");
    let configured = folder(&CONFIG.replace("create_first_user: true", &user));
    for arguments in [["add", "ada"], ["passwd", "ADA"], ["disable", "ada"], ["enable", "ada"]] {
        let output = with_input(configured.path(), &["user", arguments[0], arguments[1]], "a good password\n");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains("builtin.users"), "{}", text(&output));
    }
    let typo = with_input(configured.path(), &["user", "add", "eve", "--scopes", "mcp:raed"], "a good password\n");
    assert_eq!(typo.status.code(), Some(64));
    assert!(text(&typo).contains("`mcp:raed`"), "{}", text(&typo));
    assert_eq!(text(&run(configured.path(), &["user", "list"])), "");
    let forgetful = folder(&format!("{CONFIG}storage: {{type: memory}}\n"));
    let output = with_input(forgetful.path(), &["user", "add", "eve"], "a good password\n");
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn hashes_and_keys_are_made_for_the_configuration() {
    let folder = folder(CONFIG);
    let hash = with_input(folder.path(), &["hash-password"], "correct horse\n");
    let hash = String::from_utf8(hash.stdout).unwrap();
    assert!(bcrypt::verify("correct horse", hash.trim()).unwrap());
    for algorithm in ["es256", "rs256", "eddsa"] {
        let file = format!("{algorithm}.pem");
        assert_eq!(run(folder.path(), &["keygen", "--algorithm", algorithm, "--out", &file]).status.code(), Some(0));
        assert_eq!(std::fs::metadata(folder.path().join(&file)).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = run(folder.path(), &["keygen", "--out", &file]);
        assert_eq!(kept.status.code(), Some(74), "an existing file is kept");
        assert!(text(&kept).contains("name another"), "{}", text(&kept));
        let with_key = CONFIG.replace("enabled: true", &format!("enabled: true\n    signing: {{key_file: {file}}}"));
        std::fs::write(folder.path().join("config.yaml"), with_key).unwrap();
        assert_eq!(Started::new(folder.path()).stop(), 0, "{algorithm}");
    }
}

#[test]
fn a_key_file_that_cannot_sign_is_a_fault_of_the_configuration() {
    let folder = folder(CONFIG);
    let wrong: [(&str, &[&str], &str); 3] = [
        ("curve.pem", &["ecparam", "-genkey", "-name", "secp384r1", "-noout"], "P-256"),
        ("short.pem", &["genrsa", "1024"], "2048"),
        ("public.pem", &["genrsa", "2048"], "private"),
    ];
    for (name, arguments, word) in wrong {
        let path = folder.path().join(name);
        let mut key = Command::new("openssl");
        let (verb, options) = arguments.split_first().unwrap();
        key.arg(verb).arg("-out").arg(&path).args(options);
        assert!(key.stderr(Stdio::null()).status().unwrap().success());
        if word == "private" {
            let public = Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&path).output().unwrap();
            std::fs::write(&path, public.stdout).unwrap();
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let yaml = CONFIG.replace("enabled: true", &format!("enabled: true\n    signing: {{key_file: {name}}}"));
        std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
        for arguments in [&["config", "check"][..], &["serve"]] {
            let output = run(folder.path(), arguments);
            assert_eq!(output.status.code(), Some(78), "{name}: {}", text(&output));
            assert!(text(&output).contains(word) && text(&output).contains("openssl"), "{}", text(&output));
        }
    }
}

#[test]
fn ctrl_c_at_the_password_prompt_gives_the_terminal_back() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cli/interrupted_prompt.py");
    let mut python = Command::new("python3");
    let output = python.arg(script).args([env!("CARGO_BIN_EXE_mcp-bridge"), "hash-password"]).output().unwrap();
    assert_eq!(text(&output), "hidden=True ended=-2 echoes=True\n");
}

/// The rows of the table of limits that apply to what is built, each with what they are called here.
const BOUNDS: [(&str, &[&str]); 14] = [
    ("header read", &["request head "]),
    ("body read", &["pause in a request body", "whole request body"]),
    (
        "header bytes / count, URL",
        &["header fields of a request ", "header fields of a request, together", "request target"],
    ),
    (
        "bodies, JSON depth",
        &["form, or metadata of a client", "body of an MCP request", "JSON nesting of a client's message"],
    ),
    ("response or event from upstream", &["answer or event of an HTTP upstream", "line of a child's output"]),
    ("per-stream buffer", &["bytes waiting on one stream", "client that reads nothing of its stream"]),
    ("connections", &["connections ", "connections from one address"]),
    (
        "in-flight MCP calls",
        &["calls under way, of one person", "calls under way, at one upstream", "calls under way, in all"],
    ),
    ("SSE streams", &["open streams of one person", "open streams, in all", "open GET streams of one session"]),
    ("sessions", &["sessions of one app", "sessions, in all", "session without a request", "life of a session"]),
    (
        "stdio children",
        &[
            "start of a child",
            "messages waiting for a child",
            "pause before a child is started again, at most",
            "starts of a child in a row",
            "end of a child",
        ],
    ),
    ("upstream", &["connection to an upstream", "answer of an upstream", "one call, however often"]),
    ("password hashing", &["password checks at one time", "password checks waiting", "wait for a password check"]),
    (
        "fetches, storage, drain",
        &[
            "request to an identity provider",
            "answer of an identity provider",
            "write to the database",
            "requests under way when told to stop",
        ],
    ),
];

#[test]
fn config_show_limits_names_every_bound_with_its_value_what_follows_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "server:\n  max_request_body: 5MiB\n  read_timeout: 7s\n  max_connections: 100\n  session: {max_streams_per_user: 33, max_sessions: 0}\n  \
        oauth_server: {enabled: true, mode: both, federated: {upstream_issuer: https://idp.example, client_id: c, client_secret: a-secret-that-is-long, http_timeout: 9s, allowed_domains: [example.com]}}\n\
        upstreams: {files: {command: cat, startup_timeout: 11s}, far: {url: \"https://far.example/mcp\", timeout: 13s}}\n";
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let shown = run(folder.path(), &["config", "show", "--limits"]);
    let table = String::from_utf8(shown.stdout.clone()).unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    for (row, names) in BOUNDS {
        for name in names {
            assert!(table.lines().any(|line| line.starts_with(name)), "{row}: {name}\n{table}");
        }
    }
    let line = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    for (name, value, on_breach, key) in [
        ("body of an MCP request", "5 MiB", "413, the connection ends", "server.max_request_body"),
        ("whole request body", "14s", "408, the connection ends", "server.read_timeout"),
        ("open streams of one person", "33", "429, Retry-After", "server.session.max_streams_per_user"),
        ("open streams, in all", "90", "503, Retry-After", "server.max_connections"),
        ("sessions, in all", "none", "the least used that is idle ends, else 503", "server.session.max_sessions"),
        ("start of a child", "11s", "it is started anew", "upstreams.files.startup_timeout"),
        ("request to an identity provider", "9s", "the login fails", "server.oauth_server.federated.http_timeout"),
        ("JSON nesting of a client's message", "64", "400", "-"),
    ] {
        assert_eq!(line(name)[1..], [value, on_breach, key], "{name}");
    }
    let far = table.lines().find(|line| line.ends_with("upstreams.far.timeout")).unwrap();
    assert!(far.contains(" 13s "), "{far}");
    assert!(table.lines().all(|line| !line.trim().is_empty() && !line.contains("a-secret")), "{table}");
}

#[test]
fn log_7_shown_configuration_holds_no_secret() {
    let secret = "very-secret-token-value";
    let yaml = format!("{CONFIG}  far: {{url: \"https://mcp.example.com/mcp\", auth: {{token: {secret}}}}}\n");
    let folder = folder(&yaml);
    let shown = run(folder.path(), &["config", "show"]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    assert!(text(&shown).contains("<redacted>") && !text(&shown).contains(secret));
    let schema = run(folder.path(), &["config", "schema"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).is_ok());
}
