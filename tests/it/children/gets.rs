//! What a child gets: its arguments, its environment, three descriptors, a clean set of signals; and what is said when it
//! cannot be started.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::{env, fs};

use mcp_bridge::base::secret::Secret;
use mcp_bridge::bridge::upstream::child::SpawnError;
use mcp_bridge::config::section::InheritEnv;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::support::{command, ended, fixture, folder, keeper, python, server, start, try_start};

/// A variable that makes [`bridge_without_descriptors`] do something.
const ALONE: &str = "MCP_BRIDGE_TEST_ALONE";

fn write_executable(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn child_1_arguments_are_literal() {
    let nasty = ["a b", "\"q'", ";", "$(id)", "`id`", "line\nbreak", "-leading", "--", "", "*", "{{ x }}", "ünï\\code"];
    let program = "import json, sys; print(json.dumps(sys.argv[1:]), flush=True); sys.stdin.read()";
    let mut child = start(&command(python(), ["-c", program].into_iter().chain(nasty), 1000));
    let seen: Vec<String> = serde_json::from_str(&child.line().await).unwrap();
    assert_eq!(seen, nasty);
    assert_eq!(child.stop().await.0, "exited with 0");
}

#[tokio::test]
async fn child_1_a_script_without_interpreter_is_not_given_to_a_shell() {
    let (_folder, path) = folder();
    let script = path.join("script");
    write_executable(&script, "touch touched\n");
    let mut child = start(&command(script.to_str().unwrap(), [], 1000));
    let words = ended(&mut child.exit).await;
    assert!(words.starts_with("could not be started: ") && words.contains("without #!"), "{words}");
    assert!(!path.join("touched").exists());
}

#[tokio::test]
async fn child_3_environment_and_descriptors() {
    let (_folder, path) = folder();
    let mut command = server(&[], 1000);
    command.dir = Some(path.clone());
    command.env.insert("SERVICE_TOKEN".to_owned(), Secret::new("hush"));
    command.env.insert("HOME".to_owned(), Secret::new("/elsewhere"));
    let mut child = start(&command);
    let seen = child.call("environment", json!({})).await;
    let environment = seen["env"].as_object().unwrap();
    let mut names: Vec<_> = environment.keys().map(String::as_str).collect();
    // Python sets this one for itself when it finds the C locale.
    names.retain(|name| *name != "LC_CTYPE");
    assert_eq!(names, ["HOME", "PATH", "SERVICE_TOKEN"], "CARGO, USER and the like stay behind");
    assert_eq!(environment["HOME"], "/elsewhere");
    assert_eq!(environment["PATH"], std::env::var_os("PATH").unwrap().to_str().unwrap());
    assert_eq!(seen["cwd"], path.to_str().unwrap());
    assert_eq!(seen["descriptors"], json!([0, 1, 2]));
    assert_eq!(seen["group"], seen["pid"]);
    assert_eq!(seen["session"], seen["parent"], "the keeper leads the session: no terminal, no group of the bridge's");
    child.stop().await;
}

#[tokio::test]
async fn child_3_the_whole_environment_only_when_asked_for() {
    let mut command = server(&[], 1000);
    command.inherit_env = InheritEnv::All;
    let mut child = start(&command);
    let seen = child.call("environment", json!({})).await;
    let own = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| name.starts_with("CARGO")));
    assert!(own.inspect(|(name, _)| assert!(seen["env"].get(name.to_str().unwrap()).is_some())).count() > 0);
    child.stop().await;
}

/// Whoever starts the bridge may have ignored and blocked signals and leaked descriptors; the child sees none of it.
#[test]
fn child_3_default_signals_and_no_leaked_descriptor() {
    let mut parent = std::process::Command::new(python());
    parent.arg(fixture("ignoring_parent.py")).arg(keeper()).args(["__keeper", "1000", "--", python()]);
    parent.arg(fixture("fake_mcp_server.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "environment"}});
    parent.stdin.take().unwrap().write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(parent.wait().unwrap().success());
    let answer: Value = serde_json::from_str(&line).unwrap();
    let seen = &answer["result"]["structuredContent"];
    let signals = |name: &str| u64::from_str_radix(seen[name].as_str().unwrap().trim(), 16).unwrap();
    let bit = |signal: u32| 1_u64 << (signal - 1);
    assert_eq!(signals("blocked"), 0);
    // Python ignores SIGPIPE (13) and SIGXFSZ (25) for itself; 32 and 33 are the C library's own.
    assert_eq!(signals("ignored") & !(bit(13) | bit(25) | bit(32) | bit(33)), 0);
    assert_eq!(seen["descriptors"], json!([0, 1, 2]));
}

/// The standard library ignores SIGPIPE in this program; a child that ignored it, too, would not end when its reader does.
#[tokio::test]
async fn child_3_a_broken_pipe_ends_a_child() {
    let mut child = start(&command("sh", ["-c", "echo up; read line; kill -PIPE $$; exit 7"], 1000));
    assert_eq!(child.line().await, "up");
    drop(child.stdin);
    assert_eq!(ended(&mut child.exit).await, "killed by signal 13 (SIGPIPE)");
}

#[tokio::test]
async fn child_15_what_is_missing_is_said_before_the_start() {
    let (_folder, path) = folder();
    let file = path.join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let failure = |program: &str| try_start(&command(program, [], 1000)).err().unwrap().to_string();
    let words = failure("no-such-program-here");
    assert!(words.starts_with("command not found: no-such-program-here; is it in PATH (/"), "{words}");
    assert_eq!(failure("/no/such/program"), "command not found: /no/such/program");
    assert_eq!(failure(file), format!("command is not an executable file: {file}"));
    assert_eq!(failure("/tmp/"), "command is not an executable file: /tmp/");
    let mut elsewhere = command("true", [], 1000);
    elsewhere.dir = Some(file.into());
    let words = try_start(&elsewhere).err().unwrap().to_string();
    assert_eq!(words, format!("cannot enter the working directory {file}: Not a directory (os error 20)"));
}

/// Alone in a process of its own, because the limit is the process's.
#[test]
fn child_15_without_descriptors_the_bridge_recovers() {
    let mut bridge = std::process::Command::new(env::current_exe().unwrap());
    bridge.args(["--exact", "children::gets::bridge_without_descriptors", "--ignored"]).env(ALONE, "1");
    let output = bridge.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Not a test by itself: the one above runs it.
#[tokio::test]
#[ignore = "started by child_15"]
async fn bridge_without_descriptors() {
    if env::var_os(ALONE).is_none() {
        return;
    }
    let command = command("true", [], 1000);
    assert_eq!(ended(&mut start(&command).exit).await, "exited with 0");
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).unwrap();
    let mut fill: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    // Three pipes have six ends: with fewer free descriptors it cannot work.
    for _ in 0..6 {
        let refused = try_start(&command).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some("cannot start a process: Too many open files (os error 24)"));
        fill.pop();
    }
    drop(fill);
    assert_eq!(ended(&mut start(&command).exit).await, "exited with 0");
    assert_eq!(open(), before, "nothing leaked");
}

#[tokio::test]
async fn child_15_a_program_in_the_childs_own_path_is_found() {
    let (_folder, path) = folder();
    write_executable(&path.join("only-here"), "#!/bin/sh\nexit 5\n");
    let mut child = command("only-here", [], 1000);
    child.env.insert("PATH".to_owned(), Secret::new(path.to_str().unwrap()));
    assert_eq!(ended(&mut start(&child).exit).await, "exited with 5");
    let relative = command("./only-here", [], 1000);
    assert!(matches!(try_start(&relative), Err(SpawnError::NotFound(_))));
    let mut relative = relative;
    relative.dir = Some(path);
    assert_eq!(ended(&mut start(&relative).exit).await, "exited with 5");
}

#[tokio::test]
async fn child_15_what_the_system_refuses_is_said_in_its_words() {
    let (_folder, path) = folder();
    let script = path.join("script");
    write_executable(&script, "#!/no/such/interpreter\n");
    let mut child = start(&command(script.to_str().unwrap(), [], 1000));
    let words = ended(&mut child.exit).await;
    assert!(words.contains("No such file") && words.ends_with("missing interpreter?"), "{words}");
    let endless = "x".repeat(4_000_000);
    let refused = try_start(&command("true", [endless.as_str()], 1000)).err().unwrap();
    assert_eq!(refused.to_string(), "cannot start a process: Argument list too long (os error 7)");
    assert_eq!(ended(&mut start(&command("true", [], 1000)).exit).await, "exited with 0", "and the next one is fine");
}
