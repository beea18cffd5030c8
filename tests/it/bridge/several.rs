//! Several upstreams under one endpoint.

use serde_json::{Value, json};

use super::support::{Client, bridge, builtin, child, command, request, until};
use crate::support::Program;
use crate::support::mcp::Session;

fn names(answer: &Value, member: &str, key: &str) -> Vec<String> {
    let list = answer["result"][member].as_array().unwrap();
    list.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn names_bear_a_prefix_and_come_back() {
    let bridge = bridge(&[child("one", &[]), child("one__a", &[]), builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let listed = client.raw(&request("1", "tools/list", &json!({}))).await;
    assert!(listed.contains(r#"{"name": "one__echo", "inputSchema": {"type": "object"}, "x-order": 1.0}"#), "{listed}");
    let tools = names(&serde_json::from_str(&listed).unwrap(), "tools", "name");
    assert!(tools.contains(&"one__a__b".to_owned()) && tools.contains(&"me__whoami".to_owned()));
    assert_eq!(tools.len(), 2 * 15 + 3);
    // `one` has `a__b`, and `one__a` has no `b`.
    assert_eq!(client.tool("one__a__b", &json!({})).await, "a__b");
    assert_eq!(client.tool("one__a__echo", &json!({"text": "x"})).await, "x");
    let seen: Vec<String> = serde_json::from_str(&client.tool("one__a__seen", &json!({})).await).unwrap();
    assert!(seen.iter().any(|line| line.contains(r#""name":"echo""#)), "{seen:?}");
    for unknown in ["echo", "one__", "one__nothing", "ONE__echo", "two__echo", "me__echo "] {
        assert!(client.tool(unknown, &json!({})).await.contains("Unknown tool"), "{unknown}");
    }
    assert_eq!(
        names(&client.rpc("prompts/list", &json!({})).await, "prompts", "name"),
        ["one__greet", "one__a__greet"]
    );
    let prompt = client.rpc("prompts/get", &json!({"name": "one__greet"})).await;
    assert_eq!(prompt["result"]["description"], "greet");
    let reference = json!({"ref": {"type": "ref/prompt", "name": "one__a__greet"}, "argument": {}});
    let completed = client.rpc("completion/complete", &reference).await;
    assert!(completed["result"]["completion"]["values"][0].as_str().unwrap().contains("\"greet\""));
    bridge.shutdown().await;
}

#[tokio::test]
async fn resources_are_found_by_who_listed_them_first() {
    let bridge = bridge(&[child("one", &["red"]), child("two", &["blue"])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let listed = names(&client.rpc("resources/list", &json!({})).await, "resources", "uri");
    assert_eq!(listed, ["test:shared", "test:red", "test:blue"]);
    let read = async |uri: &str| client.rpc("resources/read", &json!({"uri": uri})).await;
    // Nobody lists the last: a tool's result may link to such.
    for (uri, from) in [("test:shared", "red"), ("test:blue", "blue"), ("made:7", "red"), ("test:blue/7", "blue")] {
        assert_eq!(read(uri).await["result"]["contents"][0]["text"], from, "{uri}");
    }
    let unknown = read("test:green").await;
    assert_eq!((&unknown["error"]["code"], &unknown["error"]["data"]["uri"]), (&json!(-32002), &json!("test:green")));
    let reference = json!({"ref": {"type": "ref/resource", "uri": "made:{id}"}, "argument": {}});
    assert!(client.rpc("completion/complete", &reference).await["result"].is_object());
    assert_eq!(client.rpc("tools/list", &json!({"cursor": "x"})).await["error"]["code"], -32602);
    assert_eq!(client.rpc("vendor/thing", &json!({})).await["error"]["code"], -32601);
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_two_have_is_listed_once_and_the_log_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/scripted.py");
    let of = |flag: &str| format!("{{command: python3, args: [\"-u\", \"{script}\", {flag}]}}");
    let (one, two) = (of("red"), of("blue"));
    let yaml =
        format!("log: {{output: log}}\nserver: {{listen: \"127.0.0.1:0\"}}\nupstreams:\n  one: {one}\n  two: {two}\n");
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let program = Program::start(folder, &[]);
    let session = Session::at(&format!("{}/mcp", program.url), "none").initialized(json!({})).await;
    for _ in 0..2 {
        let listed = names(&session.call("resources/list", json!({})).await, "resources", "uri");
        assert_eq!(listed, ["test:shared", "test:red", "test:blue"]);
    }
    let log = program.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("an earlier upstream has the same")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    for word in ["two", "one", "test:shared", "resources/list", "put the upstream first"] {
        assert!(said[0].contains(word), "{word}: {said:?}");
    }
}

/// How often a child was asked for something.
async fn asked(client: &Client, child: &str, method: &str) -> usize {
    let seen: Vec<String> = serde_json::from_str(&client.tool(&format!("{child}__seen"), &json!({})).await).unwrap();
    let is = |line: &&String| serde_json::from_str::<Value>(line).unwrap()["method"] == method;
    seen.iter().filter(is).count()
}

#[tokio::test]
async fn who_asks_for_what_nobody_has_does_not_have_the_lists_read_each_time() {
    let bridge = bridge(&[child("one", &["red"]), child("two", &["blue"])]).await;
    let client = Client::connect(&bridge, "ada").await;
    let read = async |number: usize| {
        let unknown = client.rpc("resources/read", &json!({"uri": format!("unlike-{number}:x")})).await;
        assert_eq!(unknown["error"]["code"], -32002, "{unknown}");
    };
    futures_util::future::join_all((0..20).map(read)).await;
    for number in 20..40 {
        read(number).await;
    }
    for (child, method) in [("one", "resources/list"), ("two", "resources/templates/list")] {
        let times = asked(&client, child, method).await;
        assert!((1..5).contains(&times), "{child} was asked for {method} {times} times");
    }
    bridge.shutdown().await;
}

#[tokio::test]
async fn those_who_want_a_list_at_one_time_have_it_read_for_all() {
    let bridge = bridge(&[child("one", &["bare"]), builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let before = asked(&client, "one", "tools/list").await;
    let lists = (0..20).map(|_| async { names(&client.rpc("tools/list", &json!({})).await, "tools", "name").len() });
    assert!(futures_util::future::join_all(lists).await.iter().all(|count| *count == 18));
    // That of the first, and that of all who came after it had begun.
    let times = asked(&client, "one", "tools/list").await - before;
    assert!((1..=2).contains(&times), "{times}");
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_long_list_in_small_pages_is_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
    let options = ["--tools", "1500", "--page-size", "10", "--odd-end", "--journal", journal.to_str().unwrap()];
    let args = [&["-u", script], options.as_slice()].concat();
    let bridge = bridge(&[command("long", "python3", &args), builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    let tools = names(&client.rpc("tools/list", &json!({})).await, "tools", "name");
    assert!(tools.len() > 1500 && tools.contains(&"long__extra_1499".to_owned()), "{}", tools.len());
    let asked = std::fs::read_to_string(&journal).unwrap();
    let pages = asked.lines().filter(|line| line.contains("tools/list")).count();
    assert_eq!(pages, (tools.len() - 3).div_ceil(10), "an empty cursor is the end");
    bridge.shutdown().await;
}

#[tokio::test]
async fn what_they_can_do_is_joined() {
    let bridge = bridge(&[child("one", &["bare"]), child("two", &[])]).await;
    let client = Client::new(&bridge, "ada");
    let answer = client.rpc("initialize", &json!({"protocolVersion": "2025-06-18", "capabilities": {}})).await;
    let changing = json!({"listChanged": true});
    let all = json!({
        "tools": changing, "prompts": changing, "resources": {"listChanged": true, "subscribe": true},
        "logging": {}, "completions": {},
    });
    assert_eq!(answer["result"]["capabilities"], all);
    assert_eq!(answer["result"]["serverInfo"]["name"], "mcp-bridge");
    assert_eq!(answer["result"]["instructions"], "one: Do as told.\n\ntwo: Do as told.");
    bridge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_down_hides_no_other() {
    let mut frail = child("frail", &[]);
    if let mcp_bridge::config::section::UpstreamKind::Stdio(command) = &mut frail.kind {
        command.restart.enabled = false;
    }
    let bridge = bridge(&[frail, builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    client.tool("frail__crash", &json!({})).await;
    until(|| !bridge.status()[0].is_up).await;
    assert_eq!(
        names(&client.rpc("tools/list", &json!({})).await, "tools", "name"),
        ["me__whoami", "me__echo", "me__time"]
    );
    let error = client.tool("frail__echo", &json!({})).await;
    assert!(error.contains("not available") && error.contains("-32000"), "{error}");
    assert_eq!(client.tool("me__echo", &json!({"text": "x"})).await, "x");
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_list_that_changes_without_a_word_is_read_each_time() {
    let bridge = bridge(&[child("one", &["bare"]), builtin("me")]).await;
    let client = Client::connect(&bridge, "ada").await;
    client.tool("one__grow", &json!({"text": "1"})).await;
    assert!(names(&client.rpc("tools/list", &json!({})).await, "tools", "name").contains(&"one__extra1".to_owned()));
    bridge.shutdown().await;
}
