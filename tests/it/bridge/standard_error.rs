//! Where a child's standard error goes.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::support::{Client, bridge, command, refused, until};
use crate::support::{App, mcp};
use mcp_bridge::config::section::{Stderr, Upstream, UpstreamKind};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");

fn child(stderr: Stderr) -> Upstream {
    let mut upstream = command("c", "python3", &["-u", SCRIPT]);
    let UpstreamKind::Stdio(command) = &mut upstream.kind else { panic!() };
    command.stderr = stderr;
    command.env.insert("A_TOKEN".to_owned(), "hush-hush".to_owned().into());
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn child_12_a_flood_blocks_no_child_wherever_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.log");
    for stderr in [Stderr::Null, Stderr::File(path.clone())] {
        let bridge = bridge(&[child(stderr)]).await;
        let client = Client::connect(&bridge, "ada").await;
        let answer = client.tool("flood_stderr", &json!({"lines": 100_000})).await;
        assert!(answer.contains("flooded"), "{answer}");
        bridge.shutdown().await;
    }
    assert!(std::fs::metadata(&path).unwrap().len() > 100_000);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named() {
    let reason = refused(child(Stderr::File("/nonexistent/folder/c.log".into()))).await;
    assert!(reason.starts_with("standard error cannot go to /nonexistent/folder/c.log"), "{reason}");
}

/// Through HTTP, with a configuration as people write it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_for_its_owner_alone_and_outlives_a_restart() {
    let yaml = format!(
        "server: {{listen: 127.0.0.1:0, mcp_server: {{command: sh, args: [-c, 'echo $A_TOKEN begins >&2; exec python3 -u {SCRIPT}'],\n  \
         env: {{A_TOKEN: hush-hush}}, stderr: {{file: child.log}}}}}}\nstorage: {{type: memory}}\n"
    );
    let app = App::with(&yaml);
    let path = app.folder.path().join("child.log");
    let answers = mcp::Session::initialize(&app, "").await.call("tools/list", json!({})).await;
    assert!(answers["result"]["tools"].is_array(), "{answers}");
    let begins = || std::fs::read_to_string(&path).unwrap().matches("[redacted] begins\n").count();
    until(|| begins() == 1).await;
    let app = app.restart();
    assert_eq!(app.folder.path().join("child.log"), path);
    until(|| begins() == 2).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// The program itself: its standard error is the child's.
#[test]
fn inherit_is_the_bridges_own_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    for (word, shown) in [("inherit", true), ("null", false)] {
        let yaml = format!(
            "log: {{output: log}}\nserver: {{listen: 127.0.0.1:0, mcp_server: {{restart_on_failure: false, stderr: {word},\n  \
             command: sh, args: [-c, 'echo a plain line >&2; exit 1']}}}}\nstorage: {{type: memory}}\n"
        );
        std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_mcp-bridge"));
        program.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        // What is required does not come up, so the program ends.
        let output = program.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{text}");
        assert_eq!(text.lines().any(|line| line == "a plain line"), shown, "{text}");
        assert!(!text.contains("mcp-keeper") && text.contains("exited with 1"), "{text}");
        assert!(!std::fs::read_to_string(folder.path().join("log")).unwrap().contains("a plain line"));
    }
}
