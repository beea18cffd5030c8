//! MCP through HTTP, with a real token and a scripted child behind the bridge.

mod attribution;
mod calls;
mod departure;
mod left;
mod large;
mod nulls;
mod large_server;
mod questions;
mod resumption;
mod recovery;
mod sessions;
mod eras;
mod stateless_changes;
mod stateless_input;
mod stateless_inquiry;
mod stateless_listen;
mod stateless_requests;
mod stateless_results;
mod stateless_server;
mod stateless_upstream;
mod tool_search;
mod unread;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::app::BASIC;
use crate::support::{App, Client, Stateless};

/// A bridge with one scripted server behind it.
fn with_child(arguments: &str) -> App {
    App::with(&BASIC.replace("me: {builtin: whoami}", &format!("fake: {}", child(arguments))))
}

/// The upstream entry of a scripted server.
fn child(arguments: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
    format!("{{command: python3, args: [\"{script}\"{arguments}]}}")
}

/// A bridge with one scripted server, and a client of the stateless era.
async fn with_stateless(arguments: &str) -> (App, Stateless) {
    let app = with_child(arguments);
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let client = Stateless::new(&app, &token);
    (app, client)
}

/// What the scripted server got, in its order, as far as it was written down.
fn journal(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.map(|entry| entry["got"].clone()).filter(|got| !got.is_null()).collect()
}

/// Waits until something is so. What is waited for is another process's work, which ends by itself.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it comes to be so");
}
