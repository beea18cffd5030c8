//! MCP through HTTP, with a real token and a scripted child behind the bridge.

mod calls;
mod questions;
mod resumption;
mod recovery;
mod sessions;

use crate::support::App;
use crate::support::app::BASIC;

/// A bridge with one scripted server behind it.
fn with_child(arguments: &str) -> App {
    App::with(&BASIC.replace("me: {builtin: whoami}", &format!("fake: {}", child(arguments))))
}

/// The upstream entry of a scripted server.
fn child(arguments: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
    format!("{{command: python3, args: [\"{script}\"{arguments}]}}")
}
