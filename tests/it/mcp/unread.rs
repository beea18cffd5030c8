//! Clients that ask a child for much and read nothing: what waits for them is bounded.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::mcp::{child, journal, until};
use crate::support::app::BASIC;
use crate::support::{App, Browser, Client, Stateless};

const SIZE: usize = 15 * 1024 * 1024;
/// So many of them fit into what one person may leave unread.
const FIT: usize = 4;

/// A call whose answer nobody reads. The head of another version of the protocol has no more than the session's era knows.
async fn unread(app: &App, token: &str, (accept, is_stateless): (&str, bool)) -> TcpStream {
    let client = Stateless::new(app, token);
    let params = json!({"name": "large", "arguments": {"bytes": SIZE}});
    let (body, head) = if is_stateless {
        let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: large\r\n";
        (client.message(1, "tools/call", params), fields)
    } else {
        (json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}), "")
    };
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n\
         Content-Type: application/json\r\n{head}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(app.local_url().trim_start_matches("http://")).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn mcp_24_what_one_person_leaves_unread_is_bounded_and_nobody_elses_loss() {
    for (accept, is_stateless) in [
        ("application/json", false),
        ("application/json, text/event-stream", true),
        ("text/event-stream", false),
        ("text/event-stream", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("journal");
        let child = child(&format!(", \"--journal\", \"{}\"", path.display()));
        let yaml = BASIC.replace("me: {builtin: whoami}", &format!("fake: {child}"));
        let both = yaml.replace(
            r#"rita, password_hash: HASH, scopes: ["mcp:read"]"#,
            r#"rita, password_hash: HASH, scopes: ["mcp:read", "mcp:write"]"#,
        );
        let app = App::with(&both);
        let alice = Client::register(&app).await.tokens().await.access().to_owned();
        let owner = Client::register(&app).await;
        let page = owner.authorize(&mut Browser::new(), "rita", &[]).await;
        let rita = owner.redeem(&page.answer("code").unwrap()).await.access().to_owned();
        let mut streams = Vec::new();
        for _ in 0..FIT {
            streams.push(unread(&app, &alice, (accept, is_stateless)).await);
        }
        until(|| journal(&path).iter().filter(|got| got["method"] == "tools/call").count() == FIT).await;
        let ask = async |token: &str| -> Value {
            let answer = Stateless::new(&app, token).tool("large", json!({"bytes": SIZE})).await;
            json!([answer["error"]["message"], answer["result"]["content"][0]["text"].as_str().map(str::len)])
        };
        // The child's answers come in any order: this one may have been before the last of those.
        let mut refused = ask(&alice).await;
        for _ in 0..20 {
            if refused[0].is_string() {
                break;
            }
            refused = ask(&alice).await;
        }
        assert!(refused[0].as_str().unwrap().contains("wait to be read"), "{accept} {is_stateless}: {refused}");
        assert_eq!(ask(&rita).await, json!([null, SIZE]), "another person");
        assert!(Stateless::new(&app, &alice).tool("echo", json!({})).await["result"].is_object(), "nor what is small");
        drop(streams);
        let mut again = ask(&alice).await;
        for _ in 0..500 {
            if again[1] == SIZE {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            again = ask(&alice).await;
        }
        assert_eq!(again, json!([null, SIZE]), "{accept} {is_stateless}: who has left has nothing waiting");
    }
}
